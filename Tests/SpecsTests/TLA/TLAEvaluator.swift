// SPDX-License-Identifier: Apache-2.0

/// What an expression comes to.
enum TLAValue: Hashable {
  case bool(Bool)
  case number(Int)
  case string(String)
  case tuple([TLAValue])
  case function([TLAValue: TLAValue])
}

/// Evaluates a module as TLC does: an action's conditions from left to right, each successor an assignment to every
/// variable.
final class TLAEvaluator {
  typealias State = [TLAValue]

  private enum Slot {
    case nothing
    case value(TLAValue)
    /// A LET that nobody has asked for yet.
    case waiting(TLATerm)
  }

  let module: TLAModuleText
  private var slots: [Slot]
  /// The position of a variable in a state, by its number.
  private var places: [Int: Int] = [:]

  init(_ module: TLAModuleText) {
    self.module = module
    slots = [Slot](repeating: .nothing, count: module.names.count)
    for (place, variable) in module.variables.enumerated() { places[variable] = place }
  }

  /// Whether a definition without parameters holds in a state.
  func holds(_ name: String, in state: State) throws -> Bool {
    load(state)
    guard let number = module.number(of: name) else { throw TLAError("there is no \(name)") }
    return try bool(.name(number))
  }

  /// What steps change: for each step, the variables that differ, by their position.
  /// - Parameter part: which of the disjuncts of `Next` takes them.
  func successors(of state: State, by part: Int) throws -> Set<[Int: TLAValue]> {
    load(state)
    guard let number = module.number(of: "Next"), case .or(let parts) = module.definitions[number]?.body
    else {
      throw TLAError("there is no Next")
    }
    var found: Set<[Int: TLAValue]> = []
    try step(parts[part], [TLAValue?](repeating: nil, count: state.count)) { after in
      var changes: [Int: TLAValue] = [:]
      for (place, value) in after.enumerated() {
        guard let value else { throw TLAError("a variable has no next value") }
        if value != state[place] { changes[place] = value }
      }
      found.insert(changes)
    }
    return found
  }

  private func load(_ state: State) {
    for (variable, value) in zip(module.variables, state) { slots[variable] = .value(value) }
  }

  // MARK: Actions

  private func step(_ term: TLATerm, _ after: [TLAValue?], _ found: ([TLAValue?]) throws -> Void) throws {
    switch term {
    case .and(let parts): try conjunction(parts[...], after, found)
    case .or(let parts): for part in parts { try step(part, after, found) }
    case .exists(let ranges, let body): try forEach(ranges) { try step(body, after, found) }
    case .letIn(let definitions, let body):
      try binding(definitions.map { ($0.name, .waiting($0.value)) }) { try step(body, after, found) }
    case .name(let name) where module.definitions[name] != nil:
      try step(module.definitions[name]!.body, after, found)
    case .apply(let name, let arguments) where module.definitions[name] != nil:
      let definition = module.definitions[name]!
      let values = try arguments.map { Slot.value(try value($0)) }
      try binding(Array(zip(definition.parameters, values)).map { ($0.0, $0.1) }) {
        try step(definition.body, after, found)
      }
    case .binary("=", .primed(let variable), let right): try assign(variable, try value(right), after, found)
    case .unchanged(let variables):
      var after = after
      for variable in variables {
        let place = places[variable]!
        let before = try value(.name(variable))
        if let known = after[place], known != before { return }
        after[place] = before
      }
      try found(after)
    default: if try bool(term) { try found(after) }
    }
  }

  private func conjunction(
    _ parts: ArraySlice<TLATerm>, _ after: [TLAValue?], _ found: ([TLAValue?]) throws -> Void
  ) throws {
    guard let first = parts.first else { return try found(after) }
    try step(first, after) { try conjunction(parts.dropFirst(), $0, found) }
  }

  private func assign(
    _ variable: Int, _ value: TLAValue, _ after: [TLAValue?], _ found: ([TLAValue?]) throws -> Void
  ) throws {
    guard let place = places[variable] else { throw TLAError("\(module.names[variable]) is no variable") }
    if let known = after[place], known != value { return }
    var after = after
    after[place] = value
    try found(after)
  }

  // MARK: Names

  /// Names mean something inside, and after it what they meant before.
  private func binding<R>(_ names: [(Int, Slot)], _ inside: () throws -> R) rethrows -> R {
    let before = names.map { slots[$0.0] }
    for (name, slot) in names { slots[name] = slot }
    defer { for (pair, slot) in zip(names, before) { slots[pair.0] = slot } }
    return try inside()
  }

  private func forEach(_ ranges: [(name: Int, set: TLATerm)], _ inside: () throws -> Void) throws {
    func next(_ index: Int) throws {
      guard index < ranges.count else { return try inside() }
      for element in try elements(of: ranges[index].set) {
        try binding([(ranges[index].name, .value(element))]) { try next(index + 1) }
      }
    }
    try next(0)
  }

  // MARK: Values

  private func bool(_ term: TLATerm) throws -> Bool {
    guard case .bool(let value) = try value(term) else { throw TLAError("not a truth value: \(term)") }
    return value
  }

  private func number(_ term: TLATerm) throws -> Int {
    guard case .number(let value) = try value(term) else { throw TLAError("not a number: \(term)") }
    return value
  }

  func value(_ term: TLATerm) throws -> TLAValue {
    switch term {
    case .bool(let value): return .bool(value)
    case .number(let value): return .number(value)
    case .string(let value): return .string(value)
    case .name(let name): return try named(name)
    case .primed: throw TLAError("a next value is read")
    case .apply(let name, let arguments):
      guard let definition = module.definitions[name], definition.parameters.count == arguments.count else {
        throw TLAError("no operator \(module.names[name]) of \(arguments.count)")
      }
      let values = try arguments.map { Slot.value(try value($0)) }
      return try binding(Array(zip(definition.parameters, values)).map { ($0.0, $0.1) }) {
        try value(definition.body)
      }
    case .not(let inner): return .bool(try !bool(inner))
    case .and(let parts): return .bool(try parts.allSatisfy { try bool($0) })
    case .or(let parts): return .bool(try parts.contains { try bool($0) })
    case .binary(let symbol, let a, let b): return try binary(symbol, a, b)
    case .ifThenElse(let condition, let then, let otherwise):
      return try bool(condition) ? value(then) : value(otherwise)
    case .letIn(let definitions, let body):
      return try binding(definitions.map { ($0.name, .waiting($0.value)) }) { try value(body) }
    case .all(let ranges, let body): return .bool(try !some(ranges) { try !bool(body) })
    case .exists(let ranges, let body): return .bool(try some(ranges) { try bool(body) })
    case .function(let ranges, let body):
      var table: [TLAValue: TLAValue] = [:]
      try forEach(ranges) { table[try key(ranges.map { .name($0.name) })] = try value(body) }
      return .function(table)
    case .entry(let function, let keys):
      guard case .function(let table) = try value(function), let entry = table[try key(keys)] else {
        throw TLAError("no such entry")
      }
      return entry
    case .except(let function, let keys, let entry):
      guard case .function(var table) = try value(function) else { throw TLAError("not a function") }
      let key = try key(keys)
      if table[key] != nil { table[key] = try value(entry) }
      return .function(table)
    case .cardinality(let set):
      guard case .subset(let ranges, let condition) = set else { return .number(try elements(of: set).count) }
      var count = 0
      try forEach(ranges) { if try bool(condition) { count += 1 } }
      return .number(count)
    case .tuple(let parts): return .tuple(try parts.map { try value($0) })
    case .set, .subset, .booleans, .functions, .unchanged: throw TLAError("a set where a value is wanted")
    }
  }

  private struct Found: Error {}

  private func some(_ ranges: [(name: Int, set: TLATerm)], _ condition: () throws -> Bool) throws -> Bool {
    do {
      try forEach(ranges) { if try condition() { throw Found() } }
      return false
    } catch is Found { return true }
  }

  private func named(_ name: Int) throws -> TLAValue {
    switch slots[name] {
    case .value(let value): return value
    case .waiting(let term):
      let value = try value(term)
      slots[name] = .value(value)
      return value
    case .nothing:
      guard let definition = module.definitions[name], definition.parameters.isEmpty else {
        throw TLAError("\(module.names[name]) means nothing here")
      }
      return try value(definition.body)
    }
  }

  private func key(_ terms: [TLATerm]) throws -> TLAValue {
    terms.count == 1 ? try value(terms[0]) : .tuple(try terms.map { try value($0) })
  }

  private func binary(_ symbol: String, _ a: TLATerm, _ b: TLATerm) throws -> TLAValue {
    switch symbol {
    case "=": return .bool(try value(a) == value(b))
    case "\\in": return .bool(try isMember(try value(a), b))
    case "<": return .bool(try number(a) < number(b))
    case "<=": return .bool(try number(a) <= number(b))
    case "+": return .number(try number(a) + number(b))
    case "-": return .number(try number(a) - number(b))
    case "*": return .number(try number(a) * number(b))
    case "\\div": return .number(try number(a) / number(b))
    case "%":
      let (a, b) = (try number(a), try number(b))
      guard a >= 0, b > 0 else { throw TLAError("\(a) % \(b)") }
      return .number(a % b)
    default: throw TLAError("what is \(symbol)?")
    }
  }

  // MARK: Sets

  private func elements(of set: TLATerm) throws -> [TLAValue] {
    switch set {
    case .name(let name):
      guard let definition = module.definitions[name] else {
        throw TLAError("\(module.names[name]) is no set")
      }
      return try elements(of: definition.body)
    case .booleans: return [.bool(false), .bool(true)]
    case .set(let members): return try members.map { try value($0) }
    case .binary("..", let low, let high):
      let numbers = try number(low)...(try number(high))
      return numbers.map { TLAValue.number($0) }
    default: throw TLAError("\(set) is no set that is counted")
    }
  }

  private func isMember(_ value: TLAValue, _ set: TLATerm) throws -> Bool {
    guard case .functions(let keys, let values) = set else { return try elements(of: set).contains(value) }
    guard case .function(let table) = value else { return false }
    let wanted = try keys.reduce([[TLAValue]]([[]])) { tuples, key in
      let members = try elements(of: key)
      return tuples.flatMap { tuple in members.map { tuple + [$0] } }
    }
    let range = Set(try elements(of: values))
    return table.count == wanted.count
      && wanted.allSatisfy { tuple in
        table[tuple.count == 1 ? tuple[0] : .tuple(tuple)].map(range.contains) ?? false
      }
  }
}
