// SPDX-License-Identifier: Apache-2.0

import Logic

/// What a liveness claim comes to at a scope.
public struct LivenessResult: Sendable, Codable {
  public let name: String
  public let rule: String?
  public let scope: String
  /// How many states, over all indices, ask for something that is not there yet.
  public let beginnings: Int
  /// A fair run that never comes to what it must.
  public let counterexample: Counterexample?
  /// Whether some run that is not fair never does: if none, the claim's fairness says nothing.
  public let needsFairness: Bool

  /// Whether the claim holds, and not for nothing.
  public var holds: Bool { reason == nil }

  /// Why it does not hold; nil if it does.
  public var reason: String? {
    if counterexample != nil { return "a fair run never comes to it" }
    if beginnings == 0 { return "nothing asks for it at scope \(scope)" }
    return needsFairness ? nil : "it holds of every run: its fairness says nothing"
  }
}

/// Checks what a specification says must come about, on all states and steps at a scope.
///
/// States are not taken up to renaming, and no step is left out: fairness is of single steps.
public struct LivenessCheck {
  private let specification: Specification
  private let explorer: Explorer
  private let graph: StateGraph
  private let claims: [WatchedClaim]

  /// Explores.
  /// - Throws: if the specification cannot be explored at the scope, or not in the memory allowed.
  public init(_ specification: Specification, scope: Scope, memoryLimit: Int = 4 << 30)
    throws(SpecificationError)
  {
    self.specification = specification
    var conditions: [Node] = []
    claims = specification.liveness.map {
      WatchedClaim($0, in: specification, scope: scope, watching: &conditions)
    }
    var options = ExplorationOptions()
    options.usesSymmetry = false
    options.leavesOutRedundant = false
    options.memoryLimit = memoryLimit
    explorer = try Explorer(specification.watching(conditions), scope: scope, options: options)
    let found = explorer.run()
    guard found.isComplete else {
      throw SpecificationError(
        "\(specification.name): liveness at scope \(scope.name) needs more than \(memoryLimit) bytes")
    }
    graph = StateGraph(explorer)
  }

  public var states: Int { graph.count }

  /// What each claim comes to, in the specification's order.
  public func results() -> [LivenessResult] {
    claims.map { watched in
      let runs = watched.searches(graph, isFair: true)
      let escapes = runs.enumerated().lazy.compactMap { number, run in run.escape().map { (number, $0) } }
      return LivenessResult(
        name: watched.claim.name, rule: watched.claim.rule, scope: explorer.layout.scope.name,
        beginnings: runs.reduce(0) { $0 + $1.beginnings.count },
        counterexample: escapes.first.map { number, escape in
          explorer.counterexample(
            along: escape, breaking: watched.claim, at: watched.cases[number], in: specification)
        },
        needsFairness: watched.searches(graph, isFair: false).contains { $0.escape() != nil })
    }
  }
}

/// A claim, and where the conditions that it speaks of stand among those that the graph is watched for.
private struct WatchedClaim {
  let claim: LeadsTo
  /// The values of its bound nodes.
  let cases: [[UInt64]]
  /// The number of the first case's "from"; its "to" comes next, and then the next case's.
  private let first: Int
  private var duties: [ActionInstance: FairRuns.Duty] = [:]

  init(_ claim: LeadsTo, in specification: Specification, scope: Scope, watching conditions: inout [Node]) {
    self.claim = claim
    cases = scope.tuples(of: claim.bound.map(\.sort))
    first = conditions.count
    conditions += cases.flatMap { [claim.at($0).from, claim.at($0).to] }
    for fairness in claim.fair {
      guard let action = specification.actionIndex(fairness.action) else { continue }
      for instance in InstancePlan.instances(of: action, in: specification, scope) {
        duties[instance] = .always
        if let condition = fairness.condition(at: instance.arguments) {
          duties[instance] = .wherever(condition: conditions.count)
          conditions.append(condition)
        }
      }
    }
  }

  /// A search for each case, among the runs that are fair or among all.
  func searches(_ graph: StateGraph, isFair: Bool) -> [FairRuns] {
    let fairness = graph.instances.map { isFair ? duties[$0] ?? .none : .none }
    return cases.indices.map {
      FairRuns(graph: graph, from: first + 2 * $0, to: first + 2 * $0 + 1, fairness: fairness)
    }
  }
}

extension Explorer {
  /// The way to a set of states that a run need never leave, in words.
  fileprivate func counterexample(
    along escape: FairRuns.Escape, breaking claim: LeadsTo, at values: [UInt64],
    in specification: Specification
  ) -> Counterexample {
    counterexample(
      to: escape.way[0], then: Array(escape.way.dropFirst()),
      Counterexample.Violation(of: claim, at: values, staysIn: escape.states.count, in: specification))
  }
}
