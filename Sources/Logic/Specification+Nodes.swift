// SPDX-License-Identifier: Apache-2.0

extension Specification {
  /// Every expression of the specification, by what it belongs to.
  var roots: [Node] {
    var roots: [Node] = []
    for action in actions {
      roots += action.guards.map(\.condition) + action.results.map(\.node)
      roots += action.next.sorted { $0.key < $1.key }.map(\.value)
    }
    roots += (invariants + assumptions).map(\.body)
    roots += witnesses.map(\.body) + liveness.flatMap { [$0.from, $0.to] + $0.fair.compactMap(\.condition) }
    return roots
  }

  /// Every node of the specification, once.
  public var nodes: [Node] { Self.nodes(below: roots) }

  /// Every node reached from `roots`, once, operands before what they are part of.
  public static func nodes(below roots: [Node]) -> [Node] {
    var seen: Set<ObjectIdentifier> = []
    var found: [Node] = []
    func visit(_ node: Node) {
      guard seen.insert(ObjectIdentifier(node)).inserted else { return }
      for operand in node.operands { visit(operand) }
      found.append(node)
    }
    for root in roots { visit(root) }
    return found
  }
}
