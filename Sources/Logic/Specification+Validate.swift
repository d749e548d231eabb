// SPDX-License-Identifier: Apache-2.0

extension Specification {
  /// Throws on what makes no sense, naming it.
  func validate() throws(SpecificationError) {
    try unique(actions.map(\.name), "actions")
    try unique(invariants.map(\.name), "invariants")
    try unique(witnesses.map(\.name), "witnesses")
    try unique(liveness.map(\.name), "eventualities")
    try unique(components.map(\.name), "variables")
    guard !components.isEmpty else { throw SpecificationError("\(name): no @Var and so no state") }
    for action in actions {
      let plain = action.guards.filter(\.bound.isEmpty).map(\.condition)
      try closed(plain + action.results.map(\.node), "action \(action.name)")
      try ghostsStayOut(of: action)
    }
    for item in liveness {
      for fairness in item.fair {
        guard let action = actions.first(where: { $0.name == fairness.action }) else {
          throw SpecificationError(
            "\(name): \"\(item.name)\" is fair to \(fairness.action), which is no action")
        }
        guard fairness.condition == nil || fairness.bound.map(\.sort) == action.parameters.map(\.sort) else {
          throw SpecificationError(
            "\(name): \"\(item.name)\" is fair to \(action.name) where something holds of other arguments")
        }
      }
    }
    let names = Set(invariants.map(\.name) + actions.map(\.name) + liveness.map(\.name))
    for rule in rules {
      for enforcer in rule.enforcedBy where !names.contains(enforcer) {
        throw SpecificationError(
          "\(name): rule \(rule.number) is enforced by \"\(enforcer)\", which does not exist")
      }
    }
    let numbers = Set(rules.map(\.number))
    for rule in invariants.compactMap(\.rule) + liveness.compactMap(\.rule)
      + actions.flatMap({ $0.guards.compactMap(\.rule) })
    where !numbers.contains(rule) {
      throw SpecificationError("\(name): rule \(rule) is named in the text and not among the rules")
    }
  }

  private func unique(_ names: [String], _ what: String) throws(SpecificationError) {
    var seen: Set<String> = []
    for name in names where !seen.insert(name).inserted {
      throw SpecificationError("\(self.name): two \(what) are called \"\(name)\"")
    }
  }

  /// A bound variable that escaped the body it belongs to.
  private func closed(_ nodes: [Node], _ place: String) throws(SpecificationError) {
    for node in nodes where node.isOpen && !Self.bindsItsOwn(node) {
      throw SpecificationError(
        "\(name): \(place) uses an index outside the update or invariant it belongs to")
    }
  }

  /// Whether every bound node reached is bound by a node above it.
  private static func bindsItsOwn(_ root: Node) -> Bool {
    func check(_ node: Node, _ inScope: Set<ObjectIdentifier>) -> Bool {
      guard node.isOpen else { return true }
      switch node.operation {
      case .bound: return inScope.contains(ObjectIdentifier(node))
      case .tabulate, .count:
        let inner = inScope.union(node.operands.dropLast().map { ObjectIdentifier($0) })
        return node.operands.allSatisfy { check($0, inner) }
      default: return node.operands.allSatisfy { check($0, inScope) }
      }
    }
    return check(root, [])
  }

  /// The machine must do the same whatever its ghosts hold; ghosts, whatever the witnesses hold.
  private func ghostsStayOut(of action: Action) throws(SpecificationError) {
    var readsOf: [ObjectIdentifier: Set<Int>] = [:]
    func reads(_ node: Node) -> Set<Int> {
      if let known = readsOf[ObjectIdentifier(node)] { return known }
      var result: Set<Int> = []
      switch node.operation {
      case .stateScalar(let index), .stateTable(let index): result = [index]
      default: for operand in node.operands { result.formUnion(reads(operand)) }
      }
      readsOf[ObjectIdentifier(node)] = result
      return result
    }
    func check(_ node: Node, _ allowed: Set<Role>, _ what: String) throws(SpecificationError) {
      for index in reads(node) where !allowed.contains(components[index].role) {
        throw SpecificationError(
          "\(name): \(what) of \(action.name) depends on the ghost \(components[index].name)")
      }
    }
    for (index, item) in action.guards.enumerated() {
      try check(item.condition, [.state], "guard \(index) (\(item.site))")
    }
    for result in action.results { try check(result.node, [.state], "the result") }
    for (index, node) in action.next {
      switch components[index].role {
      case .state: try check(node, [.state], "the new \(components[index].name)")
      case .ghost: try check(node, [.state, .ghost], "the new \(components[index].name)")
      case .witness: break
      }
    }
  }
}
