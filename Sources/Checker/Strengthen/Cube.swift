// SPDX-License-Identifier: Apache-2.0

import Logic

/// A set of states: those in which some cells have given values.
struct Cube: Hashable, Sendable {
  /// What a cell holds; cells are numbered as the registers of a state are.
  struct Fact: Hashable, Sendable, Comparable {
    let cell: Int
    let value: UInt64

    static func < (a: Fact, b: Fact) -> Bool { a.cell != b.cell ? a.cell < b.cell : a.value < b.value }
  }

  /// One for a cell at most, in the order of the cells.
  let facts: [Fact]

  init(_ facts: some Sequence<Fact>) { self.facts = facts.sorted() }

  /// Whether every state of the other is one of this.
  func contains(_ other: Cube) -> Bool {
    var rest = other.facts[...]
    for fact in facts {
      rest = rest.drop { $0 < fact }
      guard rest.popFirst() == fact else { return false }
    }
    return true
  }

  func without(_ fact: Fact) -> Cube { Cube(facts.filter { $0 != fact }) }
}
