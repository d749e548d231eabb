// SPDX-License-Identifier: Apache-2.0
//
// Terms: nodes once every sort has a size. Hash-consed (equal terms have equal IDs), folded, and free of table
// expressions: what is left of a table is reading an entry of a base state.

/// A term of an `Elaborator`; meaningless with any other.
public struct TermID: Hashable, Sendable {
  public let index: Int32
  init(_ index: Int) { self.index = Int32(index) }
}

/// One hash-consed term.
public struct Term: Hashable, Sendable {
  public enum Operation: Hashable, Sendable {
    case constant(UInt64)
    /// A scalar component of the base state `state`.
    case scalar(state: Int, component: Int)
    /// An entry of a table component of the base state `state`; operands: keys.
    case entry(state: Int, component: Int)
    /// A free constant: an action's argument, an arbitrary index.
    case symbol(Int)
    case not, and, or
    case equal, lessThan, lessOrEqual
    case add, subtract, bitAnd, bitOr, bitXor
    /// Zero-extends or truncates to the term's width.
    case resize
    case ifThenElse
  }

  public let operation: Operation
  /// Bits: 1 … 64; truth values have 1.
  public let width: Int
  /// Whether it is a truth value rather than a word of one bit.
  public let isBit: Bool
  public let operands: [TermID]
}

/// A free constant.
public struct Symbol: Sendable, Hashable {
  public let name: String
  public let sort: Sort
}
