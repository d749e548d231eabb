// SPDX-License-Identifier: Apache-2.0

import Logic

/// A specification that follows an implementation, as those see it who count and record its steps.
protocol FollowingSpecification: AnyObject {
  var specification: Specification { get }
  var scope: Scope { get }
  /// Steps taken since the beginning.
  var stepCount: Int { get }
  var observer: (any StepObserver)? { get set }
  func take(_ action: Int, _ arguments: [UInt64], expecting expected: [UInt64]?) throws(Divergence)
  /// Sets a scalar of the state, before the first step.
  /// - Returns: false if there is no such scalar, or it does not hold such a value.
  func apply(_ start: TraceStart) -> Bool
}

extension Oracle: FollowingSpecification {
  var scope: Scope { simulator.layout.scope }
  func apply(_ start: TraceStart) -> Bool { start.apply(to: simulator) }
}

/// An `Oracle` for a specification at a size at which a state cannot be laid out entry by entry.
final class SparseOracle: FollowingSpecification {
  private(set) var simulator: SparseSimulator
  var observer: (any StepObserver)?
  private(set) var stepCount = 0
  /// The count when it began anew.
  private var first = 0
  /// What the steps have changed since the last `forgetChanges`.
  private(set) var changes: [SparseSimulator.Change] = []
  private var recent: [SpecificationStep] = []
  private static let recentLimit = 32

  init(_ programs: SparsePrograms) { simulator = SparseSimulator(programs) }

  var specification: Specification { simulator.programs.specification }
  var scope: Scope { simulator.programs.scope }

  func apply(_ start: TraceStart) -> Bool {
    guard let component = specification.componentIndex(start.component) else { return false }
    return simulator.set(component, start.keys, to: start.value)
  }

  /// Begins anew, in another state.
  func restart() {
    simulator = SparseSimulator(simulator.programs)
    forgetChanges()
    recent.removeAll(keepingCapacity: true)
    first = stepCount
  }

  func forgetChanges() { changes.removeAll(keepingCapacity: true) }

  /// Takes a step if the specification allows it, and says whether it did.
  @discardableResult
  func attempt(_ action: Int, _ arguments: [UInt64]) -> Bool {
    guard simulator.run(action, arguments) else { return false }
    commit(action, arguments)
    return true
  }

  /// Takes a step that the implementation has taken.
  /// - Throws: if the specification does not allow it, or answers differently from `expected`.
  func take(_ action: Int, _ arguments: [UInt64], expecting expected: [UInt64]? = nil) throws(Divergence) {
    let expected = expected ?? []
    let step = SpecificationStep(action: action, arguments: arguments, results: expected)
    guard simulator.run(action, arguments) else {
      observer?.observe(step)
      throw divergence(at: step.describe(in: specification), "the specification does not allow it here")
    }
    for (index, (found, value)) in zip(simulator.results, expected).enumerated() where found != value {
      observer?.observe(step)
      let sort = specification.actions[action].results[index].scalar.sort
      throw divergence(
        at: step.describe(in: specification), "the specification answers \(sort.describe(found))")
    }
    commit(action, arguments)
  }

  private func commit(_ action: Int, _ arguments: [UInt64]) {
    let step = SpecificationStep(action: action, arguments: arguments, results: simulator.results)
    if recent.count < Self.recentLimit {
      recent.append(step)
    } else {
      recent[(stepCount - first) % Self.recentLimit] = step
    }
    simulator.commit()
    changes += simulator.changes
    stepCount += 1
    observer?.observe(step)
  }

  // MARK: Saying what is wrong

  func divergence(at step: String, _ reason: String, implementation: [String] = []) -> Divergence {
    let oldest = recent.count < Self.recentLimit ? 0 : (stepCount - first) % Self.recentLimit
    let steps = recent[oldest...] + recent[..<oldest]
    return Divergence(
      machine: specification.name, step: step, reason: reason, specification: describeChanges(),
      implementation: implementation, trace: steps.map { $0.describe(in: specification) })
  }

  /// What the operation under way has changed, in words, and how much there is in all.
  private func describeChanges() -> [String] {
    var lines: [String] = []
    for change in changes.suffix(64) {
      let declared = specification.components[change.component]
      let keys = zip(declared.keys, simulator.keys(of: change.component, change.key))
        .map { $0.describe($1) }.joined(separator: ", ")
      let value = declared.sort.describe(simulator[change.component, change.key])
      lines.append(
        declared.keys.isEmpty ? "\(declared.name) = \(value)" : "\(declared.name)[\(keys)] = \(value)")
    }
    for (component, declared) in specification.components.enumerated() where !declared.keys.isEmpty {
      let count = simulator.entryCount(of: component)
      if count != 0 { lines.append("\(declared.name): \(count) entries are not as they began") }
    }
    return lines
  }
}
