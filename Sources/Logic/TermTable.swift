// SPDX-License-Identifier: Apache-2.0

/// Finds terms by what they are: a hash table of their indices, open and probed in order.
///
/// Engines make terms by the million, and most of them twice: the standard library's hash, made to withstand hostile
/// keys, was a fifth of the time that a mutant takes.
struct TermTable {
  private struct Slot {
    var hash: UInt32 = 0
    /// Of the term; −1: the slot is free.
    var index: Int32 = -1
  }

  private var slots = [Slot](repeating: Slot(), count: 1024)

  /// Appends a term to those that the table knows; nil if it was not there yet, otherwise where it is.
  mutating func add(_ term: Term, to terms: inout [Term]) -> TermID? {
    let hash = UInt32(truncatingIfNeeded: term.quickHash >> 32)
    var place = Int(hash) & (slots.count - 1)
    while slots[place].index >= 0 {
      let slot = slots[place]
      if slot.hash == hash, terms[Int(slot.index)] == term { return TermID(Int(slot.index)) }
      place = (place + 1) & (slots.count - 1)
    }
    slots[place] = Slot(hash: hash, index: Int32(terms.count))
    terms.append(term)
    if terms.count * 2 > slots.count { grow() }
    return nil
  }

  private mutating func grow() {
    var larger = [Slot](repeating: Slot(), count: slots.count * 4)
    for slot in slots where slot.index >= 0 {
      var place = Int(slot.hash) & (larger.count - 1)
      while larger[place].index >= 0 { place = (place + 1) & (larger.count - 1) }
      larger[place] = slot
    }
    slots = larger
  }
}

extension Term {
  fileprivate var quickHash: UInt64 {
    let (kind, payload) = operation.code
    var hash = payload &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(kind << 8 | width << 1 | (isBit ? 1 : 0))
    for operand in operands {
      hash = (hash ^ hash >> 29) &* 0xBF58_476D_1CE4_E5B9 &+ UInt64(UInt32(bitPattern: operand.index))
    }
    hash = (hash ^ hash >> 32) &* 0x94D0_49BB_1331_11EB
    return hash ^ hash >> 29
  }
}

extension Term.Operation {
  /// A number for the operation, and what it is about.
  fileprivate var code: (kind: Int, payload: UInt64) {
    switch self {
    case .constant(let value): (0, value)
    case .scalar(let state, let component): (1, UInt64(state) << 32 | UInt64(component))
    case .entry(let state, let component): (2, UInt64(state) << 32 | UInt64(component))
    case .symbol(let number): (3, UInt64(number))
    case .not: (4, 0)
    case .and: (5, 0)
    case .or: (6, 0)
    case .equal: (7, 0)
    case .lessThan: (8, 0)
    case .lessOrEqual: (9, 0)
    case .add: (10, 0)
    case .subtract: (11, 0)
    case .bitAnd: (12, 0)
    case .bitOr: (13, 0)
    case .bitXor: (14, 0)
    case .resize: (15, 0)
    case .ifThenElse: (16, 0)
    }
  }
}
