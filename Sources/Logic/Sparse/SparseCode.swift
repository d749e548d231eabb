// SPDX-License-Identifier: Apache-2.0
//
// What a `SparseSimulator` runs: sparse programs as plain values one after the other, which name one another by number.
// Working them out counts no references and hashes nothing; that was more than half of what following a guest's tables
// took.

/// Some values that lie one after the other.
struct SparseSpan: BitwiseCopyable, Sendable {
  let first, count: Int32
  var range: Range<Int> { Int(first)..<Int(first) + Int(count) }
}

/// Plain values in memory that never moves.
final class SparseValues<Element: BitwiseCopyable & Sendable>: @unchecked Sendable {
  let base: UnsafePointer<Element>
  let count: Int

  init(_ elements: [Element]) {
    let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
    memory.initialize(from: elements, count: elements.count)
    (base, count) = (UnsafePointer(memory), elements.count)
  }

  deinit { base.deallocate() }
}

/// Sparse programs, laid out to be run.
struct SparseCode: Sendable {
  /// A term.
  struct Node: BitwiseCopyable, Sendable {
    enum Kind: UInt8 {
      case constant, scalar, entry, symbol, not, and, or, equal, lessThan, lessOrEqual, ifThenElse, resize
      case add, subtract, bitAnd, bitOr, bitXor
    }
    var kind: Kind
    /// Whether it depends on keys that are searched.
    var isOpen: Bool
    /// Of a scalar or an entry.
    var component: Int32 = 0
    /// The operands' numbers. An entry's keys are `b` parts from `a` on.
    var a: Int32 = 0
    var b: Int32 = 0
    var c: Int32 = 0
    /// A constant's value; otherwise the bits that the term has.
    var word: UInt64
  }
  /// A key of an entry, and where it lies among the packed ones.
  struct Part: BitwiseCopyable, Sendable {
    let term: Int32
    let shift: UInt64
  }
  struct Key: BitwiseCopyable, Sendable {
    let symbol: Int32
    let count: UInt64
  }
  /// A way to find keys; see `SparseSearch.Way`.
  struct Way: BitwiseCopyable, Sendable {
    /// By key: the term that it equals; −1 for none. Among `numbers`.
    let fixed: SparseSpan
    /// Which keys are tried value by value. Among `numbers`.
    let free: SparseSpan
    /// How many tuples those have; `UInt64.max` for more than there are.
    let tupleCount: UInt64
    /// The table whose entries are visited; −1 for none.
    let component: Int32
    /// How its keys are made.
    let places: SparseSpan
    /// What the entries must hold; −1: anything but what they began with.
    let held: Int32
  }
  /// A key of a visited entry.
  struct Place: BitwiseCopyable, Sendable {
    let shift, mask: UInt64
    /// The key that it is; −1: it must equal a term.
    let key: Int32
    let term: Int32
    /// Whether that key is known already.
    let isFixed: Bool
  }
  struct Condition: BitwiseCopyable, Sendable {
    let term: Int32
    let holds: Bool
  }
  struct Search: BitwiseCopyable, Sendable {
    let known: SparseSpan
    /// Numbers of ways. Among `numbers`.
    let ways: SparseSpan
  }
  struct Claim: BitwiseCopyable, Sendable {
    let keys, searches: SparseSpan
    let condition: Int32
  }
  struct Change: BitwiseCopyable, Sendable {
    let component, condition, value: Int32
    let parts: SparseSpan
  }
  struct Bulk: BitwiseCopyable, Sendable {
    let keys, searches, changes: SparseSpan
  }
  struct Program: BitwiseCopyable, Sendable {
    /// Among `numbers`.
    let parameters, results: SparseSpan
    let violations, bulks, changes: SparseSpan
  }

  let nodes: SparseValues<Node>
  let parts: SparseValues<Part>
  let numbers: SparseValues<Int32>
  let keys: SparseValues<Key>
  let ways: SparseValues<Way>
  let places: SparseValues<Place>
  let conditions: SparseValues<Condition>
  let searches: SparseValues<Search>
  let claims: SparseValues<Claim>
  let changes: SparseValues<Change>
  let bulks: SparseValues<Bulk>
  let programs: SparseValues<Program>
  /// Of the longest tuple of keys.
  let keyLimit: Int
}
