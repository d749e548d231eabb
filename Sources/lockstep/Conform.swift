// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Conformance
import Foundation
import Synchronization

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

  @Option(name: .long, help: "Comparisons that are made at a time.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  @OptionGroup var reporting: ReportingOptions

  /// What a comparison came to, as it is printed.
  private struct Outcome: Sendable {
    let text: String
    let holds: Bool
  }

  /// A comparison that is still to be made.
  private struct Comparison: Sendable {
    let isLong: Bool
    let run: @Sendable () throws -> Outcome
  }

  func run() throws {
    guard random >= 1 else { throw CouldNotRun("--random \(random): at least 1 operation") }
    guard threads >= 1 else { throw CouldNotRun("--threads \(threads): at least 1") }
    let line = ProgressLine(reporting)
    let watched = Interruption.end { line.clear() }
    defer { withExtendedLifetime(watched) {} }
    let compared = try chosen(machines, from: ComparedMachine.all, named: \.name) {
      "no machine called \"\($0)\" is compared"
    }
    let comparisons = compared.flatMap { self.comparisons(of: $0, line) }
    let output = OrderedOutput(line)
    let order =
      comparisons.indices.filter { comparisons[$0].isLong }
      + comparisons.indices.filter { !comparisons[$0].isLong }
    let outcomes = Workers.map(order.count, threads: threads, prepare: {}) { _, place in
      let index = order[place]
      let outcome = Result { try comparisons[index].run() }
      output.put((try? outcome.get().text) ?? "", at: index)
      return outcome
    }
    if try !outcomes.allSatisfy({ try $0.get().holds }) { throw ExitStatus.violated.code }
  }

  /// Everything that is compared of one machine.
  private func comparisons(of machine: ComparedMachine, _ line: ProgressLine)
    -> [Comparison]
  {
    let exhaustive = (randomOnly ? [] : machine.exhaustive).map { comparison in
      Comparison(isLong: comparison.isLong) { try self.exhaustive(comparison, of: machine, line) }
    }
    return exhaustive
      + machine.fuzzTarget.trials.indices.map { index in
        Comparison(isLong: false) { try self.random(index, of: machine.fuzzTarget, line) }
      }
  }

  private func exhaustive(
    _ comparison: ExhaustiveComparison, of machine: ComparedMachine, _ line: ProgressLine
  ) throws -> Outcome {
    let start = ContinuousClock.now
    let report = comparison.run {
      line.show("\(machine.name), exhaustive: \($0.states) states, \($0.transitions) transitions")
    }
    return Outcome(
      text: try text(report, seconds: (ContinuousClock.now - start) / .seconds(1)), holds: report.holds)
  }

  private func random(_ index: Int, of target: FuzzTarget, _ line: ProgressLine) throws -> Outcome {
    let trial = target.trials[index]
    let start = ContinuousClock.now
    let report = RandomDriver(trial, seed: seed).run(operations: random) {
      line.show("\(trial.name), random: \($0) of \(random) operations")
    }
    let saved = try report.failure.map { try save(FuzzTarget.input(index, $0.bytes), for: target) }
    return Outcome(
      text: try text(trial.name, report, seconds: (ContinuousClock.now - start) / .seconds(1), saved),
      holds: report.failure == nil)
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

  private func text(_ report: ExhaustiveReport, seconds: Double) throws -> String {
    let divergence = report.divergence.map { "\($0)" }
    if reporting.json {
      return try jsonLine(
        Line(
          comparison: report.name, scope: report.scope, states: report.states, operations: report.transitions,
          rate: nil, divergence: divergence, bytes: nil, saved: nil))
    }
    let line =
      "\(report.name), exhaustive, \(report.scope): \(report.states) of \(report.reachable) states, "
      + "\(report.transitions) transitions, \(String(format: "%.1f", seconds)) s: "
      + (report.holds ? "no divergence" : divergence == nil ? "NOT COMPLETE" : "DIVERGES")
    return ([line] + [divergence, report.incomplete].compactMap { $0 }).joined(separator: "\n")
  }

  private func text(
    _ name: String, _ report: RandomDriver.Report, seconds: Double, _ saved: String?
  ) throws -> String {
    let rate = seconds > 0 ? Int(Double(report.operations) / seconds) : 0
    let divergence = report.failure.map { "\($0.divergence)" }
    if reporting.json {
      return try jsonLine(
        Line(
          comparison: name, scope: "random, seed \(seed)", states: nil, operations: report.operations,
          rate: rate, divergence: divergence, bytes: report.failure?.bytes, saved: saved))
    }
    var lines = [
      "\(name), random, seed \(seed): \(report.operations) operations compared, \(rate)/s: "
        + (divergence == nil ? "no divergence" : "DIVERGES")
    ]
    if let failure = report.failure {
      lines.append("\(failure.divergence)")
      lines.append("the shortest sequence found has \(failure.bytes.count) bytes")
      if let saved { lines.append("saved: \(saved)") }
    }
    return lines.joined(separator: "\n")
  }
}

/// Prints what many threads find out in one order, each as soon as all before it is there.
private final class OrderedOutput: Sendable {
  private struct Waiting {
    var next = 0
    var texts: [Int: String] = [:]
  }

  private let line: ProgressLine
  private let waiting = Mutex(Waiting())

  init(_ line: ProgressLine) { self.line = line }

  func put(_ text: String, at index: Int) {
    waiting.withLock { waiting in
      waiting.texts[index] = text
      while let text = waiting.texts.removeValue(forKey: waiting.next) {
        line.clear()
        if !text.isEmpty { print(text) }
        waiting.next += 1
      }
    }
  }
}
