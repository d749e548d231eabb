// SPDX-License-Identifier: Apache-2.0

import Logic

/// Compiles many "if all of these hold, do that" so that what several ask for is asked once: where an action needs a
/// lock to be free, one test skips all of its instances.
struct DecisionTree {
  /// Something to do under conditions.
  struct Item {
    var conditions: [TermID]
    /// The action instance that it is about, if it can be left out where that need not be taken.
    var instance: Int?
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
      unlessRedundant(asking.map(\.instance)) {
        under([condition]) {
          let remaining = asking.map { item in
            Item(
              conditions: item.conditions.filter { $0 != condition }, instance: item.instance, body: item.body
            )
          }
          compile(remaining, given: given.union([condition]))
        }
      }
    }
    for item in rest {
      under(item.conditions) { item.body(given.union(item.conditions)) }
    }
  }

  /// Appends code that is skipped where none of the instances need be taken.
  private func unlessRedundant(_ instances: [Int?], _ body: () -> Void) {
    let known = instances.compactMap(\.self)
    guard known.count == instances.count else { return body() }
    var set: [Int: UInt64] = [:]
    for instance in known { set[instance / 64, default: 0] |= 1 << UInt64(instance % 64) }
    let (enter, skip) = (TermCompiler.Label(), TermCompiler.Label())
    for (word, bits) in set.sorted(by: { $0.key < $1.key }) {
      compiler.jump(.jumpUnlessRedundant, Int32(word), compiler.constant(bits), to: enter)
    }
    compiler.jump(.jump, to: skip)
    compiler.place(enter)
    body()
    compiler.place(skip)
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
