// SPDX-License-Identifier: Apache-2.0
//
// Constructors that fold what is known: a term made twice is one term, and constants do not survive.

extension Elaborator {
  public func not(_ a: TermID) -> TermID {
    if let value = constantValue(a) { return value == 0 ? yes : no }
    if case .not = self[a].operation { return self[a].operands[0] }
    return intern(.not, width: 1, isBit: true, [a])
  }

  public func and(_ a: TermID, _ b: TermID) -> TermID {
    if let value = constantValue(a) { return value == 0 ? no : b }
    if let value = constantValue(b) { return value == 0 ? no : a }
    if a == b { return a }
    if a == not(b) { return no }
    return intern(.and, width: 1, isBit: true, ordered(a, b))
  }

  public func or(_ a: TermID, _ b: TermID) -> TermID {
    if let value = constantValue(a) { return value == 0 ? b : yes }
    if let value = constantValue(b) { return value == 0 ? a : yes }
    if a == b { return a }
    if a == not(b) { return yes }
    return intern(.or, width: 1, isBit: true, ordered(a, b))
  }

  public func implies(_ a: TermID, _ b: TermID) -> TermID { or(not(a), b) }
  public func all(_ items: [TermID]) -> TermID { items.reduce(yes, and) }
  public func any(_ items: [TermID]) -> TermID { items.reduce(no, or) }

  public func equal(_ a: TermID, _ b: TermID) -> TermID {
    precondition(self[a].width == self[b].width, "values of different widths compared")
    if a == b { return yes }
    if let x = constantValue(a), let y = constantValue(b) { return x == y ? yes : no }
    if self[a].isBit {
      if let x = constantValue(a) { return x == 0 ? not(b) : b }
      if let y = constantValue(b) { return y == 0 ? not(a) : a }
    }
    let made = intern(.equal, width: 1, isBit: true, ordered(a, b))
    return isImpossible(made) ? no : made
  }

  public func lessThan(_ a: TermID, _ b: TermID) -> TermID {
    if a == b { return no }
    if let x = constantValue(a), let y = constantValue(b) { return x < y ? yes : no }
    if constantValue(b) == 0 || constantValue(a) == mask(self[a].width) { return no }
    return intern(.lessThan, width: 1, isBit: true, [a, b])
  }

  public func lessOrEqual(_ a: TermID, _ b: TermID) -> TermID {
    if a == b { return yes }
    if let x = constantValue(a), let y = constantValue(b) { return x <= y ? yes : no }
    if constantValue(a) == 0 || constantValue(b) == mask(self[b].width) { return yes }
    return intern(.lessOrEqual, width: 1, isBit: true, [a, b])
  }

  public func ifThenElse(_ condition: TermID, _ a: TermID, _ b: TermID) -> TermID {
    if let value = constantValue(condition) { return value == 0 ? b : a }
    if a == b { return a }
    if self[a].isBit {
      if let value = constantValue(a) { return value == 0 ? and(not(condition), b) : or(condition, b) }
      if let value = constantValue(b) { return value == 0 ? and(condition, a) : or(not(condition), a) }
    }
    if case .not = self[condition].operation { return ifThenElse(self[condition].operands[0], b, a) }
    return intern(.ifThenElse, width: self[a].width, isBit: self[a].isBit, [condition, a, b])
  }

  public func resize(_ a: TermID, to width: Int) -> TermID {
    if self[a].width == width { return a }
    if let value = constantValue(a) { return constant(value, width: width) }
    return intern(.resize, width: width, isBit: false, [a])
  }

  /// add, subtract, bitAnd, bitOr, bitXor.
  public func arithmetic(_ operation: Term.Operation, _ a: TermID, _ b: TermID) -> TermID {
    let width = self[a].width
    precondition(width == self[b].width, "words of different widths")
    if let x = constantValue(a), let y = constantValue(b) {
      return constant(Elaborator.compute(operation, x, y), width: width)
    }
    if let folded = neutral(operation, a, b, width) { return folded }
    let operands = operation == .subtract ? [a, b] : ordered(a, b)
    return intern(operation, width: width, isBit: false, operands)
  }

  /// Arithmetic on 64-bit values; the caller masks.
  static func compute(_ operation: Term.Operation, _ x: UInt64, _ y: UInt64) -> UInt64 {
    switch operation {
    case .add: x &+ y
    case .subtract: x &- y
    case .bitAnd: x & y
    case .bitOr: x | y
    case .bitXor: x ^ y
    default: preconditionFailure("not an arithmetic operation")
    }
  }

  private func neutral(_ operation: Term.Operation, _ a: TermID, _ b: TermID, _ width: Int) -> TermID? {
    let (x, y) = (constantValue(a), constantValue(b))
    switch operation {
    case .add, .bitOr, .bitXor:
      if x == 0 { return b }
      if y == 0 { return a }
      if a == b, operation == .bitXor { return constant(0, width: width) }
    case .subtract:
      if y == 0 { return a }
      if a == b { return constant(0, width: width) }
    case .bitAnd:
      if x == 0 || y == mask(width) { return a }
      if y == 0 || x == mask(width) { return b }
    default: break
    }
    return nil
  }

  private func ordered(_ a: TermID, _ b: TermID) -> [TermID] { a.index <= b.index ? [a, b] : [b, a] }
}
