// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Foundation
import Logic
import Proofs
import Specs

/// `lockstep verify`: the matrix machine × invariant.
struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Explore and prove the specifications, and have every proof confirmed by a second solver.")

  @Argument(help: "Machines, by name; all if none is named.")
  var machines: [String] = []

  @Flag(name: .long, help: "Do without the second solver.")
  var noCertify = false

  @Option(name: .long, help: "Folder for remembered answers; by default lockstep in the user's cache folder.")
  var cache: String?

  @Flag(name: .long, help: "Remember nothing and believe nothing remembered.")
  var noCache = false

  @Option(
    name: .long, help: ArgumentHelp("Write each machine's certificate into a folder.", valueName: "folder"))
  var certificates: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Write each obligation as SMT-LIB 2 into a folder, for any solver.", valueName: "folder"))
  var export: String?

  @Option(
    name: .long,
    help: ArgumentHelp("The most that one question to a solver may take.", valueName: "milliseconds"))
  var timeout: UInt32?

  @Option(
    name: .long, help: ArgumentHelp("The most steps that an induction looks back: 1 or 2.", valueName: "k"))
  var depth: Int?

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    let start = ContinuousClock.now
    let line = ProgressLine(reporting)
    let chosen = try chosenSubjects(machines)
    let verifier = try makeVerifier()
    let memory = verifier.memory
    let watched = Interruption.end {
      line.clear()
      memory?.save()
    }
    defer { withExtendedLifetime(watched) {} }
    let results: [Verifier.Result]
    do {
      results = try verifier.verify(chosen) { line.show(String($0.prefix(100))) }
    } catch {
      throw CouldNotRun("\(error)")
    }
    line.clear()
    verifier.memory?.save()
    for result in results { try keep(result) }
    let verifications = zip(chosen, results).map { subject, result in
      var verification = result.verification
      verification.complaints = theory(of: subject).complaints(about: verification)
      return verification
    }
    for verification in verifications {
      try reporting.json ? printJSON(verification) : print(verification.text)
    }
    if !reporting.json {
      print(Self.summary(verifications, seconds: (ContinuousClock.now - start) / .seconds(1)))
    }
    if !verifications.allSatisfy(\.holds) { throw ExitStatus.violated.code }
  }

  /// Writes what was asked for into folders.
  private func keep(_ result: Verifier.Result) throws {
    if let certificates {
      let name = "\(result.certificate.machine).json"
      try save(String(decoding: try result.certificate.encoded(), as: UTF8.self), to: name, in: certificates)
    }
    if let export {
      for (number, obligation) in result.obligations.enumerated() {
        let name = "\(result.certificate.machine)-\(String(format: "%04d", number + 1)).smt2"
        try save(obligation.text, to: name, in: export)
      }
    }
  }

  private func makeVerifier() throws -> Verifier {
    var verifier = Verifier()
    if let timeout { verifier.options.timeout = timeout }
    if let depth { verifier.options.depth = depth }
    if !noCertify {
      do { verifier.second = try SecondSolver() } catch { throw CouldNotRun(error.description) }
    }
    if !noCache {
      verifier.memory = AnswerFile(folder: cache ?? Self.cacheFolder)
      if let program = try? Data(contentsOf: URL(fileURLWithPath: "/proc/self/exe")) {
        verifier.programHash = ContentHash(of: program.bytes)
      }
    }
    return verifier
  }

  private static var cacheFolder: String {
    let environment = ProcessInfo.processInfo.environment
    return (environment["XDG_CACHE_HOME"] ?? NSHomeDirectory() + "/.cache") + "/lockstep"
  }

  private static func summary(_ results: [Verification], seconds: Double) -> String {
    let theorems = results.flatMap(\.theorems)
    let real = theorems.count { $0.method == .induction }
    let explored = theorems.count { $0.method == .exploration }
    let open = theorems.count - real - explored
    let alone = results.reduce(0) { $0 + $1.unconfirmed }
    return
      "\(theorems.count) invariants: \(real) proved at real size, \(explored) explored only, \(open) open or"
      + " violated; \(alone) obligations rest on one solver alone; \(String(format: "%.1f", seconds)) s"
  }
}

extension LivenessResult {
  /// A line, and the run that never comes to it if there is one.
  var text: String {
    let line = "in the end, under weak fairness, at scope \(scope): \(name)"
    guard let reason else { return "\(line): holds" }
    return ["\(line): NO: \(reason)", counterexample?.description].compactMap { $0 }.joined(separator: "\n")
  }
}

extension Verification {
  /// The machine's part of the matrix.
  var text: String {
    let rows = theorems.map { theorem in
      [
        theorem.invariant, theorem.rule ?? "",
        theorem.method.rawValue + (theorem.k > 1 ? ", k = \(theorem.k)" : ""), theorem.size,
        "\(theorem.proved)/\(theorem.obligations)", "\(theorem.confirmed)",
        String(format: "%.0f ms", theorem.milliseconds),
      ]
    }
    var lines = explored.map {
      "\(machine): \($0.states) states and \($0.transitions) transitions at scope \($0.scope):"
        + " \($0.holds ? "every invariant holds" : "NOT all holds")"
    }
    lines += [
      "\(machine): canary \(canaryFound ? "found" : "NOT FOUND")",
      table(["invariant", "rule", "method", "size", "proved", "confirmed", "time"], rows),
    ]
    lines += liveness.map(\.text) + complaints
    lines += theorems.flatMap { unproved(of: $0) }
    if let counterexample { lines.append("\(counterexample)") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Counterexamples to induction are long, and one says as much as ten.
  private static let shown = 1

  private func unproved(of theorem: Theorem) -> [String] {
    theorem.unproved.enumerated().flatMap { number, item in
      var lines = ["not proved at real size: \(item.title)" + (item.reason.map { " (\($0))" } ?? "")]
      if number < Self.shown, let counterexample = item.counterexample { lines.append("\(counterexample)") }
      return lines
    }
  }
}
