// SPDX-License-Identifier: Apache-2.0

/// A state as terms: what each component holds, read entry by entry.
public protocol StateView: AnyObject {
  func scalar(_ component: Int) -> TermID
  func entry(_ component: Int, _ keys: [TermID]) -> TermID
}

/// A state of which nothing is known: its components are symbols and uninterpreted functions.
public final class BaseState: StateView {
  let elaborator: Elaborator
  /// Tells base states of one elaborator apart.
  public let number: Int

  public init(_ elaborator: Elaborator, number: Int = 0) {
    self.elaborator = elaborator
    self.number = number
  }
  public func scalar(_ component: Int) -> TermID { elaborator.scalar(component, state: number) }
  public func entry(_ component: Int, _ keys: [TermID]) -> TermID {
    elaborator.entry(component, keys, state: number)
  }
}

/// The state in which every component has its initial value; `Initial.any` reads as base state `number`.
public final class InitialState: StateView {
  private let base: BaseState

  public init(_ elaborator: Elaborator, number: Int = 0) { base = BaseState(elaborator, number: number) }

  public func scalar(_ component: Int) -> TermID { constant(component) ?? base.scalar(component) }
  public func entry(_ component: Int, _ keys: [TermID]) -> TermID {
    constant(component) ?? base.entry(component, keys)
  }
  private func constant(_ component: Int) -> TermID? {
    let declared = base.elaborator.specification.components[component]
    guard case .value(let value) = declared.initial else { return nil }
    return base.elaborator.constant(value, declared.sort)
  }
}

/// The state after an action, in terms of the state before and the arguments.
public final class SuccessorState: StateView {
  private let action: Action
  private let before: any StateView
  private let evaluation: Evaluation

  public init(_ elaborator: Elaborator, after action: Action, arguments: [TermID], from before: any StateView)
  {
    precondition(arguments.count == action.parameters.count, "\(action.name): one term for each parameter")
    self.action = action
    self.before = before
    evaluation = Evaluation(elaborator, state: before, arguments: arguments)
  }

  public func scalar(_ component: Int) -> TermID {
    guard let node = action.next[component] else { return before.scalar(component) }
    return evaluation.value(of: node)
  }
  public func entry(_ component: Int, _ keys: [TermID]) -> TermID {
    guard let node = action.next[component] else { return before.entry(component, keys) }
    return evaluation.entry(of: node, keys)
  }

  /// The condition of each guard, guards over all indices written out: for scopes that can be enumerated.
  public var guardTerms: [TermID] { action.guards.map { evaluation.enumerated($0.bound, $0.condition) } }
  /// The condition under which the action is possible: for scopes that can be enumerated.
  public var guardTerm: TermID { evaluation.all(guardTerms) }
  /// A guard at the given indices (none for most guards).
  public func instance(of item: Guard, at indices: [TermID]) -> TermID {
    evaluation.binding(item.bound, to: indices).value(of: item.condition)
  }
  /// What the action answers.
  public var results: [TermID] { action.results.map { evaluation.value(of: $0.node) } }
}
