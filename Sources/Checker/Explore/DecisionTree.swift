// SPDX-License-Identifier: Apache-2.0

import Logic

/// Compiles many "if all of these hold, do that" so that what several ask for is asked once: where an action needs a
/// lock to be free, one test skips all of its instances.
struct DecisionTree {
  /// Something to do under conditions.
  struct Item {
    var conditions: [TermID]
    /// Appends the code. It is given the conditions that are known to hold by then.
    let body: (Set<TermID>) -> Void
  }

  let compiler: TermCompiler
  private var elaborator: Elaborator { compiler.elaborator }

  /// Appends the code of all items, in an order of its own.
  func compile(_ items: [Item]) { compile(items, given: []) }

  private func compile(_ items: [Item], given: Set<TermID>) {
    for item in items where item.conditions.isEmpty {
      compiler.scoped(reusing: true) { item.body(given) }
    }
    var rest = items.filter { !$0.conditions.isEmpty }
    while let condition = mostAsked(rest) {
      let asking = rest.filter { $0.conditions.contains(condition) }
      rest.removeAll { $0.conditions.contains(condition) }
      under([condition]) {
        let remaining = asking.map { item in
          Item(conditions: item.conditions.filter { $0 != condition }, body: item.body)
        }
        compile(remaining, given: given.union([condition]))
      }
    }
    for item in rest {
      under(item.conditions) { item.body(given.union(item.conditions)) }
    }
  }

  /// The condition that most items ask for, if several ask for one.
  private func mostAsked(_ items: [Item]) -> TermID? {
    var counts: [TermID: Int] = [:]
    for item in items {
      for condition in item.conditions { counts[condition, default: 0] += 1 }
    }
    let best = counts.max { ($0.value, $1.key.index) < ($1.value, $0.key.index) }
    return best.flatMap { $0.value > 1 ? $0.key : nil }
  }

  /// Appends code that runs only where all conditions hold.
  func under(_ conditions: [TermID], _ body: () -> Void) {
    let skip = TermCompiler.Label()
    compiler.scoped(reusing: true) {
      for condition in conditions { compiler.jump(unless: condition, to: skip) }
      body()
    }
    compiler.place(skip)
  }
}

extension Elaborator {
  /// Terms that together say the same as `term`: an "and" taken apart, and a status that is what no failed check
  /// makes it.
  func conjuncts(of term: TermID) -> [TermID] {
    var seen: Set<TermID> = []
    var found: [TermID] = []
    func split(_ term: TermID) {
      let item = self[term]
      switch item.operation {
      case .constant(1): return
      case .and: for operand in item.operands { split(operand) }
      case .not:
        let inner = self[item.operands[0]]
        if case .or = inner.operation {
          for operand in inner.operands { split(not(operand)) }
        } else {
          keep(term)
        }
      case .equal: if !splitChoice(item) { keep(term) }
      default: keep(term)
      }
    }
    func keep(_ term: TermID) { if seen.insert(term).inserted { found.append(term) } }
    /// (c ? x : y) = k, where x is another constant, is ¬c and y = k.
    func splitChoice(_ item: Term) -> Bool {
      for (value, wanted) in [(0, 1), (1, 0)].map({ (item.operands[$0.0], item.operands[$0.1]) }) {
        guard let k = constantValue(wanted), self[value].operation == .ifThenElse else { continue }
        let parts = self[value].operands
        if let x = constantValue(parts[1]), x != k {
          split(not(parts[0]))
          split(equal(parts[2], wanted))
          return true
        }
        if let y = constantValue(parts[2]), y != k {
          split(parts[0])
          split(equal(parts[1], wanted))
          return true
        }
      }
      return false
    }
    split(term)
    return found
  }
}
