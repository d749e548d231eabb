// SPDX-License-Identifier: Apache-2.0

import Logic

/// Takes given steps on a specification and says what they break: what a saved counterexample's test does.
public struct Replay {
  public typealias Start = (variable: String, keys: [UInt64], value: UInt64)
  public typealias Step = (action: String, arguments: [UInt64])

  private let layout: StateLayout
  private let interpreter: Interpreter

  /// - Throws: if the specification does not fit the scope.
  public init(_ specification: Specification, scope: Scope) throws(SpecificationError) {
    layout = try StateLayout(specification, scope: scope)
    interpreter = Interpreter(layout)
  }

  /// The invariant that a run breaks first, and after which step; nil if it breaks none. The run ends where a step is
  /// not possible any more.
  /// - Parameter start: what the first state holds otherwise than every initial state does.
  /// - Throws: if there is no such variable, entry or action.
  public func firstViolation(from start: [Start] = [], _ steps: [Step]) throws(SpecificationError) -> String?
  {
    let specification = layout.specification
    var state = layout.initialRegisters
    for cell in start {
      guard let component = specification.componentIndex(cell.variable),
        let register = layout.register(component, cell.keys)
      else { throw SpecificationError("\(specification.name) has no \(cell.variable)\(cell.keys)") }
      state[register] = cell.value
    }
    if let broken = broken(in: state) { return "\(broken), initially" }
    for (number, step) in steps.enumerated() {
      guard let index = specification.actionIndex(step.action),
        specification.actions[index].parameters.count == step.arguments.count
      else { throw SpecificationError("\(specification.name) has no \(step.action)\(step.arguments)") }
      guard let outcome = interpreter.step(specification.actions[index], step.arguments, in: state) else {
        return nil
      }
      state = outcome.state
      if let broken = broken(in: state) { return "\(broken), after step \(number + 1), \(step.action)" }
    }
    return nil
  }

  private func broken(in state: [UInt64]) -> String? {
    layout.specification.invariants.first { claim in
      claim.reading != .proofOnly && interpreter.counterexample(to: claim, in: state) != nil
    }?.name
  }
}
