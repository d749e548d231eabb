// SPDX-License-Identifier: Apache-2.0

extension TermCompiler {
  /// Goes to `label` unless the condition holds; only what it takes to know is computed.
  package func jump(unless condition: TermID, to label: Label) {
    let item = elaborator[condition]
    if isKnown(condition) { return jump(.jumpIfZero, register(of: condition), to: label) }
    func compare(_ operation: Instruction.Operation) {
      jump(operation, register(of: item.operands[0]), register(of: item.operands[1]), to: label)
    }
    switch item.operation {
    case .constant(let value): if value == 0 { jump(.jump, to: label) }
    case .and: for operand in item.operands { jump(unless: operand, to: label) }
    case .not: jump(if: item.operands[0], to: label)
    case .equal: compare(.jumpIfNotEqual)
    case .lessThan: compare(.jumpIfNotLess)
    case .lessOrEqual: compare(.jumpIfNotLessOrEqual)
    default: jump(.jumpIfZero, register(of: condition), to: label)
    }
  }

  /// Goes to `label` if the condition holds.
  package func jump(if condition: TermID, to label: Label) {
    let item = elaborator[condition]
    if isKnown(condition) { return jump(.jumpIfNotZero, register(of: condition), to: label) }
    func compare(_ operation: Instruction.Operation) {
      jump(operation, register(of: item.operands[0]), register(of: item.operands[1]), to: label)
    }
    switch item.operation {
    case .constant(let value): if value != 0 { jump(.jump, to: label) }
    case .or: for operand in item.operands { jump(if: operand, to: label) }
    case .not: jump(unless: item.operands[0], to: label)
    case .equal: compare(.jumpIfEqual)
    case .lessThan: compare(.jumpIfLess)
    case .lessOrEqual: compare(.jumpIfLessOrEqual)
    default: jump(.jumpIfNotZero, register(of: condition), to: label)
    }
  }

  /// At run time, for every tuple of values of `sorts`, the last running fastest: works out a term that depends on
  /// them and runs `body` on it. What does not depend on them is computed once, before.
  package func loop(over sorts: [Sort], _ term: ([TermID]) -> TermID, _ body: (TermID) -> Void) {
    let keys = sorts.map { sort in
      let key = elaborator.symbol("key", sort)
      bind(key, to: temporary())
      return key
    }
    let term = term(keys)
    hoist(term, outOf: Set(keys))
    func nest(_ depth: Int) {
      guard depth < keys.count else { return body(term) }
      let counter = register(of: keys[depth])
      append(Instruction(operation: .move, target: counter, a: constant(0)))
      let start = code.count
      scoped { nest(depth + 1) }
      append(Instruction(operation: .increment, target: counter))
      let end = constant(elaborator.scope.count(of: sorts[depth]))
      append(Instruction(operation: .jumpIfLess, target: Int32(start), a: counter, b: end))
    }
    nest(0)
  }

  /// Computes now whatever in `term` does not depend on `keys`, so that a loop over them need not.
  private func hoist(_ term: TermID, outOf keys: Set<TermID>) {
    var dependent: [TermID: Bool] = [:]
    func depends(_ term: TermID) -> Bool {
      if let known = dependent[term] { return known }
      let answer = keys.contains(term) || elaborator[term].operands.map(depends).contains(true)
      dependent[term] = answer
      return answer
    }
    var seen: Set<TermID> = []
    func visit(_ term: TermID) {
      guard seen.insert(term).inserted else { return }
      if depends(term) {
        for operand in elaborator[term].operands { visit(operand) }
      } else {
        _ = register(of: term)
      }
    }
    visit(term)
  }
}
