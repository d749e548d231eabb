// SPDX-License-Identifier: Apache-2.0
//
// States in words that a person reads: the same for explored states, for a solver's models and for running domains.

/// One scalar of a state: a scalar component, or one entry of a table component.
public struct Cell: Hashable, Sendable, Codable {
  /// The component's name.
  public let component: String
  /// Empty for a scalar component.
  public let keys: [UInt64]

  public init(_ component: String, _ keys: [UInt64] = []) {
    self.component = component
    self.keys = keys
  }
}

/// What is known of a state: the values of some cells, or of all.
public struct StateValues: Hashable, Sendable, Codable {
  /// A cell and what it holds.
  public struct Entry: Hashable, Sendable, Codable {
    public let cell: Cell
    public let value: UInt64
  }

  /// In the order of the specification's components, and of keys within them.
  public let entries: [Entry]

  /// The cells given, put in the specification's order.
  public init(_ values: [Cell: UInt64], in specification: Specification) {
    var order: [String: Int] = [:]
    for (index, component) in specification.components.enumerated() { order[component.name] = index }
    entries = values.map { Entry(cell: $0.key, value: $0.value) }.sorted {
      let (a, b) = (order[$0.cell.component] ?? .max, order[$1.cell.component] ?? .max)
      return a != b ? a < b : $0.cell.keys.lexicographicallyPrecedes($1.cell.keys)
    }
  }

  /// The value of each cell that is known.
  public var values: [Cell: UInt64] {
    Dictionary(entries.map { ($0.cell, $0.value) }, uniquingKeysWith: { first, _ in first })
  }
}

extension StateValues {
  /// One line for each variable (or entry of a table) known: `lamps[domain0]: light red, changes 2`.
  public func lines(in specification: Specification) -> [String] {
    Self.grouped(entries.map(\.cell), in: specification) { component, cell in
      values[cell].map(component.sort.describe)
    }
  }

  /// One line for each variable (or entry) in which `self` and `after` differ: `lamps[domain0]: light red → green`.
  /// A cell known in one of the two only counts as the same.
  public func differences(to after: StateValues, in specification: Specification) -> [String] {
    let (old, new) = (values, after.values)
    return Self.grouped(after.entries.map(\.cell), in: specification) { component, cell in
      guard let before = old[cell], let now = new[cell], before != now else { return nil }
      return "\(component.sort.describe(before)) → \(component.sort.describe(now))"
    }
  }

  /// Collects what `text` says of each cell, one line for each variable and key.
  private static func grouped(
    _ cells: [Cell], in specification: Specification, _ text: (Component, Cell) -> String?
  ) -> [String] {
    let components = Dictionary(
      specification.components.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var titles: [String] = []
    var parts: [String: [String]] = [:]
    for cell in cells {
      guard let component = components[cell.component], let words = text(component, cell) else { continue }
      let keys = zip(component.keys, cell.keys).map { $0.describe($1) }
      let title = component.variable + (keys.isEmpty ? "" : "[\(keys.joined(separator: ", "))]")
      if parts[title] == nil { titles.append(title) }
      parts[title, default: []].append(component.field.isEmpty ? words : "\(component.field) \(words)")
    }
    return titles.map { "\($0): \((parts[$0] ?? []).joined(separator: ", "))" }
  }
}
