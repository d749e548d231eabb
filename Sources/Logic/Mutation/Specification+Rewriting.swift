// SPDX-License-Identifier: Apache-2.0

extension Specification {
  /// The specification with some nodes of one action replaced by others, wherever the action uses them.
  public func rewriting(_ action: Int, _ replacements: [ObjectIdentifier: Node]) -> Specification {
    let rewriter = Rewriter(replacements)
    let old = actions[action]
    var actions = self.actions
    actions[action] = Action(
      name: old.name, parameters: old.parameters,
      guards: old.guards.map {
        Guard(bound: $0.bound, condition: rewriter.rewritten($0.condition), rule: $0.rule, site: $0.site)
      },
      results: old.results.map { ($0.scalar, rewriter.rewritten($0.node)) },
      next: old.next.mapValues(rewriter.rewritten), assignments: old.assignments, site: old.site)
    return replacing(actions: actions)
  }

  /// The specification with only some of its invariants.
  public func keepingInvariants(_ keeps: (Invariant) -> Bool) -> Specification {
    replacing(invariants: invariants.filter(keeps))
  }

  func replacing(
    components: [Component]? = nil, actions: [Action]? = nil, invariants: [Invariant]? = nil,
    witnesses: [Witness]? = nil
  ) -> Specification {
    Specification(
      name: name, components: components ?? self.components, actions: actions ?? self.actions,
      invariants: invariants ?? self.invariants, witnesses: witnesses ?? self.witnesses,
      assumptions: assumptions, rules: rules, liveness: liveness)
  }
}

/// Rebuilds what lies above replaced nodes; everything else stays the same node.
final class Rewriter {
  private let replacements: [ObjectIdentifier: Node]
  private var known: [ObjectIdentifier: Node] = [:]

  init(_ replacements: [ObjectIdentifier: Node]) { self.replacements = replacements }

  func rewritten(_ node: Node) -> Node {
    if let replacement = replacements[ObjectIdentifier(node)] { return replacement }
    if let done = known[ObjectIdentifier(node)] { return done }
    let operands = node.operands.map(rewritten)
    let isSame = zip(operands, node.operands).allSatisfy { $0 === $1 }
    let result = isSame ? node : Node(node.operation, node.sort, operands)
    known[ObjectIdentifier(node)] = result
    return result
  }
}
