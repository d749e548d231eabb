// SPDX-License-Identifier: Apache-2.0

import Logic

/// Free-running indices as distances from one of them.
///
/// Rings compare indices by their distance (`a - c <= b - c`), because they wrap. To a solver that thinks in bits,
/// each distance is a chain of adders, and proofs that need several take seconds or never end. Written as
/// `a = c + a'`, with a new free constant `a'` for each index, most distances lose their adders: `a - c` is `a'`.
///
/// Each index is replaced everywhere by an expression that can have any value, so the new question can be satisfied
/// whenever the old one can: a proof of the new is a proof of the old.
final class Differences {
  private let elaborator: Elaborator
  /// The index from which the others are measured.
  private let base: TermID
  private var distances: [TermID: TermID] = [:]
  private var rewritten: [TermID: TermID] = [:]
  private var sums: [TermID: Sum] = [:]
  private let isMeasured: (TermID) -> Bool

  /// A sum of terms with coefficients, and a constant.
  private struct Sum {
    var constant: UInt64
    /// In the order of the terms; no coefficient is 0.
    var parts: [(term: TermID, coefficient: UInt64)]
  }

  private init(_ elaborator: Elaborator, base: TermID, measured: Set<TermID>) {
    self.elaborator = elaborator
    self.base = base
    isMeasured = measured.contains
  }

  /// The change of variables that leaves the goal with the fewest adders, or nil where nothing is measured so.
  static func chosen(_ elaborator: Elaborator, goal: [TermID], all: [TermID]) -> Differences? {
    let inGoal = subtracted(elaborator, goal)
    let everywhere = subtracted(elaborator, all)
    let candidates = inGoal.isEmpty ? everywhere : inGoal
    let measured = Set(everywhere)
    var best: (change: Differences, adders: Int)?
    for base in candidates.prefix(candidatesTried) {
      let change = Differences(elaborator, base: base, measured: measured)
      let adders = adders(elaborator, goal.map(change.rewrite))
      if best.map({ adders < $0.adders }) ?? true { best = (change, adders) }
    }
    return best?.change
  }

  private static let candidatesTried = 8

  /// The indices of which one is subtracted from another, in the order in which they are found.
  private static func subtracted(_ elaborator: Elaborator, _ roots: [TermID]) -> [TermID] {
    var seen: Set<TermID> = []
    var result: [TermID] = []
    for id in elaborator.reachable(from: roots) where elaborator[id].operation == .subtract {
      let operands = elaborator[id].operands
      guard operands.allSatisfy({ isIndex(elaborator, $0) }) else { continue }
      for operand in operands.reversed() where seen.insert(operand).inserted { result.append(operand) }
    }
    return result
  }

  private static func adders(_ elaborator: Elaborator, _ roots: [TermID]) -> Int {
    elaborator.reachable(from: roots).count {
      elaborator[$0].operation == .subtract || elaborator[$0].operation == .add
    }
  }

  /// Whether a term is a word that can be anything: a symbol, a scalar, or an entry at constant keys.
  private static func isIndex(_ elaborator: Elaborator, _ id: TermID) -> Bool {
    let term = elaborator[id]
    let sort: Sort
    switch term.operation {
    case .symbol(let index): sort = elaborator.symbols[index].sort
    case .scalar(_, let component): sort = elaborator.specification.components[component].sort
    case .entry(_, let component):
      guard term.operands.allSatisfy({ elaborator.constantValue($0) != nil }) else { return false }
      sort = elaborator.specification.components[component].sort
    default: return false
    }
    return sort.kind == .word && elaborator.scope.count(of: sort).nonzeroBitCount <= 1
  }

  /// The term in the new variables.
  func rewrite(_ id: TermID) -> TermID {
    if let known = rewritten[id] { return known }
    let term = elaborator[id]
    let result: TermID
    switch term.operation {
    case .add, .subtract: result = make(sum(id), like: id)
    case _ where isMeasured(id) && term.width == elaborator[base].width: result = make(sum(id), like: id)
    default: result = elaborator.remake(id, with: term.operands.map(rewrite))
    }
    rewritten[id] = result
    return result
  }

  private func sum(_ id: TermID) -> Sum {
    if let known = sums[id] { return known }
    let term = elaborator[id]
    let result: Sum
    switch term.operation {
    case .constant(let value): result = Sum(constant: value, parts: [])
    case .add: result = combine(sum(term.operands[0]), sum(term.operands[1]), 1, term.width)
    case .subtract: result = combine(sum(term.operands[0]), sum(term.operands[1]), .max, term.width)
    case _ where isMeasured(id) && id != base && term.width == elaborator[base].width:
      let parts = [base, distance(to: id)].sorted { $0.index < $1.index }
      result = Sum(constant: 0, parts: parts.map { ($0, 1) })
    case _ where id == base: result = Sum(constant: 0, parts: [(id, 1)])
    default: result = Sum(constant: 0, parts: [(rewrite(id), 1)])
    }
    sums[id] = result
    return result
  }

  private func distance(to id: TermID) -> TermID {
    if let known = distances[id] { return known }
    let symbol = elaborator.symbol("distance\(distances.count)", sort(of: id))
    distances[id] = symbol
    return symbol
  }

  private func sort(of id: TermID) -> Sort {
    switch elaborator[id].operation {
    case .symbol(let index): return elaborator.symbols[index].sort
    case .scalar(_, let component), .entry(_, let component):
      return elaborator.specification.components[component].sort
    default: preconditionFailure("not an index")
    }
  }

  /// `a` plus `factor` times `b`, modulo 2^`width`.
  private func combine(_ a: Sum, _ b: Sum, _ factor: UInt64, _ width: Int) -> Sum {
    let mask = mask(width)
    var parts = Dictionary(uniqueKeysWithValues: a.parts.map { ($0.term, $0.coefficient) })
    for part in b.parts {
      parts[part.term] = (parts[part.term, default: 0] &+ factor &* part.coefficient) & mask
    }
    return Sum(
      constant: (a.constant &+ factor &* b.constant) & mask,
      parts: parts.filter { $0.value != 0 }.sorted { $0.key.index < $1.key.index }.map { ($0.key, $0.value) })
  }

  /// What is added, less what is subtracted, less or more the constant.
  private func make(_ sum: Sum, like id: TermID) -> TermID {
    let width = elaborator[id].width
    if let split = distributed(sum, like: id) { return split }
    let half: UInt64 = 1 &<< UInt64(width - 1)
    var result: TermID?
    for part in sum.parts where part.coefficient < half {
      for _ in 0..<min(part.coefficient, Self.largestCoefficient) {
        result = result.map { elaborator.arithmetic(.add, $0, part.term) } ?? part.term
      }
      guard part.coefficient <= Self.largestCoefficient else { return unsimplified(id) }
    }
    if result == nil || sum.constant < half {
      let constant = elaborator.constant(sum.constant, width: width)
      result = result.map { elaborator.arithmetic(.add, $0, constant) } ?? constant
    }
    guard var result else { preconditionFailure("a sum begins with its constant") }
    let startsWithConstant = !sum.parts.contains { $0.coefficient < half }
    for part in sum.parts where part.coefficient >= half {
      let count = (0 &- part.coefficient) & mask(width)
      guard count <= Self.largestCoefficient else { return unsimplified(id) }
      for _ in 0..<count { result = elaborator.arithmetic(.subtract, result, part.term) }
    }
    if !startsWithConstant, sum.constant >= half {
      let constant = elaborator.constant((0 &- sum.constant) & mask(width), width: width)
      result = elaborator.arithmetic(.subtract, result, constant)
    }
    return result
  }

  private static let largestCoefficient: UInt64 = 4

  private func unsimplified(_ id: TermID) -> TermID {
    elaborator.remake(id, with: elaborator[id].operands.map(rewrite))
  }

  /// A sum with a choice in it as a choice of sums, so that each can lose its adders.
  private func distributed(_ sum: Sum, like id: TermID) -> TermID? {
    guard sum.parts.count > 1 || sum.constant != 0,
      let index = sum.parts.firstIndex(where: { elaborator[$0.term].operation == .ifThenElse })
    else { return nil }
    let part = sum.parts[index]
    let choice = elaborator[part.term].operands
    var rest = sum
    rest.parts.remove(at: index)
    func with(_ branch: TermID) -> TermID {
      make(combine(rest, sums(ofRewritten: branch), part.coefficient, elaborator[id].width), like: id)
    }
    return elaborator.ifThenElse(choice[0], with(choice[1]), with(choice[2]))
  }

  /// The sum that a term is which is in the new variables already.
  private func sums(ofRewritten id: TermID) -> Sum {
    let term = elaborator[id]
    switch term.operation {
    case .constant(let value): return Sum(constant: value, parts: [])
    case .add:
      return combine(sums(ofRewritten: term.operands[0]), sums(ofRewritten: term.operands[1]), 1, term.width)
    case .subtract:
      return combine(
        sums(ofRewritten: term.operands[0]), sums(ofRewritten: term.operands[1]), .max, term.width)
    default: return Sum(constant: 0, parts: [(id, 1)])
    }
  }
}
