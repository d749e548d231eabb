// SPDX-License-Identifier: Apache-2.0
//
// Where a condition on the keys of a table may hold, found without looking at every key: from the term alone, taken
// apart into cases. In each case a key that must equal something known is that; a key at which a table must hold
// something else than it began with is one of the few that do. What is found is a superset: whoever searches evaluates
// the condition at each key.

/// How to find the keys at which a condition may hold, in one of its cases.
struct SparseSearch: Hashable {
  /// One way; `fixed` says which keys are known, by the terms that they equal.
  struct Way: Hashable {
    /// A table, and how its keys are made of the keys that are searched (`bound`), or of what is known.
    struct Support: Hashable {
      enum Part: Hashable {
        case bound(Int)
        case known(TermID)
      }
      let component: Int
      let parts: [Part]
      /// What the entry must hold; nil: anything but what it began with.
      let value: TermID?
    }
    var fixed: [TermID?]
    var support: Support?
  }
  /// What must be so in this case and does not depend on the keys.
  var known: [TermID: Bool]
  var ways: [Way]
  /// The keys that are known, whatever the way.
  var fixed: [TermID?] { ways[0].fixed }
}

/// Which terms depend on keys that are searched.
final class Openness {
  private let elaborator: Elaborator
  var keys: Set<TermID>
  private var known: [TermID: Bool] = [:]

  init(_ elaborator: Elaborator, keys: Set<TermID> = []) {
    self.elaborator = elaborator
    self.keys = keys
  }

  func isOpen(_ term: TermID) -> Bool {
    if keys.contains(term) { return true }
    if let known = known[term] { return known }
    let answer = elaborator[term].operands.contains(where: isOpen)
    known[term] = answer
    return answer
  }
}

/// Takes a condition on some keys apart.
struct SparseSearches {
  private let elaborator: Elaborator
  private let keys: [TermID]
  private let counts: [UInt64]
  private let isOpen: (TermID) -> Bool

  private typealias Case = [TermID: Bool]

  /// - Parameters:
  ///   - keys: the keys searched.
  ///   - isOpen: whether a term depends on them.
  init(_ elaborator: Elaborator, keys: [SparsePrograms.Key], isOpen: @escaping (TermID) -> Bool) {
    self.elaborator = elaborator
    self.keys = keys.map(\.symbol)
    counts = keys.map(\.count)
    self.isOpen = isOpen
  }

  /// Where a condition may hold.
  func holding(_ condition: TermID) -> [SparseSearch] { searches(cases(condition, true, [:])) }

  /// Where an entry that is `old` becomes something else.
  func changing(_ old: TermID, to new: TermID) -> [SparseSearch] {
    guard elaborator[new].isBit else { return searches(cases(elaborator.equal(new, old), false, [:])) }
    return searches(
      cases(old, false, [:]).flatMap { cases(new, true, $0) }
        + cases(old, true, [:]).flatMap { cases(new, false, $0) })
  }

  // MARK: Cases

  /// The cases in which a term holds, or does not, each with what was given.
  private func cases(_ term: TermID, _ holds: Bool, _ given: Case) -> [Case] {
    if let known = given[term] { return known == holds ? [given] : [] }
    let item = elaborator[term]
    let operands = item.operands
    switch item.operation {
    case .constant(let value): return (value != 0) == holds ? [given] : []
    case .not: return cases(operands[0], !holds, given)
    case .and, .or:
      if (item.operation == .and) == holds {
        return operands.reduce([given]) { all, operand in all.flatMap { cases(operand, holds, $0) } }
      }
      return unique(operands.flatMap { cases($0, holds, given) })
    case .ifThenElse:
      return chosen(operands[0], given) { branch, given in cases(operands[branch ? 1 : 2], holds, given) }
    case .equal: return equal(term, operands[0], operands[1], holds, given)
    default: return assuming(term, holds, given)
    }
  }

  private func equal(_ term: TermID, _ a: TermID, _ b: TermID, _ holds: Bool, _ given: Case) -> [Case] {
    for (choice, other) in [(a, b), (b, a)] where elaborator[choice].operation == .ifThenElse {
      let parts = elaborator[choice].operands
      return chosen(parts[0], given) { branch, given in
        cases(elaborator.equal(parts[branch ? 1 : 2], other), holds, given)
      }
    }
    guard elaborator[a].isBit else { return assuming(term, holds, given) }
    return unique(
      [true, false].flatMap { value in
        cases(a, value, given).flatMap { cases(b, value == holds, $0) }
      })
  }

  /// The cases of a choice: those of what is chosen first, for there may be none.
  private func chosen(_ condition: TermID, _ given: Case, _ body: (Bool, Case) -> [Case]) -> [Case] {
    unique(
      [true, false].flatMap { branch in
        body(branch, given).flatMap { cases(condition, branch, $0) }
      })
  }

  private func assuming(_ term: TermID, _ holds: Bool, _ given: Case) -> [Case] {
    var all = given
    all[term] = holds
    return [all]
  }

  private func unique(_ cases: [Case]) -> [Case] {
    var seen: Set<Case> = []
    return cases.filter { seen.insert($0).inserted }
  }

  // MARK: Ways

  private func searches(_ cases: [Case]) -> [SparseSearch] {
    var seen: Set<SparseSearch> = []
    return cases.map(search).filter { seen.insert($0).inserted }
  }

  private func search(_ literals: Case) -> SparseSearch {
    var fixed: [TermID?] = Array(repeating: nil, count: keys.count)
    var supports: Set<SparseSearch.Way.Support> = []
    for (term, holds) in literals {
      let item = elaborator[term]
      if item.operation == .equal, !holds {
        for (a, b) in [(item.operands[0], item.operands[1]), (item.operands[1], item.operands[0])] {
          if let support = support(of: a, isNot: b) { supports.insert(support) }
        }
      } else if !holds {
        continue
      } else if item.operation == .equal {
        for (a, b) in [(item.operands[0], item.operands[1]), (item.operands[1], item.operands[0])] {
          guard !isOpen(b) else { continue }
          if let key = keys.firstIndex(of: a) { fixed[key] = b }
          if let support = support(of: a, holding: b) { supports.insert(support) }
        }
      } else if let support = support(of: term, holding: nil) {
        supports.insert(support)
      }
    }
    let all = SparseSearch.Way(fixed: fixed, support: nil)
    // A few keys are looked at whatever else is known: so there are few cases.
    if tupleCount(all) <= Self.few { return SparseSearch(known: [:], ways: [all]) }
    return SparseSearch(
      known: literals.filter { !isOpen($0.key) },
      ways: [all] + supports.map { SparseSearch.Way(fixed: fixed, support: $0) })
  }

  /// Of so many keys a condition is evaluated for each.
  private static let few: UInt64 = 1024

  /// How many tuples of keys a way leaves open, for each entry of its table; `UInt64.max` for more.
  private func tupleCount(_ way: SparseSearch.Way) -> UInt64 {
    var isFree = way.fixed.map { $0 == nil }
    for case .bound(let key)? in way.support?.parts ?? [] { isFree[key] = false }
    return counts.indices.reduce(1) { count, index in
      let product = count.multipliedReportingOverflow(by: isFree[index] ? counts[index] : 1)
      return product.overflow ? .max : product.partialValue
    }
  }

  /// Whether a search ends soon, whatever the tables hold and the terms are.
  func isBounded(_ search: SparseSearch) -> Bool {
    search.ways.contains { way in
      guard tupleCount(way) <= Self.few else { return false }
      guard let support = way.support, let value = support.value else { return true }
      return elaborator.constantValue(value).map { $0 != initial(support.component) } ?? false
    }
  }

  private func initial(_ component: Int) -> UInt64 {
    if case .value(let value) = elaborator.specification.components[component].initial { value } else { 0 }
  }

  /// The entries of a table that hold something, if that is what an entry's being unequal to `value` says.
  private func support(of term: TermID, isNot value: TermID) -> SparseSearch.Way.Support? {
    guard case .entry(_, let component) = elaborator[term].operation,
      elaborator.constantValue(value) == initial(component)
    else { return nil }
    return support(of: term, holding: nil)
  }

  /// The entries of a table that hold something.
  private func support(of term: TermID, holding value: TermID?) -> SparseSearch.Way.Support? {
    let item = elaborator[term]
    guard case .entry(_, let component) = item.operation, isOpen(term) else { return nil }
    var parts: [SparseSearch.Way.Support.Part] = []
    for operand in item.operands {
      if let key = keys.firstIndex(of: operand) {
        parts.append(.bound(key))
      } else if !isOpen(operand) {
        parts.append(.known(operand))
      } else {
        return nil
      }
    }
    return SparseSearch.Way.Support(component: component, parts: parts, value: value)
  }
}
