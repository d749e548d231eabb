// SPDX-License-Identifier: Apache-2.0

/// Something that must come about: for all values of its bound nodes, wherever `from` holds, `to` holds there or
/// later.
///
/// That is asked of the runs that are weakly fair to some actions: none in which a step of theirs, with given
/// arguments, must be taken for ever on end and never is. All else may happen, or not.
public struct LeadsTo: Sendable {
  public let name: String
  public let rule: String?
  public let bound: [Node]
  public let from: Node
  public let to: Node
  public let fair: [Fairness]
  public let site: Site
}

/// An action whose steps must not be put off for ever: each must be taken where it is possible, would change
/// something, and the condition holds.
public struct Fairness: Sendable {
  public let action: String
  /// Stand for the action's arguments in the condition.
  public let bound: [Node]
  /// Nil: always.
  public let condition: Node?

  init(_ action: String, bound: [Node] = [], condition: Node? = nil) {
    self.action = action
    self.bound = bound
    self.condition = condition
  }

  /// The condition for given arguments; nil if there is none.
  public func condition(at arguments: [UInt64]) -> Node? {
    condition.map { closed([$0], bound, arguments)[0] }
  }
}

extension Fairness: ExpressibleByStringLiteral {
  public init(stringLiteral action: String) { self.init(action) }
}

/// Nodes with values for what is bound in them.
private func closed(_ nodes: [Node], _ bound: [Node], _ values: [UInt64]) -> [Node] {
  let constants = zip(bound, values).map { (ObjectIdentifier($0), Node.constant($1, $0.sort)) }
  let rewriter = Rewriter(Dictionary(constants) { first, _ in first })
  return nodes.map(rewriter.rewritten)
}

extension LeadsTo {
  /// The claim for given values of its bound nodes, as conditions without any.
  public func at(_ values: [UInt64]) -> (from: Node, to: Node) {
    let nodes = closed([from, to], bound, values)
    return (nodes[0], nodes[1])
  }
}

extension Specification {
  /// The same machine, with nothing claimed, watched for some conditions by number.
  public func watching(_ conditions: [Node]) -> Specification {
    replacing(
      invariants: [],
      witnesses: conditions.enumerated().map {
        Witness(name: "condition \($0.offset)", bound: [], body: $0.element, site: Site("", 0))
      })
  }
}
