// SPDX-License-Identifier: Apache-2.0
//
// What tracing yields: an immutable, shared graph of nodes over sorts, before any sort has a size. Hash-consing and
// folding come with the size, in the Elaborator.

/// What a node computes from its operands.
public enum Operation: Hashable, Sendable {
  /// A value of the node's sort, reduced to the sort's size where that is smaller.
  case constant(UInt64)
  /// The largest value of the node's sort, whatever its size.
  case maximum
  /// A scalar component of the state before the action.
  case stateScalar(Int)
  /// A table component of the state before the action.
  case stateTable(Int)
  /// The action's n-th scalar argument.
  case argument(Int)
  /// A variable bound by an update, an invariant or a count: told apart by the node's own identity.
  case bound(String)
  /// A table's entry: table, keys….
  case select
  /// A table with one entry replaced: table, keys…, value.
  case store
  /// A table whose every entry is computed: keys (bound nodes)…, body.
  case tabulate
  /// How many values of the bound nodes satisfy the body: bound…, body. Explorable only.
  case count
  case not, and, or
  case equal, lessThan, lessOrEqual
  case add, subtract, bitAnd, bitOr, bitXor
  /// Zero-extends or truncates to the node's sort.
  case resize
  /// condition, then, else; scalars and tables.
  case ifThenElse
}

/// A node of a traced specification.
public final class Node: Sendable {
  public let operation: Operation
  /// The sort of the value; for a table node that of its entries.
  public let sort: Sort
  public let operands: [Node]
  /// Whether a bound node is reachable: such nodes mean something only under a substitution.
  public let isOpen: Bool

  init(_ operation: Operation, _ sort: Sort, _ operands: [Node] = []) {
    self.operation = operation
    self.sort = sort
    self.operands = operands
    if case .bound = operation {
      isOpen = true
    } else {
      isOpen = operands.contains { $0.isOpen }
    }
  }

  static func constant(_ value: UInt64, _ sort: Sort) -> Node { Node(.constant(value), sort) }
  static let yes = Node(.constant(1), .bit)
  static let no = Node(.constant(0), .bit)

  var constantBit: Bool? {
    if case .constant(let value) = operation { return value != 0 }
    return nil
  }

  static func not(_ a: Node) -> Node {
    if let value = a.constantBit { return value ? no : yes }
    return a.operation == .not ? a.operands[0] : Node(.not, .bit, [a])
  }

  static func and(_ a: Node, _ b: Node) -> Node {
    if let value = a.constantBit { return value ? b : no }
    if let value = b.constantBit { return value ? a : no }
    return Node(.and, .bit, [a, b])
  }

  static func or(_ a: Node, _ b: Node) -> Node {
    if let value = a.constantBit { return value ? yes : b }
    if let value = b.constantBit { return value ? yes : a }
    return Node(.or, .bit, [a, b])
  }

  static func choose(_ condition: Node, _ a: Node, _ b: Node) -> Node {
    if a === b { return a }
    if let value = condition.constantBit { return value ? a : b }
    return Node(.ifThenElse, a.sort, [condition, a, b])
  }
}
