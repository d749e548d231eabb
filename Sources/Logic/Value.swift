// SPDX-License-Identifier: Apache-2.0
//
// Values: what the body of an action computes with. They look like Swift values and are expressions.

/// An expression of one scalar, or of several (a record).
public protocol Value {
  /// The scalars that make up a value: their sorts, and names for those of a record ("" for a lone scalar).
  static var scalars: [Scalar] { get }
  init(nodes: [Node])
  var nodes: [Node] { get }
}

/// One scalar of a value.
public struct Scalar: Sendable, Hashable {
  public let name: String
  public let sort: Sort
}

/// A value that is a single scalar: it can be a parameter, a key of a table, a field of a record.
public protocol ScalarValue: Value {
  static var sort: Sort { get }
  init(node: Node)
  var node: Node { get }
}

extension ScalarValue {
  public static var scalars: [Scalar] { [Scalar(name: "", sort: sort)] }
  public init(nodes: [Node]) {
    precondition(nodes.count == 1, "one scalar")
    self.init(node: nodes[0])
  }
  public var nodes: [Node] { [node] }

  public static func == (a: Self, b: Self) -> Bit { Bit(node: Node(.equal, .bit, [a.node, b.node])) }
  public static func != (a: Self, b: Self) -> Bit { !(a == b) }

  /// Whether the value is one of `candidates`.
  public func isOne(of candidates: Self...) -> Bit {
    candidates.reduce(false) { $0 || self == $1 }
  }
}

/// A truth value.
public struct Bit: ScalarValue, ExpressibleByBooleanLiteral {
  public static var sort: Sort { .bit }
  public let node: Node
  public init(node: Node) { self.node = node }
  public init(booleanLiteral value: Bool) { node = value ? .yes : .no }
  public init(_ value: Bool) { node = value ? .yes : .no }

  public static func && (a: Bit, b: Bit) -> Bit { Bit(node: .and(a.node, b.node)) }
  public static func || (a: Bit, b: Bit) -> Bit { Bit(node: .or(a.node, b.node)) }
  public static prefix func ! (a: Bit) -> Bit { Bit(node: .not(a.node)) }

  /// Implication: false only where `self` holds and `other` does not.
  public func implies(_ other: Bit) -> Bit { !self || other }
}

/// Names a word sort and its sizes.
public protocol WordSort {
  static var sort: Sort { get }
}

/// An unsigned integer of the sort `S`; arithmetic wraps.
public struct Word<S: WordSort>: ScalarValue, ExpressibleByIntegerLiteral {
  public static var sort: Sort { S.sort }
  public let node: Node
  public init(node: Node) { self.node = node }
  public init(integerLiteral value: UInt64) { self.init(value) }
  public init(_ value: UInt64) { node = .constant(value, S.sort) }

  /// The largest value of the sort, at whichever size.
  public static var max: Self { Self(node: Node(.maximum, S.sort)) }

  /// A value of another word sort, truncated or zero-extended.
  public init<T>(resizing other: Word<T>) { node = Node(.resize, S.sort, [other.node]) }

  private static func binary(_ operation: Operation, _ a: Self, _ b: Self) -> Self {
    Self(node: Node(operation, S.sort, [a.node, b.node]))
  }
  public static func + (a: Self, b: Self) -> Self { binary(.add, a, b) }
  public static func - (a: Self, b: Self) -> Self { binary(.subtract, a, b) }
  public static func & (a: Self, b: Self) -> Self { binary(.bitAnd, a, b) }
  public static func | (a: Self, b: Self) -> Self { binary(.bitOr, a, b) }
  public static func ^ (a: Self, b: Self) -> Self { binary(.bitXor, a, b) }
  public static func += (a: inout Self, b: Self) { a = a + b }
  public static func -= (a: inout Self, b: Self) { a = a - b }
  public static func < (a: Self, b: Self) -> Bit { Bit(node: Node(.lessThan, .bit, [a.node, b.node])) }
  public static func <= (a: Self, b: Self) -> Bit { Bit(node: Node(.lessOrEqual, .bit, [a.node, b.node])) }
  public static func > (a: Self, b: Self) -> Bit { b < a }
  public static func >= (a: Self, b: Self) -> Bit { b <= a }
}

/// A word sort of exactly `n` bits at every scope.
public enum Bits<let n: Int>: WordSort {
  public static var sort: Sort { .word("BV\(n)", realBits: n, scopeBits: n) }
}

/// An unsigned integer of `n` bits at every scope.
public typealias BV<let n: Int> = Word<Bits<n>>

/// Names an identity sort and its sizes.
public protocol IdentitySort {
  static var sort: Sort { get }
}

/// One of the names of the sort `S`: compared, stored, used as a key, and nothing else.
public struct ID<S: IdentitySort>: ScalarValue {
  public static var sort: Sort { S.sort }
  public let node: Node
  public init(node: Node) { self.node = node }

  /// A particular name. Naming one takes its sort out of symmetry reduction.
  public init(_ value: UInt64) { node = .constant(value, S.sort) }
}

/// An enumeration that a specification's values range over; its cases' names appear in traces.
public protocol ChoiceSort: CaseIterable, Hashable, Sendable {}

/// A value of the enumeration `E`.
public struct Choice<E: ChoiceSort>: ScalarValue {
  public static var sort: Sort { .choice("\(E.self)", E.allCases.map { "\($0)" }) }
  public let node: Node
  public init(node: Node) { self.node = node }
  public init(_ value: E) {
    var index: UInt64 = 0
    for candidate in E.allCases {
      if candidate == value { break }
      index += 1
    }
    node = .constant(index, Self.sort)
  }

  public static func == (a: Self, b: E) -> Bit { a == Choice(b) }
  public static func != (a: Self, b: E) -> Bit { !(a == Choice(b)) }

  /// Whether the value is one of `cases`.
  public func isOne(of cases: E...) -> Bit { cases.reduce(false) { $0 || self == Choice($1) } }

  /// The first case whose condition holds, else the last: the order of an interface's checks, as a table.
  public static func first(_ rows: (Bit, E)..., otherwise last: E) -> Self {
    rows.reversed().reduce(Choice(last)) { choose($1.0, Choice($1.1), $0) }
  }
}

/// `a` where the condition holds, else `b`.
public func choose<V: Value>(_ condition: Bit, _ a: V, _ b: V) -> V {
  V(nodes: zip(a.nodes, b.nodes).map { .choose(condition.node, $0, $1) })
}
