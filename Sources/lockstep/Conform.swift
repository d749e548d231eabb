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

  @Option(name: .long, help: "Random operations for each machine.")
  var random = 50_000

  @Option(name: .long, help: "Where the random sequences begin; the same seed tries the same ones.")
  var seed: UInt64 = 1

  @Option(name: .long, help: "Slots of the rings compared exhaustively: 1 or 2; both if it is not given.")
  var slots: Int?

  @Flag(name: .long, help: "Leave the exhaustive comparison out.")
  var randomOnly = false

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    if let slots, slots != 1, slots != 2 { throw CouldNotRun("--slots \(slots): 1 or 2") }
    guard random >= 1 else { throw CouldNotRun("--random \(random): at least 1 operation") }
    var holds = true
    if !randomOnly { holds = try exhaustive() }
    for target in FuzzTarget.all {
      for (index, trial) in target.trials.enumerated() {
        let start = ContinuousClock.now
        let report = RandomDriver(trial, seed: seed).run(operations: random)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let saved = try report.failure.map { try save(FuzzTarget.input(index, $0.bytes), for: target) }
        holds = try show(trial.name, report, seconds: seconds, saved) && holds
      }
    }
    if !holds { throw ExitStatus.violated.code }
  }

  private func exhaustive() throws -> Bool {
    var holds = try show { GrantsExploration().run() }
    for hostile in [true, false] {
      for size in [1, 2] {
        holds =
          try show { StreamExploration(OptimisedStreamReader.self, size: size, hostile: hostile).run() }
          && holds
        holds =
          try show { StreamExploration(OptimisedStreamWriter.self, size: size, hostile: hostile).run() }
          && holds
      }
      for slots in slots.map({ [$0] }) ?? [1, 2] {
        holds =
          try show { RingExploration(OptimisedBackSide.self, slots: slots, hostile: hostile).run() } && holds
        holds =
          try show { RingExploration(OptimisedFrontSide.self, slots: slots, hostile: hostile).run() } && holds
      }
    }
    return holds
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

  private func show(_ compare: () -> ExhaustiveReport) throws -> Bool {
    let start = ContinuousClock.now
    let report = compare()
    let seconds = Double((ContinuousClock.now - start) / .seconds(1))
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
