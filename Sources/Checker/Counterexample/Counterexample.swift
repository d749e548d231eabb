// SPDX-License-Identifier: Apache-2.0

import Logic

/// How a specification goes wrong: the steps from a state to one that breaks a rule.
///
/// It stands alone: it holds numbers, to be replayed, and words, to be read, and can be written as JSON.
public struct Counterexample: Sendable, Hashable, Codable {
  /// An argument, a result or an index: its name, its value, and the value in words.
  public struct Named: Sendable, Hashable, Codable {
    public let name: String
    public let value: UInt64
    public let text: String

    public init(_ name: String, _ value: UInt64, _ sort: Sort) {
      self.name = name
      self.value = value
      text = sort.describe(value)
    }
  }

  /// One action taken.
  public struct Step: Sendable, Hashable, Codable {
    public let action: String
    public let arguments: [Named]
    public let results: [Named]
    public let after: StateValues
    /// What the step changed, a line for each variable.
    public let differences: [String]
  }

  /// Where the first state comes from.
  public enum Origin: String, Sendable, Codable {
    /// It is an initial state: the machine does go wrong.
    case initial
    /// It satisfies every invariant but need not be reachable: a counterexample to induction.
    case arbitrary
  }

  /// What the last state breaks.
  public struct Violation: Sendable, Hashable, Codable {
    public enum Kind: String, Sendable, Codable { case invariant, deadlock, liveness }

    public let kind: Kind
    /// The invariant's name, or the eventuality's.
    public let name: String
    /// The rule's number, and what it says.
    public let rule: String?
    public let ruleText: String?
    public let site: Site?
    /// The indices at which the invariant fails.
    public let indices: [Named]
    /// liveness: how many states a fair run need never leave, of which the last one shown is one.
    public var endless: Int?
  }

  public let specification: String
  public let scope: Scope
  public let origin: Origin
  public let initial: StateValues
  /// The first state in words, without what is as every initial state has it.
  public let initialLines: [String]
  public let steps: [Step]
  public let violation: Violation
}

extension StateValues {
  /// What does not hold its declared initial value.
  func unusual(in specification: Specification) -> StateValues {
    var declared: [String: Component] = [:]
    for component in specification.components { declared[component.name] = component }
    let kept = entries.filter { declared[$0.cell.component]?.initial != .value($0.value) }
    return StateValues(
      Dictionary(kept.map { ($0.cell, $0.value) }, uniquingKeysWith: { first, _ in first }), in: specification
    )
  }
}

extension Counterexample {
  /// One action taken, as an engine knows it: an index into `specification.actions`, and values.
  public struct RawStep: Sendable {
    public let action: Int
    public let arguments: [UInt64]
    public let results: [UInt64]
    public let after: StateValues

    public init(action: Int, arguments: [UInt64], results: [UInt64], after: StateValues) {
      self.action = action
      self.arguments = arguments
      self.results = results
      self.after = after
    }
  }

  /// Puts what an engine found into words.
  public init(
    _ specification: Specification, scope: Scope, origin: Origin = .initial, initial: StateValues,
    steps: [RawStep], violation: Violation
  ) {
    self.specification = specification.name
    self.scope = scope
    self.origin = origin
    self.initial = initial
    self.violation = violation
    initialLines = initial.unusual(in: specification).lines(in: specification)
    var before = initial
    var readable: [Step] = []
    for step in steps {
      let action = specification.actions[step.action]
      readable.append(
        Step(
          action: action.name,
          arguments: zip(action.parameters, step.arguments).map { Named($0.name, $1, $0.sort) },
          results: zip(action.results, step.results).map { Named($0.scalar.name, $1, $0.scalar.sort) },
          after: step.after, differences: before.differences(to: step.after, in: specification)))
      before = step.after
    }
    self.steps = readable
  }
}

extension Counterexample.Violation {
  /// `invariant` fails at `indices`, one value for each of its bound nodes.
  public init(of invariant: Invariant, at indices: [UInt64], in specification: Specification) {
    kind = .invariant
    name = invariant.name
    rule = invariant.rule
    ruleText = specification.rules.first { $0.number == invariant.rule }?.text
    site = invariant.site
    self.indices = Self.named(invariant.bound, indices)
  }

  /// What must come about does not: a fair run may stay in some states for ever.
  public init(
    of claim: LeadsTo, at indices: [UInt64], staysIn states: Int, in specification: Specification
  ) {
    kind = .liveness
    name = claim.name
    rule = claim.rule
    ruleText = specification.rules.first { $0.number == claim.rule }?.text
    site = claim.site
    self.indices = Self.named(claim.bound, indices)
    endless = states
  }

  /// Indices, one value for each bound node.
  private static func named(_ bound: [Node], _ values: [UInt64]) -> [Counterexample.Named] {
    zip(bound, values).enumerated().map {
      Counterexample.Named("x\($0.offset)", $0.element.1, $0.element.0.sort)
    }
  }

  /// No action is possible.
  public static var deadlock: Self {
    Self(
      kind: .deadlock, name: "no action is possible", rule: nil, ruleText: nil, site: nil, indices: [])
  }
}
