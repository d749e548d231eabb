// SPDX-License-Identifier: Apache-2.0

extension Action {
  /// Whether two actions are the same but for the names of nodes: then they behave alike, in every state. What is
  /// written differently is not alike, although it may behave so.
  func isAlike(_ other: Action) -> Bool {
    guard parameters == other.parameters, guards.count == other.guards.count,
      results.count == other.results.count, next.keys == other.next.keys
    else { return false }
    let likeness = Likeness()
    return zip(guards, other.guards).allSatisfy { mine, theirs in
      mine.rule == theirs.rule && likeness.holds(mine.bound, theirs.bound)
        && likeness.holds(mine.condition, theirs.condition)
    } && zip(results, other.results).allSatisfy { likeness.holds($0.node, $1.node) }
      && next.allSatisfy { index, node in other.next[index].map { likeness.holds(node, $0) } ?? false }
  }
}

/// Pairs the nodes of two graphs, each with one of the other.
private final class Likeness {
  private var partners: [ObjectIdentifier: ObjectIdentifier] = [:]
  private var isTaken: Set<ObjectIdentifier> = []

  func holds(_ mine: [Node], _ theirs: [Node]) -> Bool {
    mine.count == theirs.count && zip(mine, theirs).allSatisfy { holds($0, $1) }
  }

  func holds(_ mine: Node, _ theirs: Node) -> Bool {
    let (id, other) = (ObjectIdentifier(mine), ObjectIdentifier(theirs))
    if let known = partners[id] { return known == other }
    guard mine.operation == theirs.operation, mine.sort == theirs.sort,
      holds(mine.operands, theirs.operands), isTaken.insert(other).inserted
    else { return false }
    partners[id] = other
    return true
  }
}
