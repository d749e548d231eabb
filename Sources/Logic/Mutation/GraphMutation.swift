// SPDX-License-Identifier: Apache-2.0

/// A one-place change of an action's graph: a comparison that is off by one or turned round, a check of a status
/// table that is left out.
///
/// Only what the machine does is changed: comparisons that only ghosts use are left alone. Equal comparisons of one
/// action, such as those of a helper that it calls twice, change together.
public struct GraphMutation: Sendable {
  public enum Kind: String, Sendable {
    /// < for ≤ or ≤ for <.
    case offByOne = "off by one"
    /// ≠ for =.
    case turnedRound = "turned round"
    /// A row of `Choice.first` is skipped.
    case checkDropped = "check dropped"
  }

  public let kind: Kind
  /// Into the specification's actions.
  public let action: Int
  /// Counts the mutations of this kind and action, from 1.
  public let number: Int
  /// What is changed, as text.
  public let text: String
  let replacements: [ObjectIdentifier: Node]
}

extension Specification {
  /// Every mutation of every action's graph.
  public var graphMutations: [GraphMutation] { actions.indices.flatMap(graphMutations(of:)) }

  public func applying(_ mutation: GraphMutation) -> Specification {
    rewriting(mutation.action, mutation.replacements)
  }

  private func graphMutations(of index: Int) -> [GraphMutation] {
    let action = actions[index]
    var groups: [NodeShape: [Node]] = [:]
    var order: [NodeShape] = []
    let shapes = NodeShapes()
    for node in Self.nodes(below: machineRoots(of: action)) {
      guard Self.mutation(of: node) != nil else { continue }
      let shape = shapes.shape(of: node)
      if groups[shape] == nil { order.append(shape) }
      groups[shape, default: []].append(node)
    }
    var counts: [GraphMutation.Kind: Int] = [:]
    return order.compactMap { shape in
      let nodes = groups[shape] ?? []
      guard let first = nodes.first, let kind = Self.mutation(of: first)?.kind else { return nil }
      counts[kind, default: 0] += 1
      let pairs = nodes.compactMap { node in
        Self.mutation(of: node).map { (ObjectIdentifier(node), $0.node) }
      }
      let shown = kind == .checkDropped ? first.operands[0] : first
      let answer = kind == .checkDropped ? " → \(text(first.operands[1]))" : ""
      return GraphMutation(
        kind: kind, action: index, number: counts[kind] ?? 0, text: text(shown, in: action) + answer,
        replacements: Dictionary(pairs, uniquingKeysWith: { first, _ in first }))
    }
  }

  /// What the machine itself does: guards, answers and the state, without ghosts.
  private func machineRoots(of action: Action) -> [Node] {
    let next = action.next.sorted { $0.key < $1.key }.filter { components[$0.key].role == .state }
    return action.guards.map(\.condition) + action.results.map(\.node) + next.map(\.value)
  }

  /// What becomes of a node that can be mutated.
  private static func mutation(of node: Node) -> (kind: GraphMutation.Kind, node: Node)? {
    switch node.operation {
    case .lessThan: return (.offByOne, Node(.lessOrEqual, .bit, node.operands))
    case .lessOrEqual: return (.offByOne, Node(.lessThan, .bit, node.operands))
    case .equal: return (.turnedRound, .not(node))
    case .ifThenElse:
      guard case .choice = node.sort.kind, case .constant = node.operands[1].operation else { return nil }
      return (.checkDropped, node.operands[2])
    default: return nil
    }
  }
}

/// A node by what it says rather than by what it is.
struct NodeShape: Hashable {
  let number: Int
}

/// Numbers nodes so that nodes of one structure have one number.
final class NodeShapes {
  private struct Structure: Hashable {
    let operation: Operation
    let sort: Sort
    let operands: [NodeShape]
    /// Bound nodes are told apart by what they are.
    let identity: ObjectIdentifier?
  }
  private var numbers: [Structure: NodeShape] = [:]
  private var known: [ObjectIdentifier: NodeShape] = [:]

  func shape(of node: Node) -> NodeShape {
    if let shape = known[ObjectIdentifier(node)] { return shape }
    var identity: ObjectIdentifier?
    if case .bound = node.operation { identity = ObjectIdentifier(node) }
    let structure = Structure(
      operation: node.operation, sort: node.sort, operands: node.operands.map(shape), identity: identity)
    let shape = numbers[structure] ?? NodeShape(number: numbers.count)
    numbers[structure] = shape
    known[ObjectIdentifier(node)] = shape
    return shape
  }
}
