// SPDX-License-Identifier: Apache-2.0

extension Elaborator {
  /// The same operation on other operands, folded anew.
  public func remake(_ id: TermID, with operands: [TermID]) -> TermID {
    let term = self[id]
    if term.operands == operands { return id }
    func operand(_ index: Int) -> TermID { operands[index] }
    switch term.operation {
    case .constant, .scalar, .symbol: return id
    case .entry(let state, let component): return entry(component, operands, state: state)
    case .not: return not(operand(0))
    case .and: return and(operand(0), operand(1))
    case .or: return or(operand(0), operand(1))
    case .equal: return equal(operand(0), operand(1))
    case .lessThan: return lessThan(operand(0), operand(1))
    case .lessOrEqual: return lessOrEqual(operand(0), operand(1))
    case .add, .subtract, .bitAnd, .bitOr, .bitXor:
      return arithmetic(term.operation, operand(0), operand(1))
    case .resize: return resize(operand(0), to: term.width)
    case .ifThenElse: return ifThenElse(operand(0), operand(1), operand(2))
    }
  }
}
