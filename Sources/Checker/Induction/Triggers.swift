// SPDX-License-Identifier: Apache-2.0
//
// Where a claim over all indices is worth instantiating, read off its body: "wherever the entry that it speaks of is
// in sight". The idea of E-matching, on our own graph: no solver ever sees a quantifier.

import Logic

/// The tables of a specification: the columns of one record table are one table.
struct TableIndex: Sendable {
  /// The table of each component; scalars are tables without keys.
  let table: [Int]
  /// The sorts of each table's keys.
  let keys: [[Sort]]
  /// Sorts of a few named cases that tables are indexed by: whatever ranges over one is taken case by case.
  let split: Set<Sort>

  private static let fewCases: UInt64 = 4

  init(_ specification: Specification) {
    var tables: [String: Int] = [:]
    var keys: [[Sort]] = []
    table = specification.components.map { component in
      if let known = tables[component.variable] { return known }
      tables[component.variable] = keys.count
      keys.append(component.keys)
      return keys.count - 1
    }
    self.keys = keys
    split = Set(
      keys.flatMap { $0 }.filter { sort in
        if case .choice = sort.kind { return sort.realCount <= Self.fewCases }
        return false
      })
  }
}

/// A way to find values for some variables of a claim.
enum Trigger: Sendable {
  /// An entry of `table` in sight: its keys have this form, and its columns are compared with variables.
  case entry(table: Int, keys: [Key], values: [Column])
  /// A term without variables that the body compares the variable with.
  case term(Node, variable: Int)
  /// Each value of a variable that has only a few.
  case constants(count: UInt64, variable: Int)

  /// The form of a key.
  enum Key: Sendable {
    case variable(Int)
    /// An expression over variables, to be recognised, such as `index & (size - 1)`.
    case expression(Node, variables: UInt64)
    /// Anything: what the body reads there is itself an entry.
    case any

    var variables: UInt64 {
      switch self {
      case .variable(let variable): 1 << UInt64(variable)
      case .expression(_, let variables): variables
      case .any: 0
      }
    }
  }

  /// How the body compares a column of the entry with a variable.
  struct Column: Sendable, Hashable {
    let component: Int
    let variable: Int
    /// The variable is asked to be less than the entry, and not the same: 0 is then the first to look at.
    let isBound: Bool
  }

  /// The variables it finds, as bits.
  var variables: UInt64 {
    switch self {
    case .term(_, let variable), .constants(_, let variable): 1 << UInt64(variable)
    case .entry(_, let keys, let values):
      keys.reduce(0) { $0 | $1.variables } | values.reduce(0) { $0 | 1 << UInt64($1.variable) }
    }
  }
}

/// All triggers of a claim, and which of them together give every variable a value.
struct Triggers: Sendable {
  /// Triggers by the variables they find.
  let groups: [(variables: UInt64, triggers: [Trigger])]
  /// Sets of groups (by index) that find all variables that can be found, and are minimal in that.
  let covers: [[Int]]
  /// Variables that no trigger finds: their sort's terms in sight are all tried.
  let pooled: [Int]

  init(bound: [Node], bodies: [Node], tables: TableIndex) {
    precondition(bound.count <= 32, "a claim over more than 32 indices")
    var search = TriggerSearch(bound: bound, tables: tables)
    for body in bodies { search.visit(body) }
    for (variable, node) in bound.enumerated() where tables.split.contains(node.sort) {
      search.addConstants(of: variable, count: node.sort.realCount)
    }
    groups = search.groups
    let masks = groups.map(\.variables)
    let reachable = masks.reduce(0, |)
    covers = Self.minimalCovers(of: reachable, masks)
    pooled = bound.indices.filter { reachable & (1 << UInt64($0)) == 0 }
  }

  /// More covers than this are not tried: the fewest groups come first.
  private static let coversTried = 32

  private static func minimalCovers(of wanted: UInt64, _ masks: [UInt64]) -> [[Int]] {
    var found: [[Int]] = wanted == 0 ? [[]] : []
    var partial: [[Int]] = [[]]
    while !partial.isEmpty, found.count < coversTried {
      var longer: [[Int]] = []
      for chosen in partial {
        let covered = chosen.reduce(0) { $0 | masks[$1] }
        for index in masks.indices where index > (chosen.last ?? -1) && masks[index] & ~covered != 0 {
          let candidate = chosen + [index]
          guard isMinimal(candidate, masks) else { continue }
          if covered | masks[index] == wanted { found.append(candidate) } else { longer.append(candidate) }
        }
      }
      partial = longer
    }
    return Array(found.prefix(coversTried))
  }

  /// Whether each group finds a variable that no other does.
  private static func isMinimal(_ chosen: [Int], _ masks: [UInt64]) -> Bool {
    chosen.allSatisfy { index in
      masks[index] & ~chosen.filter { $0 != index }.reduce(0) { $0 | masks[$1] } != 0
    }
  }
}

/// Collects the triggers of one claim.
private struct TriggerSearch {
  private let tables: TableIndex
  private var variables: [ObjectIdentifier: Int] = [:]
  private var visited: Set<ObjectIdentifier> = []
  /// Entries of base tables that the body reads, by table and keys.
  private var readings: [Reading: Int] = [:]
  private var order: [(keys: [Trigger.Key], table: Int, columns: [Trigger.Column])] = []
  private var others: [Trigger] = []

  private struct Reading: Hashable {
    let table: Int
    let keys: [ObjectIdentifier]
  }

  init(bound: [Node], tables: TableIndex) {
    self.tables = tables
    for (index, node) in bound.enumerated() { variables[ObjectIdentifier(node)] = index }
  }

  mutating func visit(_ node: Node) {
    guard visited.insert(ObjectIdentifier(node)).inserted else { return }
    for operand in node.operands { visit(operand) }
    switch node.operation {
    case .select:
      for component in Self.bases(of: node.operands[0]) { note(component, node, nil) }
    case .equal:
      compare(node.operands[0], with: node.operands[1], isBound: false)
      compare(node.operands[1], with: node.operands[0], isBound: false)
    case .lessThan: compare(node.operands[0], with: node.operands[1], isBound: true)
    default: break
    }
  }

  /// The base tables whose entries a table expression is made of.
  private static func bases(of table: Node) -> [Int] {
    switch table.operation {
    case .stateTable(let component): [component]
    case .store: bases(of: table.operands[0])
    case .ifThenElse: bases(of: table.operands[1]) + bases(of: table.operands[2])
    default: []
    }
  }

  /// The body asks whether a variable equals something, or is less.
  private mutating func compare(_ node: Node, with other: Node, isBound: Bool) {
    guard let variable = variables[ObjectIdentifier(node)] else { return }
    if !other.isOpen {
      if !isBound { others.append(.term(other, variable: variable)) }
    } else if other.operation == .select {
      for component in Self.bases(of: other.operands[0]) {
        note(component, other, Trigger.Column(component: component, variable: variable, isBound: isBound))
      }
    }
  }

  mutating func addConstants(of variable: Int, count: UInt64) {
    others.append(.constants(count: count, variable: variable))
  }

  private mutating func note(_ component: Int, _ select: Node, _ column: Trigger.Column?) {
    let keys = select.operands.dropFirst()
    let reading = Reading(table: tables.table[component], keys: keys.map { ObjectIdentifier($0) })
    let index: Int
    if let known = readings[reading] {
      index = known
    } else {
      index = order.count
      readings[reading] = index
      order.append((keys: keys.map(form), table: reading.table, columns: []))
    }
    if let column, !order[index].columns.contains(column) { order[index].columns.append(column) }
  }

  private func form(_ key: Node) -> Trigger.Key {
    if let variable = variables[ObjectIdentifier(key)] { return .variable(variable) }
    var found: UInt64 = 0
    var pending = [key]
    while let node = pending.popLast() {
      switch node.operation {
      case .bound:
        guard let variable = variables[ObjectIdentifier(node)] else { return .any }
        found |= 1 << UInt64(variable)
      case .select, .count: return .any
      default: if node.isOpen { pending += node.operands }
      }
    }
    return found == 0 ? .any : .expression(key, variables: found)
  }

  /// What was found, with and without the values of the entries.
  var groups: [(variables: UInt64, triggers: [Trigger])] {
    var triggers = others
    for reading in order {
      // A comparison asks for one value at a time: each column by itself, and those of one record's key together.
      let same = reading.columns.filter { !$0.isBound }
      var choices: [[Trigger.Column]] = [[]]
      if !same.isEmpty { choices.append(same) }
      choices += reading.columns.filter(\.isBound).map { [$0] }
      triggers += choices.map { .entry(table: reading.table, keys: reading.keys, values: $0) }
    }
    var groups: [(variables: UInt64, triggers: [Trigger])] = []
    for trigger in triggers where trigger.variables != 0 {
      if let index = groups.firstIndex(where: { $0.variables == trigger.variables }) {
        groups[index].triggers.append(trigger)
      } else {
        groups.append((trigger.variables, [trigger]))
      }
    }
    return groups
  }
}
