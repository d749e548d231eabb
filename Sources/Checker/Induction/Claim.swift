// SPDX-License-Identifier: Apache-2.0

import Logic

/// One thing to be shown of a machine: that an invariant holds after some steps.
public struct Claim: Hashable, Sendable {
  /// Whether the first state is an initial one; otherwise it is any that satisfies every invariant.
  public let isInitial: Bool
  /// The steps, by indices into the specification's actions; none for "holds initially".
  public let actions: [Int]
  /// An index into the specification's invariants.
  public let invariant: Int
  /// Values of those arguments of the steps, and then of those indices of the invariant, that are taken case by
  /// case because they have only a few values and tables are indexed by them.
  public let cases: [UInt64]

  /// `Grants: map, unmap keep "pins balance"`.
  public func title(in specification: Specification) -> String {
    let steps = actions.map { specification.actions[$0].name }.joined(separator: ", ")
    let what = "\"\(specification.invariants[invariant].name)\""
    let numbered = cases.isEmpty ? "" : ", case \(cases.map { String($0) }.joined(separator: " "))"
    if actions.isEmpty { return "\(specification.name): initially \(what)\(numbered)" }
    return "\(specification.name): \(isInitial ? "initially, then " : "")\(steps) keeps \(what)\(numbered)"
  }
}

/// A claim as a question to a solver: it holds if the question's text cannot be satisfied.
public struct Obligation: Sendable {
  public let claim: Claim
  public let title: String
  /// Of the question's text: SMT-LIB 2, self-contained, so that anyone's solver can answer it.
  public let hash: ContentHash
  /// After how many rounds of looking for instances of invariants and assumptions the question is as it is.
  public let rounds: Int
}

/// A specification, with what is worked out once for all its obligations.
public struct InductiveProblem: Sendable {
  public let specification: Specification
  public let scope: Scope
  let tables: TableIndex
  /// The invariants that are proved and may be assumed: indices into the specification's.
  public let proved: [Int]
  /// Assumptions about components that no action changes: they hold in every state.
  let lasting: Set<Int>
  let invariantTriggers: [Triggers]
  let assumptionTriggers: [Triggers]
  /// By action and guard.
  let guardTriggers: [[Triggers]]

  public init(_ specification: Specification, scope: Scope = .real) {
    self.specification = specification
    self.scope = scope
    let tables = TableIndex(specification)
    self.tables = tables
    proved = specification.invariants.indices.filter {
      specification.invariants[$0].reading != .explorationOnly
    }
    invariantTriggers = specification.invariants.map {
      Triggers(bound: $0.bound, bodies: [$0.body], tables: tables)
    }
    assumptionTriggers = specification.assumptions.map {
      Triggers(bound: $0.bound, bodies: [$0.body], tables: tables)
    }
    guardTriggers = specification.actions.map { action in
      action.guards.map { Triggers(bound: $0.bound, bodies: [$0.condition], tables: tables) }
    }
    lasting = specification.lastingAssumptions
  }

  /// That an invariant holds initially, or after some steps: one claim for each case.
  func claims(isInitial: Bool, actions: [Int], invariant: Int) -> [Claim] {
    let sorts =
      actions.flatMap { specification.actions[$0].parameters.map(\.sort) }
      + specification.invariants[invariant].bound.map(\.sort)
    let cases = sorts.filter(tables.split.contains).reduce([[]]) { cases, sort in
      cases.flatMap { chosen in (0..<scope.count(of: sort)).map { chosen + [$0] } }
    }
    return cases.map { Claim(isInitial: isInitial, actions: actions, invariant: invariant, cases: $0) }
  }

  /// What 1-induction asks for: every invariant initially, and after every action.
  public var claims: [Claim] {
    proved.flatMap { claims(isInitial: true, actions: [], invariant: $0) }
      + specification.actions.indices.flatMap { action in
        proved.flatMap { claims(isInitial: false, actions: [action], invariant: $0) }
      }
  }
}

extension Specification {
  /// Assumptions about components that no action changes, which hold in every state: indices into `assumptions`.
  var lastingAssumptions: Set<Int> {
    let changed = Set(actions.flatMap(\.next.keys))
    func isConstant(_ node: Node) -> Bool {
      switch node.operation {
      case .stateScalar(let index), .stateTable(let index): !changed.contains(index)
      default: true
      }
    }
    return Set(
      assumptions.indices.filter { Self.nodes(below: [assumptions[$0].body]).allSatisfy(isConstant) })
  }
}
