// SPDX-License-Identifier: Apache-2.0

extension Elaborator {
  /// Terms that together say the same as `term`: an "and" taken apart, and a status that is what no failed check
  /// makes it. What cannot hold is the constant "false" alone.
  public func conjuncts(of term: TermID) -> [TermID] {
    if let known = parts[term] { return known }
    var conjunction = Conjunction(elaborator: self)
    conjunction.split(term)
    let found = conjunction.isRefuted ? [no] : conjunction.found
    parts[term] = found
    return found
  }

  /// Whether a comparison cannot hold: the value is a choice, and all of what is chosen from is something else.
  func isImpossible(_ comparison: TermID) -> Bool {
    if let answer = impossible[comparison] { return answer }
    let answer = conjuncts(of: comparison) == [no]
    impossible[comparison] = answer
    return answer
  }
}

/// A term being taken apart.
private struct Conjunction {
  let elaborator: Elaborator
  private(set) var found: [TermID] = []
  private(set) var isRefuted = false
  private var seen: Set<TermID> = []

  init(elaborator: Elaborator) { self.elaborator = elaborator }

  mutating func split(_ term: TermID) {
    let item = elaborator[term]
    switch item.operation {
    case .constant(1): return
    case .constant: isRefuted = true
    case .and: for operand in item.operands { split(operand) }
    case .not:
      let inner = elaborator[item.operands[0]]
      if case .or = inner.operation {
        for operand in inner.operands { split(elaborator.not(operand)) }
      } else {
        keep(term)
      }
    case .equal: if !splitChoice(item) { keep(term) }
    default: keep(term)
    }
  }

  private mutating func keep(_ term: TermID) {
    guard seen.insert(term).inserted else { return }
    found.append(term)
    if seen.contains(elaborator.not(term)) { isRefuted = true }
  }

  /// (c ? x : y) = k is c and x = k where y = k cannot hold with "not c", and the same the other way round.
  private mutating func splitChoice(_ item: Term) -> Bool {
    splitChoice(item.operands[0], is: item.operands[1]) || splitChoice(item.operands[1], is: item.operands[0])
  }

  private mutating func splitChoice(_ value: TermID, is wanted: TermID) -> Bool {
    let choice = elaborator[value]
    guard choice.operation == .ifThenElse, elaborator.constantValue(wanted) != nil else { return false }
    let parts = choice.operands
    let (condition, other) = (parts[0], elaborator.not(parts[0]))
    let (first, second) = (elaborator.equal(parts[1], wanted), elaborator.equal(parts[2], wanted))
    if cannotHold(first, with: condition) {
      split(other)
      split(second)
      return true
    }
    if cannotHold(second, with: other) {
      split(condition)
      split(first)
      return true
    }
    return false
  }

  private func cannotHold(_ term: TermID, with condition: TermID) -> Bool {
    term == elaborator.no || term == elaborator.not(condition)
  }
}
