// SPDX-License-Identifier: Apache-2.0

import Logic

/// A step of a specification: an action, its arguments and what it answered.
public struct SpecificationStep: Sendable, Hashable {
  public var action: Int
  public var arguments: [UInt64]
  public var results: [UInt64]

  public init(action: Int, arguments: [UInt64], results: [UInt64]) {
    self.action = action
    self.arguments = arguments
    self.results = results
  }

  /// `unmap(mapper: domain1, handle: handle0, host: true, device: false) = okay`.
  public func describe(in specification: Specification) -> String {
    let declared = specification.actions[action]
    let arguments = zip(declared.parameters, arguments).map { "\($0.name): \($0.sort.describe($1))" }
    let results = zip(declared.results, results).map { $0.scalar.sort.describe($1) }
    let call = "\(declared.name)(\(arguments.joined(separator: ", ")))"
    return results.isEmpty ? call : "\(call) = \(results.joined(separator: ", "))"
  }
}

/// Sees every step that an oracle takes, and the one that it could not take.
public protocol StepObserver: AnyObject {
  /// - Parameter step: with what the implementation answered, as far as that was asked for.
  func observe(_ step: SpecificationStep)
}

/// A specification that follows an implementation step by step, and says so when it cannot.
public final class Oracle {
  public let simulator: Simulator
  public var observer: (any StepObserver)?
  /// Steps taken since the beginning.
  public private(set) var stepCount = 0
  /// The count at the last beginning.
  private var first = 0

  /// What the step taken last answered.
  public private(set) var results: [UInt64] = []
  /// The latest steps, `stride` numbers each, as a ring: nothing is allocated while all is well.
  private var recent: [UInt64]
  private let stride: Int
  private let argumentCounts: [Int]
  private static let recentLimit = 32

  public init(_ programs: ProgramSet) {
    simulator = Simulator(programs)
    let actions = programs.layout.specification.actions
    argumentCounts = actions.map(\.parameters.count)
    stride = 1 + (actions.map { $0.parameters.count + $0.results.count }.max() ?? 0)
    recent = Array(repeating: 0, count: stride * Self.recentLimit)
  }

  public var specification: Specification { simulator.layout.specification }

  /// Begins anew.
  public func reset() {
    simulator.reset()
    first = stepCount
  }

  /// Begins anew where it was: `state` is one that its simulator has had.
  func restore(_ state: [UInt64]) {
    simulator.registers.update(from: state, count: state.count)
    first = stepCount
  }

  /// Sets a scalar of the state, before the first step, by its register.
  /// - Returns: false, and nothing has changed, if the value is not one of its sort.
  func set(_ register: Int, to value: UInt64) -> Bool {
    let (component, keys) = simulator.layout.owner(of: register)
    return simulator.set(component, keys, to: value)
  }

  /// Takes a step if the specification allows it, and says whether it did.
  @discardableResult
  public func attempt(_ action: Int, _ arguments: [UInt64]) -> Bool {
    guard simulator.run(action, arguments) else { return false }
    commit(action)
    return true
  }

  /// `attempt` for an action of one argument.
  @discardableResult
  public func attempt(_ action: Int, _ argument: UInt64) -> Bool {
    simulator.setArgument(0, to: argument)
    guard simulator.run(action) else { return false }
    commit(action)
    return true
  }

  /// Takes a step that the implementation has taken.
  /// - Throws: if the specification does not allow it, or answers differently from `expected`.
  public func take(_ action: Int, _ arguments: [UInt64], expecting expected: [UInt64]? = nil)
    throws(Divergence)
  {
    for (index, argument) in arguments.enumerated() { simulator.setArgument(index, to: argument) }
    try take(action, expecting: expected)
  }

  /// `take` for an action of one argument.
  public func take(_ action: Int, _ argument: UInt64) throws(Divergence) {
    simulator.setArgument(0, to: argument)
    try take(action, expecting: nil)
  }

  private func take(_ action: Int, expecting expected: [UInt64]?) throws(Divergence) {
    guard simulator.run(action) else {
      let step = SpecificationStep(action: action, arguments: arguments(of: action), results: expected ?? [])
      observer?.observe(step)
      throw divergence(at: step, "the specification does not allow it here")
    }
    if let expected {
      for (index, value) in expected.enumerated() where simulator.result(index) != value {
        let step = SpecificationStep(action: action, arguments: arguments(of: action), results: expected)
        observer?.observe(step)
        let sort = specification.actions[action].results[index].scalar.sort
        throw divergence(
          at: step, "the specification answers \(sort.describe(simulator.result(index)))")
      }
    }
    commit(action)
  }

  private func arguments(of action: Int) -> [UInt64] {
    specification.actions[action].parameters.indices.map { simulator.argument($0) }
  }

  private func commit(_ action: Int) {
    let place = stepCount % Self.recentLimit * stride
    recent[place] = UInt64(action)
    for index in 0..<argumentCounts[action] { recent[place + 1 + index] = simulator.argument(index) }
    results.removeAll(keepingCapacity: true)
    for index in 0..<simulator.resultCount {
      results.append(simulator.result(index))
      recent[place + 1 + argumentCounts[action] + index] = simulator.result(index)
    }
    simulator.commit()
    stepCount += 1
    observer?.observe(
      SpecificationStep(action: action, arguments: arguments(of: action), results: results))
  }

  /// The latest steps, the last one last.
  private var recentSteps: [SpecificationStep] {
    (max(first, stepCount - Self.recentLimit)..<stepCount).map { step in
      let place = step % Self.recentLimit * stride
      let action = specification.actions[Int(recent[place])]
      let arguments = place + 1..<place + 1 + action.parameters.count
      let results = arguments.upperBound..<arguments.upperBound + action.results.count
      return SpecificationStep(
        action: Int(recent[place]), arguments: Array(recent[arguments]), results: Array(recent[results]))
    }
  }

  // MARK: Saying what is wrong

  public func divergence(at action: Int, _ arguments: [UInt64], _ reason: String) -> Divergence {
    divergence(at: SpecificationStep(action: action, arguments: arguments, results: []), reason)
  }

  public func divergence(at step: SpecificationStep, _ reason: String) -> Divergence {
    divergence(at: step.describe(in: specification), reason)
  }

  public func divergence(at step: String, _ reason: String, implementation: [String] = []) -> Divergence {
    Divergence(
      machine: specification.name, step: step, reason: reason, specification: describeState(),
      implementation: implementation,
      trace: recentSteps.map { $0.describe(in: specification) })
  }

  /// The state in words, without what is as it began.
  public func describeState() -> [String] {
    let layout = simulator.layout
    var values: [Cell: UInt64] = [:]
    let initial = layout.initialRegisters
    for register in 0..<layout.count where simulator[register] != initial[register] {
      values[layout.cell(of: register)] = simulator[register]
    }
    return StateValues(values, in: specification).lines(in: specification)
  }
}

extension ProgramSet {
  /// A specification of ours, at a scope that a model asks for: it makes sense, or the program is wrong.
  static func compiled(_ specification: @autoclosure () throws -> Specification, at scope: Scope)
    -> ProgramSet
  {
    do {
      return try ProgramSet(specification(), scope: scope)
    } catch {
      preconditionFailure("\(error)")
    }
  }
}

extension Specification {
  /// The index of an action that the specification must have.
  func action(_ name: String) -> Int {
    guard let index = actionIndex(name) else { preconditionFailure("\(self.name) has no action \(name)") }
    return index
  }
}

extension StateLayout {
  /// The register of an entry that the layout must have.
  func require(_ component: String, _ keys: [UInt64] = []) -> Int {
    guard let index = specification.componentIndex(component), let register = register(index, keys) else {
      preconditionFailure("\(specification.name) has no \(component)\(keys)")
    }
    return register
  }
}
