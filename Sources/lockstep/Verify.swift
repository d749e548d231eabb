// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Foundation
import Logic
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

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    let line = ProgressLine(reporting)
    let verifier = try makeVerifier()
    var results: [Verification] = []
    for subject in try chosenSubjects(machines) {
      do {
        results.append(try verifier.verify(subject) { line.show(String($0.prefix(100))) })
      } catch {
        throw CouldNotRun("\(error)")
      }
    }
    line.clear()
    verifier.memory?.save()
    for result in results { try reporting.json ? printJSON(result) : print(result.text) }
    if !reporting.json { print(Self.summary(results)) }
    if !results.allSatisfy(\.holds) { throw ExitStatus.violated.code }
  }

  private func makeVerifier() throws -> Verifier {
    var verifier = Verifier()
    if !noCertify {
      do { verifier.second = try SecondSolver() } catch { throw CouldNotRun(error.description) }
    }
    if !noCache {
      verifier.memory = AnswerFile(folder: cache ?? Self.cacheFolder)
      if let program = try? Data(contentsOf: URL(fileURLWithPath: "/proc/self/exe")) {
        verifier.programHash = ContentHash(of: program.base64EncodedString())
      }
    }
    return verifier
  }

  private static var cacheFolder: String {
    let environment = ProcessInfo.processInfo.environment
    return (environment["XDG_CACHE_HOME"] ?? NSHomeDirectory() + "/.cache") + "/lockstep"
  }

  private static func summary(_ results: [Verification]) -> String {
    let theorems = results.flatMap(\.theorems)
    let real = theorems.count { $0.method == .induction }
    let explored = theorems.count { $0.method == .exploration }
    let open = theorems.count - real - explored
    let alone = results.reduce(0) { $0 + $1.unconfirmed }
    let seconds = results.reduce(0) { $0 + $1.seconds }
    return
      "\(theorems.count) invariants: \(real) proved at real size, \(explored) explored only, \(open) open or"
      + " violated; \(alone) obligations rest on one solver alone; \(String(format: "%.1f", seconds)) s"
  }
}

extension Verification {
  /// The machine's part of the matrix.
  var text: String {
    let rows = theorems.map { theorem in
      [
        theorem.invariant, theorem.rule ?? "", theorem.method.rawValue, theorem.size,
        "\(theorem.proved)/\(theorem.obligations)", "\(theorem.confirmed)",
        String(format: "%.0f ms", theorem.milliseconds),
      ]
    }
    var lines = [
      "\(machine): \(states) states and \(transitions) transitions at scope \(scope):"
        + " \(explorationHolds ? "every invariant holds" : "NOT all holds"); canary"
        + " \(canaryFound ? "found" : "NOT FOUND")",
      table(["invariant", "rule", "method", "size", "proved", "confirmed", "time"], rows),
    ]
    lines += theorems.flatMap(\.unproved).map { "not proved at real size: \($0)" }
    if let counterexample { lines.append("\(counterexample)") }
    return lines.joined(separator: "\n") + "\n"
  }
}
