// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Conformance
import Foundation

/// `lockstep conform`: the optimised machines beside the specifications.
struct Conform: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare the optimised machines with their specifications, exhaustively and at random.",
    discussion:
      "Exhaustive: every state of the ring's specification at a small scope, and in each every step of the "
      + "implementation. Random: sequences of operations, compared after every step; a failure is shrunk and "
      + "printed with its seed.")

  @Option(name: .long, help: "Random operations for each machine.")
  var random = 50_000

  @Option(name: .long, help: "Where the random sequences begin; the same seed tries the same ones.")
  var seed: UInt64 = 1

  @Option(name: .long, help: "Slots of the rings compared exhaustively: 1, or 2, which takes long.")
  var slots = 1

  @Flag(name: .long, help: "Leave the exhaustive comparison out.")
  var randomOnly = false

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    guard slots == 1 || slots == 2 else { throw CouldNotRun("--slots \(slots): 1 or 2") }
    guard random >= 1 else { throw CouldNotRun("--random \(random): at least 1 operation") }
    var holds = true
    if !randomOnly {
      holds = try show { GrantsExploration().run() } && holds
      for hostile in [true, false] {
        let back = RingExploration(OptimisedBackSide.self, slots: slots, hostile: hostile)
        holds = try show { back.run() } && holds
        let front = RingExploration(OptimisedFrontSide.self, slots: slots, hostile: hostile)
        holds = try show { front.run() } && holds
        for size in [1, 2] {
          let reader = StreamExploration(OptimisedStreamReader.self, size: size, hostile: hostile)
          holds = try show { reader.run() } && holds
          let writer = StreamExploration(OptimisedStreamWriter.self, size: size, hostile: hostile)
          holds = try show { writer.run() } && holds
        }
      }
    }
    for trial in Trial.all {
      let start = ContinuousClock.now
      let report = RandomDriver(trial, seed: seed).run(operations: random)
      holds = try show(trial.name, report, seconds: (ContinuousClock.now - start) / .seconds(1)) && holds
    }
    if !holds { throw ExitStatus.violated.code }
  }

  private struct Line: Encodable {
    let comparison: String
    let scope: String
    let states: Int?
    let operations: Int
    let rate: Int?
    let divergence: String?
    let bytes: [UInt8]?
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
          rate: nil, divergence: divergence, bytes: nil))
    } else {
      print(
        "\(report.name), exhaustive, \(report.scope): \(report.states) of \(report.reachable) states, "
          + "\(report.transitions) transitions, \(String(format: "%.1f", seconds)) s: "
          + (divergence == nil ? "no divergence" : "DIVERGES"))
      if let divergence { print(divergence) }
    }
    return report.holds
  }

  private func show(_ name: String, _ report: RandomDriver.Report, seconds: Double) throws -> Bool {
    let rate = seconds > 0 ? Int(Double(report.operations) / seconds) : 0
    let divergence = report.failure.map { "\($0.divergence)" }
    if reporting.json {
      try printJSON(
        Line(
          comparison: name, scope: "random, seed \(seed)", states: nil, operations: report.operations,
          rate: rate,
          divergence: divergence, bytes: report.failure?.bytes))
    } else {
      print(
        "\(name), random, seed \(seed): \(report.operations) operations compared, \(rate)/s: "
          + (divergence == nil ? "no divergence" : "DIVERGES"))
      if let failure = report.failure {
        print(failure.divergence)
        print("bytes of the shortest sequence found: \(failure.bytes)")
      }
    }
    return report.failure == nil
  }
}
