// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

/// Settings shared by every Swift target: Swift 6 language mode, warnings are errors in this package.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableExperimentalFeature("Lifetimes"),
]

/// The evaluator, the engines and the followers are optimised in debug builds too: the tests explore millions of states.
/// Each of them serves one thread and hands out no access to itself, so what the dynamic check of exclusive access
/// costs buys nothing.
let fast: [SwiftSetting] =
  strict + [
    .unsafeFlags(["-O"], .when(configuration: .debug)),
    .unsafeFlags(["-enforce-exclusivity=unchecked"]),
  ]

/// Specifications and what is claimed of them are run once, to be read: that is not worth an optimiser's time.
let traced: [SwiftSetting] = strict + [.unsafeFlags(["-Onone"], .when(configuration: .release))]

/// Modules whose insides tests reach: in release builds too, so that tests and `lockstep` are one build.
let testable: [SwiftSetting] = strict + [.unsafeFlags(["-enable-testing"], .when(configuration: .release))]

/// A test target; every one lives in `Tests/<Name>Tests`. Only what is tested is worth optimising.
func tests(
  _ name: String, _ dependencies: [Target.Dependency], fixtures: [String] = [], optimised: Bool = false
) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests", exclude: fixtures,
    swiftSettings: optimised
      ? fast : strict + [.unsafeFlags(["-Onone"], .when(configuration: .release))])
}

/// What a build of the fuzz targets instruments, such as "fuzzer,address": the machines, and all that devices and the
/// toolstack read. The specifications beside them stay as fast as they are, and their branches do not count as something
/// found.
let sanitizers = Context.environment["LOCKSTEP_SANITIZE"].map { ["-sanitize=\($0)"] } ?? []
let instrumented: [SwiftSetting] = [.unsafeFlags(sanitizers)]

/// Machines count their branches, and do not report what they compare: no byte of an input is what a machine compares.
///
/// What drives and compares them (`Conformance`, `PlantedBugs`) is not instrumented at all: how often a comparison loops is
/// nothing that was found, and it was half of a fuzz target's time. The memory that guests reach is touched by the machines,
/// so its addresses are not checked either.
let counted: [SwiftSetting] =
  sanitizers.isEmpty
  ? [] : instrumented + [.unsafeFlags(["-sanitize-coverage=edge,inline-8bit-counters,pc-table"])]

/// A coverage-guided fuzz target. Without LOCKSTEP_SANITIZE it links to a small driver that replays files.
func fuzzer(_ name: String, _ dependencies: [Target.Dependency] = ["Conformance", "CFuzzMain"]) -> Target {
  .executableTarget(
    name: "Fuzz\(name)", dependencies: dependencies, path: "Fuzz/\(name)",
    exclude: name == "Planted" ? [] : ["corpus", "regressions"],
    swiftSettings: strict + instrumented + [.unsafeFlags(["-parse-as-library"])],
    linkerSettings: [.unsafeFlags(sanitizers)])
}

let package = Package(
  name: "lockstep",
  products: [
    .executable(name: "lockstep", targets: ["lockstep"]),
    .executable(name: "FuzzRing", targets: ["FuzzRing"]),
    .executable(name: "FuzzStream", targets: ["FuzzStream"]),
    .executable(name: "FuzzPlanted", targets: ["FuzzPlanted"]),
    .executable(name: "FuzzGrants", targets: ["FuzzGrants"]),
    .executable(name: "FuzzEventChannels", targets: ["FuzzEventChannels"]),
    .executable(name: "FuzzBalloon", targets: ["FuzzBalloon"]),
    .executable(name: "FuzzShadow", targets: ["FuzzShadow"]),
    .executable(name: "FuzzSelfBalloon", targets: ["FuzzSelfBalloon"]),
    .executable(name: "FuzzDirtyLog", targets: ["FuzzDirtyLog"]),
    .executable(name: "FuzzNetwork", targets: ["FuzzNetwork"]),
    .executable(name: "FuzzBlock", targets: ["FuzzBlock"]),
    .executable(name: "FuzzFiles", targets: ["FuzzFiles"]),
    .executable(name: "FuzzStore", targets: ["FuzzStore"]),
    .library(name: "Interfaces", targets: ["Interfaces"]),
    .library(name: "Machines", targets: ["Machines"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    .systemLibrary(
      name: "CZ3", path: "Sources/CZ3", pkgConfig: "z3", providers: [.apt(["libz3-dev"])]),
    .systemLibrary(name: "CKVM", path: "Sources/CKVM"),
    // Without its pkg-config file, which asks for glib's: no header of glib's is needed.
    .systemLibrary(name: "CSlirp", path: "Sources/CSlirp", providers: [.apt(["libslirp-dev"])]),
    // Disks of formats that QEMU reads.
    .systemLibrary(
      name: "CNBD", path: "Sources/CNBD", pkgConfig: "libnbd", providers: [.apt(["libnbd-dev"])]),
    // Several requests to a raw disk at a time.
    .systemLibrary(
      name: "CURing", path: "Sources/CURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(name: "CSeccomp", path: "Sources/CSeccomp", providers: [.apt(["libseccomp-dev"])]),
    // The pages of `explore --serve`.
    .systemLibrary(
      name: "CMicroHTTP", path: "Sources/CMicroHTTP", pkgConfig: "libmicrohttpd",
      providers: [.apt(["libmicrohttpd-dev"])]),
    .target(name: "CFuzzMain", path: "Fuzz/Driver"),

    // What the two sides share, and the optimised side. No dependencies: they also build as Embedded Swift.
    .target(name: "Interfaces", swiftSettings: strict + counted),
    .target(name: "Machines", dependencies: ["Interfaces"], swiftSettings: strict + counted),

    // The specification side.
    .target(name: "Logic", swiftSettings: fast),
    .target(name: "Checker", dependencies: ["Logic", "CZ3"], swiftSettings: fast),
    .target(
      name: "Specs", dependencies: ["Logic", "Interfaces"], path: "Specs", swiftSettings: traced),
    .target(
      name: "Proofs", dependencies: ["Specs", "Checker"], path: "Proofs",
      exclude: ["README.md", "certificates"], swiftSettings: traced),

    // Both sides together.
    .target(
      name: "Conformance", dependencies: ["Specs", "Machines", "Logic", "Interfaces"],
      swiftSettings: fast),
    fuzzer("Ring"),
    fuzzer("Stream"),
    fuzzer("Grants"),
    fuzzer("EventChannels"),
    fuzzer("Balloon"),
    fuzzer("Shadow"),
    fuzzer("SelfBalloon"),
    fuzzer("DirtyLog"),
    // Bugs for the drivers to find, and the fuzz target that must find them.
    .target(
      name: "PlantedBugs", dependencies: ["Conformance", "Machines", "Interfaces"], path: "Tests/PlantedBugs",
      swiftSettings: fast),
    // The fuzz targets' inputs, for tests to replay.
    .target(name: "Corpora", path: "Tests/Corpora", swiftSettings: strict),
    // A guest without a processor: for tests of back ends, and for the fuzz targets of two.
    .target(
      name: "FakeGuests", dependencies: ["Devices", "Xenstore", "Machines", "Interfaces"],
      path: "Tests/FakeGuests",
      swiftSettings: strict),
    fuzzer("Network", ["FakeGuests", "CFuzzMain"]),
    fuzzer("Block", ["FakeGuests", "CFuzzMain"]),
    // Files and messages of people who mean ill, and what must hold whatever they are.
    .target(
      name: "HostileInputs", dependencies: ["Toolstack", "Xenstore", "Machines", "Interfaces"],
      path: "Tests/HostileInputs", swiftSettings: strict),
    fuzzer("Files", ["HostileInputs", "CFuzzMain"]),
    fuzzer("Store", ["HostileInputs", "CFuzzMain"]),
    fuzzer("Planted", ["PlantedBugs", "Conformance", "CFuzzMain"]),

    // The hypervisor: nothing here depends on Logic, Checker or Z3.
    .target(name: "KVM", dependencies: ["CKVM", "Interfaces"], swiftSettings: strict),
    .target(
      name: "Hypervisor", dependencies: ["KVM", "Machines", "Interfaces"], swiftSettings: testable),
    .target(
      name: "Xenstore", dependencies: ["CKVM", "Hypervisor", "Machines", "Interfaces"],
      swiftSettings: testable + instrumented),
    .target(
      name: "Devices",
      dependencies: ["CNBD", "CSlirp", "CURing", "Hypervisor", "Xenstore", "Machines", "Interfaces"],
      swiftSettings: testable + instrumented),
    .target(
      name: "Toolstack", dependencies: ["CKVM", "CSeccomp", "Devices", "Xenstore", "Hypervisor"],
      swiftSettings: testable + instrumented),

    .executableTarget(
      name: "lockstep",
      dependencies: [
        "Toolstack", "Devices", "Hypervisor", "Machines", "Interfaces", "Conformance", "Proofs", "Specs",
        "Checker", "CMicroHTTP", "CURing",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),

    tests("Logic", ["Logic"]),
    tests("Checker", ["Checker", "Logic"]),
    // It has an evaluator of its own, of TLA+.
    tests("Specs", ["Specs", "Checker", "Proofs"], optimised: true),
    tests("Machines", ["Machines", "Interfaces"]),
    tests(
      "Conformance", ["Conformance", "Corpora", "PlantedBugs", "Machines", "Interfaces"],
      fixtures: ["Fixtures"]),
    tests("Hypervisor", ["Hypervisor", "KVM", "Machines", "Conformance", "PlantedBugs", "Interfaces"]),
    tests("Xenstore", ["Xenstore", "Machines", "Interfaces"]),
    tests("Devices", ["Devices", "CURing", "Corpora", "FakeGuests", "Xenstore", "Machines", "Interfaces"]),
    tests(
      "Toolstack",
      [
        "Toolstack", "Corpora", "HostileInputs", "Hypervisor", "Xenstore", "Devices", "Conformance",
        "PlantedBugs", "Interfaces",
      ]),
    tests("CommandLine", ["lockstep"]),
  ]
)
