// SPDX-License-Identifier: Apache-2.0

import Conformance
import Devices
import Foundation
import Glibc
import Hypervisor
import PlantedBugs
import Testing
import Toolstack

/// Guests that are not ours, on machines with bugs planted in them: the comparison finds the bug, and ends the guest.
@Suite(
  "Real guests on machines with bugs", .serialized,
  .enabled(if: access("/dev/kvm", R_OK | W_OK) == 0, "no usable /dev/kvm"))
struct PlantedGuestTests {
  private static let grub = "/usr/lib/grub-xen/grub-x86_64-xen.bin"
  private static let hasGRUB = access(grub, R_OK) == 0

  /// Debian's Linux, where `.ci/hardware-kvm` has left it.
  private static let linux: String? = {
    let directory = ".build/hardware-kvm/kernel/boot"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    return names.first { $0.hasPrefix("vmlinuz-") }.map { "\(directory)/\($0)" }
  }()

  /// Runs a guest until it is ended.
  /// - Returns: the first divergence.
  private func run(_ lines: String, _ make: (CheckMonitor) -> CheckedMachinery) throws -> Divergence? {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("lockstep-\(UUID())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let image = directory.appendingPathComponent("disk.img")
    try Data(count: 1 << 20).write(to: image)
    let file = directory.appendingPathComponent("guest.cfg")
    try (lines + "\nmemory = 128\ndisk = ['\(image.path),raw,xvda,rw']\n").write(
      to: file, atomically: true, encoding: .utf8)
    let nowhere = open("/dev/null", O_WRONLY)
    defer { close(nowhere) }
    let runner = DomainRunner()
    let monitor = CheckMonitor { _ in runner.stop() }
    DispatchQueue.global().asyncAfter(deadline: .now() + 60) { runner.stop() }
    let outcome = try runner.run(
      GuestConfiguration.load(file.path).configuration, console: ConsoleStreams(input: nil, output: nowhere),
      machinery: make(monitor), isSandboxed: false)
    if case .killed = outcome.end {} else { Issue.record("the guest \(outcome.end)") }
    return monitor.divergence
  }

  @Test(
    "GRUB, and bugs in its shadow page tables",
    .enabled(if: hasGRUB, "the package grub-xen-host is not installed"),
    arguments: [ShadowBug.markLost])
  func grubShadows(bug: ShadowBug) throws {
    let divergence = try run("kernel = '\(Self.grub)'") { CheckedMachinery(monitor: $0, shadows: bug.maker) }
    #expect(divergence?.machine == "Shadow")
  }

  @Test(
    "GRUB, and a bug in its grant tables",
    .enabled(if: hasGRUB, "the package grub-xen-host is not installed"),
    arguments: [GrantBug.unflagged])
  func grubGrants(bug: GrantBug) throws {
    let divergence = try run("kernel = '\(Self.grub)'") { CheckedMachinery(monitor: $0, grants: bug.maker) }
    #expect(divergence?.machine == "Grants")
  }

  @Test(
    "Debian's Linux, and bugs in its shadow page tables",
    .enabled(if: linux != nil, "no kernel of linux-image-cloud-amd64: run .ci/hardware-kvm"),
    arguments: [ShadowBug.forgottenDowngrade, .upperNotFlushed, .notRevalidated, .missedWriters])
  func linuxShadows(bug: ShadowBug) throws {
    let divergence = try run(
      "kernel = '\(Self.linux ?? "")'\nextra = 'console=hvc0 noreplace-smp nr_cpus=1'"
    ) { CheckedMachinery(monitor: $0, shadows: bug.maker) }
    #expect(divergence?.machine == "Shadow")
  }
}
