// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic
import Specs

/// Steps that one machine of a recorded run took, one after the other.
public struct TraceWindow: Sendable {
  public let machine: String
  /// The line of the trace that has the first of them, from 1 on.
  public let line: Int
  /// By the specification's numbers of actions.
  private(set) var steps: [SpecificationStep]
  let specification: Specification

  public var stepCount: Int { steps.count }

  /// Windows of every machine of a trace, at most `count` of each: those that together have the most pairs of neighbouring
  /// actions with their answers. What a machine does many times over is in a window but twice.
  /// - Parameter length: steps of a window.
  public static func windows(of path: String, length: Int, count: Int) throws(TraceError) -> [TraceWindow] {
    var all: [String: [TraceWindow]] = [:]
    for run in try TracedRun.runs(of: path) {
      for first in stride(from: 0, to: run.steps.count, by: max(length, 1)) {
        let steps = run.steps[first..<min(first + max(length, 1), run.steps.count)]
        guard steps.count > 1 else { continue }
        all[run.specification.name, default: []].append(
          TraceWindow(
            machine: run.specification.name, line: steps.first?.line ?? 0, steps: steps.map(\.step),
            specification: run.specification))
      }
    }
    return all.keys.sorted().flatMap { choose(all[$0] ?? [], count) }
  }

  /// What happened: an action, what it answered, and what came then.
  private struct Pair: Hashable {
    let action: Int
    let results: [UInt64]
    let next: Int
  }
  private var pairs: Set<Pair> {
    Set(
      zip(steps, steps.dropFirst()).map { step, next in
        Pair(action: step.action, results: answers(step), next: next.action)
      })
  }
  /// Answers that mean the same in every run.
  private func answers(_ step: SpecificationStep) -> [UInt64] {
    zip(step.results, specification.actions[step.action].results)
      .filter { Name.isFixed($0.1.scalar.sort) }.map(\.0)
  }

  private static func choose(_ windows: [TraceWindow], _ count: Int) -> [TraceWindow] {
    var rest = windows.map { (window: $0, pairs: $0.pairs) }
    var seen: Set<Pair> = []
    var chosen: [TraceWindow] = []
    while chosen.count < count,
      let best = rest.indices.max(by: { news(rest[$0].pairs, seen) < news(rest[$1].pairs, seen) }),
      news(rest[best].pairs, seen) > 0
    {
      chosen.append(rest[best].window)
      seen.formUnion(rest[best].pairs)
      rest.remove(at: best)
    }
    return chosen
  }

  private static func news(_ pairs: Set<Pair>, _ seen: Set<Pair>) -> Int {
    pairs.count { !seen.contains($0) }
  }

  /// A value that another run may call otherwise.
  private struct Name: Hashable {
    let sort: String
    let value: UInt64

    /// Whether values of a sort mean the same in every run: truth values, choices, words of few bits such as levels.
    static func isFixed(_ sort: Sort) -> Bool {
      switch sort.kind {
      case .bit, .choice: true
      case .word: sort.realBits <= 4
      case .identity: false
      }
    }
  }

  /// Leaves a step out.
  mutating func remove(_ step: Int) { steps.remove(at: step) }

  /// How many of the steps, from the first on, are among those that another run made, in their order: with its own names
  /// for domains, frames and the like, each of them for one of the trace's. Numbers may be any.
  func progress(of made: [SpecificationStep]) -> Int {
    var (given, taken): ([Name: UInt64], [Name: UInt64]) = ([:], [:])
    var next = 0
    for step in made where next < steps.count && step.action == steps[next].action {
      let wanted = steps[next]
      let action = specification.actions[step.action]
      let sorts = action.parameters.map(\.sort) + action.results.map(\.scalar.sort)
      var (new, back) = (given, taken)
      let fits = zip(sorts, zip(wanted.arguments + wanted.results, step.arguments + step.results)).allSatisfy
      {
        sort, pair in
        if Name.isFixed(sort) { return pair.0 == pair.1 }
        if sort.kind == .word { return true }
        let (its, ours) = (Name(sort: sort.name, value: pair.0), Name(sort: sort.name, value: pair.1))
        if let known = new[its] { return known == pair.1 }
        guard back[ours] == nil else { return false }
        (new[its], back[ours]) = (pair.1, pair.0)
        return true
      }
      guard fits else { continue }
      (given, taken, next) = (new, back, next + 1)
    }
    return next
  }
}

/// One machine of a trace, and its steps without what is done over and over.
private struct TracedRun {
  let specification: Specification
  /// The specification's number for each action, by the trace's.
  let actions: [Int]
  var steps: [(line: Int, step: SpecificationStep)] = []

  init(_ beginning: TraceMachine) throws {
    guard let subject = subjects.first(where: { $0.name == beginning.machine }) else {
      throw TraceProblem(message: "there is no machine \(beginning.machine)")
    }
    let specification = try subject.make().trace()
    self.specification = specification
    actions = try beginning.actions.map { name in
      guard let action = specification.actionIndex(name) else {
        throw TraceProblem(message: "\(beginning.machine) has no action \(name)")
      }
      return action
    }
  }

  mutating func add(_ numbers: ArraySlice<UInt64>, line: Int) {
    guard let first = numbers.first, first < UInt64(actions.count) else { return }
    let action = actions[Int(first)]
    let count = specification.actions[action].parameters.count
    let step = SpecificationStep(
      action: action, arguments: Array(numbers.dropFirst().prefix(count)),
      results: Array(numbers.dropFirst(1 + count)))
    if steps.suffix(2).count(where: { $0.step.action == action && $0.step.results == step.results }) == 2 {
      return
    }
    steps.append((line, step))
  }

  static func runs(of path: String) throws(TraceError) -> [TracedRun] {
    var runs: [Int: TracedRun] = [:]
    var lines = try TraceLines(path: path)
    while let line = try lines.next(), line.isComplete {
      if let numbers = TraceLine.numbers(line.bytes) {
        guard numbers.count > 1 else { continue }
        runs[Int(clamping: numbers[0])]?.add(numbers[1...], line: lines.number)
      } else if let beginning = try? JSONDecoder().decode(TraceMachine.self, from: Data(line.bytes)) {
        do { runs[beginning.id] = try TracedRun(beginning) } catch {
          throw TraceError(
            description: "\(path):\(lines.number): \((error as? TraceProblem)?.message ?? "\(error)")")
        }
      }
    }
    return runs.keys.sorted().compactMap { runs[$0] }
  }
}
