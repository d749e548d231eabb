// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Conformance
import Foundation

/// `lockstep conform`: the optimised machines beside the specifications.
struct Conform: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare the optimised machines with their specifications, exhaustively and at random.",
    discussion:
      "Exhaustive: every state of each specification at a small scope, and in each every step of the "
      + "implementation. Random: sequences of operations, compared after every step; a failure is shrunk, "
      + "printed with its seed, and saved as an input of the machine's fuzz target.")

  @Argument(help: "Machines, by name; all if none is named.")
  var machines: [String] = []

  @Option(name: .long, help: "Random operations of each kind of trial.")
  var random = 1_000_000

  @Option(name: .long, help: "Where the random sequences begin; the same seed tries the same ones.")
  var seed: UInt64 = 1

  @Flag(name: .long, help: "Leave the exhaustive comparison out.")
  var randomOnly = false

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    guard random >= 1 else { throw CouldNotRun("--random \(random): at least 1 operation") }
    let line = ProgressLine(reporting)
    let watched = Interruption.end { line.clear() }
    defer { withExtendedLifetime(watched) {} }
    var holds = true
    let compared = try chosen(machines, from: ComparedMachine.all, named: \.name) {
      "no machine called \"\($0)\" is compared"
    }
    for machine in compared {
      if !randomOnly {
        for comparison in machine.exhaustive {
          holds = try exhaustive(comparison, of: machine, line) && holds
        }
      }
      for index in machine.fuzzTarget.trials.indices {
        holds = try random(index, of: machine.fuzzTarget, line) && holds
      }
    }
    if !holds { throw ExitStatus.violated.code }
  }

  private func exhaustive(
    _ comparison: ExhaustiveComparison, of machine: ComparedMachine, _ line: ProgressLine
  ) throws -> Bool {
    let start = ContinuousClock.now
    let report = comparison.run {
      line.show("\(machine.name), exhaustive: \($0.states) states, \($0.transitions) transitions")
    }
    line.clear()
    return try show(report, seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  private func random(_ index: Int, of target: FuzzTarget, _ line: ProgressLine) throws -> Bool {
    let trial = target.trials[index]
    let start = ContinuousClock.now
    let report = RandomDriver(trial, seed: seed).run(operations: random) {
      line.show("\(trial.name), random: \($0) of \(random) operations")
    }
    line.clear()
    let saved = try report.failure.map { try save(FuzzTarget.input(index, $0.bytes), for: target) }
    return try show(trial.name, report, seconds: (ContinuousClock.now - start) / .seconds(1), saved)
  }

  /// Saves an input that fails among the regressions of its fuzz target, where the tests replay it; outside the tree, in
  /// the current folder.
  /// - Returns: the file's path.
  private func save(_ input: [UInt8], for target: FuzzTarget) throws -> String {
    let regressions = "Fuzz/\(target.name)/regressions"
    let isInTree = FileManager.default.fileExists(atPath: regressions)
    let hash = input.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    let name = "random-\(String(hash, radix: 16))"
    let path = isInTree ? "\(regressions)/\(name)" : "\(target.name)-\(name)"
    do {
      try Data(input).write(to: URL(filePath: path))
    } catch {
      throw CouldNotRun("\(path): \(error.localizedDescription)")
    }
    return path
  }

  private struct Line: Encodable {
    let comparison: String
    let scope: String
    let states: Int?
    let operations: Int
    let rate: Int?
    let divergence: String?
    let bytes: [UInt8]?
    let saved: String?
  }

  private func show(_ report: ExhaustiveReport, seconds: Double) throws -> Bool {
    let divergence = report.divergence.map { "\($0)" }
    if reporting.json {
      try printJSON(
        Line(
          comparison: report.name, scope: report.scope, states: report.states, operations: report.transitions,
          rate: nil, divergence: divergence, bytes: nil, saved: nil))
    } else {
      print(
        "\(report.name), exhaustive, \(report.scope): \(report.states) of \(report.reachable) states, "
          + "\(report.transitions) transitions, \(String(format: "%.1f", seconds)) s: "
          + (divergence == nil ? "no divergence" : "DIVERGES"))
      if let divergence { print(divergence) }
    }
    return report.holds
  }

  private func show(
    _ name: String, _ report: RandomDriver.Report, seconds: Double, _ saved: String?
  ) throws -> Bool {
    let rate = seconds > 0 ? Int(Double(report.operations) / seconds) : 0
    let divergence = report.failure.map { "\($0.divergence)" }
    if reporting.json {
      try printJSON(
        Line(
          comparison: name, scope: "random, seed \(seed)", states: nil, operations: report.operations,
          rate: rate,
          divergence: divergence, bytes: report.failure?.bytes, saved: saved))
    } else {
      print(
        "\(name), random, seed \(seed): \(report.operations) operations compared, \(rate)/s: "
          + (divergence == nil ? "no divergence" : "DIVERGES"))
      if let failure = report.failure {
        print(failure.divergence)
        print("the shortest sequence found has \(failure.bytes.count) bytes")
        if let saved { print("saved: \(saved)") }
      }
    }
    return report.failure == nil
  }
}
