// SPDX-License-Identifier: Apache-2.0

/// Runs a specification at a scope of any size: a state of which only what is not as it began is kept, and actions taken
/// on it one by one. `Simulator` is faster, and has a register for every entry.
///
/// It is used as a `Simulator` is: `run`, then `commit`. One simulator serves one thread. `SparseAgreementTests` hold it to
/// `Simulator`, action by action, on random states of every machine.
public final class SparseSimulator {
  /// An entry that an action has changed.
  public struct Change: Sendable, Hashable {
    public let component: Int
    /// The entry's keys, packed; see `keys(of:)`.
    public let key: UInt64
    public let value: UInt64
  }

  public let programs: SparsePrograms
  /// By component: what is not as it began, by packed keys; a scalar has the key 0.
  private var tables: [[UInt64: UInt64]]
  /// By component, if it is indexed: the keys of the entries that hold a value.
  private var holders: [[UInt64: Set<UInt64>]]
  private var values: [UInt64]
  /// When a value was worked out: closed terms once for each action, open ones for each key.
  private var stamps: [Int]
  private var (closedStamp, openStamp, clock) = (0, 0, 0)
  private var last: SparsePrograms.Program?
  /// What `commit` changes, or the last one has changed.
  public private(set) var changes: [Change] = []

  public init(_ programs: SparsePrograms) {
    self.programs = programs
    tables = Array(repeating: [:], count: programs.initial.count)
    holders = Array(repeating: [:], count: programs.initial.count)
    values = Array(repeating: 0, count: programs.terms.count)
    stamps = Array(repeating: 0, count: programs.terms.count)
  }

  // MARK: The state

  /// An entry's packed keys.
  public func pack(_ component: Int, _ keys: UInt64...) -> UInt64 { pack(component, keys) }
  public func pack(_ component: Int, _ keys: [UInt64]) -> UInt64 {
    var packed: UInt64 = 0
    for (index, shift) in programs.shifts[component].enumerated() { packed |= keys[index] &<< shift }
    return packed
  }
  /// The keys of an entry.
  public func keys(of component: Int, _ packed: UInt64) -> [UInt64] {
    zip(programs.specification.components[component].keys, programs.shifts[component]).map {
      packed &>> $1 & mask(programs.scope.bits(of: $0))
    }
  }

  /// What an entry holds.
  public subscript(component: Int, key: UInt64) -> UInt64 {
    tables[component][key] ?? programs.initial[component]
  }

  /// Everything of a component that is not as it began, by packed keys.
  public func entries(of component: Int) -> [UInt64: UInt64] { tables[component] }

  /// The packed keys of the entries that hold a value, which is not the one that they began with; of components that some
  /// action finds them by.
  public func entries(of component: Int, holding value: UInt64) -> Set<UInt64> {
    precondition(programs.indexed.contains(component), "entries are found by what they hold")
    return holders[component][value] ?? []
  }

  /// Sets one entry of a component (the component, if it is a scalar).
  /// - Returns: false, and nothing has changed, if a key or the value is not one of its sort.
  public func set(_ component: Int, _ keys: [UInt64] = [], to value: UInt64) -> Bool {
    let declared = programs.specification.components[component]
    guard keys.count == declared.keys.count, value <= programs.scope.count(of: declared.sort) &- 1,
      zip(keys, declared.keys).allSatisfy({ $0 <= programs.scope.count(of: $1) &- 1 })
    else { return false }
    put(component, pack(component, keys), value)
    return true
  }

  private func put(_ component: Int, _ key: UInt64, _ value: UInt64) {
    let old = self[component, key]
    guard old != value else { return }
    let initial = programs.initial[component]
    tables[component][key] = value == initial ? nil : value
    guard programs.indexed.contains(component) else { return }
    if old != initial {
      holders[component][old]?.remove(key)
      if holders[component][old]?.isEmpty == true { holders[component][old] = nil }
    }
    if value != initial { holders[component][value, default: []].insert(key) }
  }

  // MARK: Actions

  /// Works out what an action would do; the state stays as it is.
  /// - Returns: false if a guard forbids it, or an argument is not a value of its sort.
  public func run(_ action: Int, _ arguments: [UInt64]) -> Bool {
    let program = programs.programs[action]
    (last, changes) = (nil, [])
    guard arguments.count == program.parameters.count else { return false }
    clock += 1
    (closedStamp, openStamp) = (clock, clock)
    for (index, argument) in arguments.enumerated() {
      guard argument <= program.largest[index] else { return false }
      set(program.parameters[index], argument)
    }
    for claim in program.violations {
      var isViolated = false
      if claim.keys.isEmpty {
        isViolated = value(claim.condition) != 0
      } else {
        search(claim.searches, claim.keys) { isViolated = isViolated || value(claim.condition) != 0 }
      }
      if isViolated { return false }
    }
    for bulk in program.bulks { collect(bulk) }
    for change in program.changes where value(change.condition) != 0 {
      let key = key(change.component, change.keys)
      changes.append(Change(component: change.component, key: key, value: value(change.value)))
    }
    last = program
    return true
  }

  /// What the action run last answers, scalar by scalar.
  public var results: [UInt64] { last.map { $0.results.map(value) } ?? [] }

  /// Makes the changes of the action run last, if it was possible.
  public func commit() {
    guard last != nil else { return }
    last = nil
    for change in changes { put(change.component, change.key, change.value) }
  }

  private func collect(_ bulk: SparsePrograms.Bulk) {
    search(bulk.searches, bulk.keys) {
      for change in bulk.changes where value(change.condition) != 0 {
        let component = change.component
        let key = key(component, change.keys)
        let new = value(change.value)
        if new != self[component, key] { changes.append(Change(component: component, key: key, value: new)) }
      }
    }
  }

  // MARK: Searching

  /// Calls `body` with each tuple of keys that a search finds; with some of them more than once.
  private func search(_ searches: [SparseSearch], _ keys: [SparsePrograms.Key], _ body: () -> Void) {
    var done: Set<SparseSearch.Way> = []
    for search in searches {
      guard search.known.allSatisfy({ (value($0.key) != 0) == $0.value }) else { continue }
      let costs = search.ways.map { cost($0, keys) }
      guard let least = costs.indices.min(by: { costs[$0] < costs[$1] }), costs[least] != 0,
        done.insert(search.ways[least]).inserted
      else { continue }
      visit(search.ways[least], keys, body)
    }
  }

  /// How many tuples a way has, or somewhat more.
  private func cost(_ way: SparseSearch.Way, _ keys: [SparsePrograms.Key]) -> UInt64 {
    var isFree = way.fixed.map { $0 == nil }
    var count: UInt64 = 1
    if let support = way.support {
      count = UInt64(entryCount(support))
      for case .bound(let key) in support.parts { isFree[key] = false }
    }
    for (index, key) in keys.enumerated() where isFree[index] {
      let product = count.multipliedReportingOverflow(by: key.count)
      count = product.overflow ? .max : product.partialValue
    }
    return count
  }

  private func entryCount(_ support: SparseSearch.Way.Support) -> Int {
    guard let wanted = support.value.map(value) else { return tables[support.component].count }
    // What began so, and is so still, is not kept.
    if wanted == programs.initial[support.component] { return .max }
    return holders[support.component][wanted]?.count ?? 0
  }

  private func visit(_ way: SparseSearch.Way, _ keys: [SparsePrograms.Key], _ body: () -> Void) {
    let fixed = way.fixed.map { $0.map(value) }
    guard let support = way.support else { return enumerate(0, fixed, keys, body) }
    let found =
      support.value.map { Array(holders[support.component][value($0)] ?? []) }
      ?? Array(tables[support.component].keys)
    for packed in found {
      var bound = fixed
      var fits = true
      for (part, key) in zip(support.parts, self.keys(of: support.component, packed)) {
        switch part {
        case .bound(let index):
          fits = fits && bound[index] ?? key == key
          bound[index] = key
        case .known(let term): fits = fits && value(term) == key
        }
      }
      if fits { enumerate(0, bound, keys, body) }
    }
  }

  private func enumerate(
    _ index: Int, _ known: [UInt64?], _ keys: [SparsePrograms.Key], _ body: () -> Void
  ) {
    guard index < keys.count else {
      clock += 1
      openStamp = clock
      for (key, value) in zip(keys, known) { set(key.symbol, value ?? 0) }
      return body()
    }
    guard known[index] == nil else { return enumerate(index + 1, known, keys, body) }
    var known = known
    for value in 0..<keys[index].count {
      known[index] = value
      enumerate(index + 1, known, keys, body)
    }
  }

  // MARK: Terms

  private func set(_ symbol: TermID, _ value: UInt64) {
    values[Int(symbol.index)] = value
    stamps[Int(symbol.index)] = programs.isOpen[Int(symbol.index)] ? openStamp : closedStamp
  }

  /// The packed keys of an entry, by their terms.
  private func key(_ component: Int, _ keys: [TermID]) -> UInt64 {
    var packed: UInt64 = 0
    for (index, shift) in programs.shifts[component].enumerated() { packed |= value(keys[index]) &<< shift }
    return packed
  }

  private func value(_ term: TermID) -> UInt64 {
    let index = Int(term.index)
    let stamp = programs.isOpen[index] ? openStamp : closedStamp
    if stamps[index] == stamp { return values[index] }
    let result = compute(programs.terms[index])
    values[index] = result
    stamps[index] = stamp
    return result
  }

  private func compute(_ term: Term) -> UInt64 {
    let operands = term.operands
    switch term.operation {
    case .constant(let value): return value
    case .scalar(_, let component): return self[component, 0]
    case .entry(_, let component): return self[component, key(component, operands)]
    case .symbol: preconditionFailure("a symbol has a value, or is not asked for")
    case .not: return value(operands[0]) ^ 1
    case .and: return value(operands[0]) != 0 ? value(operands[1]) : 0
    case .or: return value(operands[0]) != 0 ? 1 : value(operands[1])
    case .equal: return value(operands[0]) == value(operands[1]) ? 1 : 0
    case .lessThan: return value(operands[0]) < value(operands[1]) ? 1 : 0
    case .lessOrEqual: return value(operands[0]) <= value(operands[1]) ? 1 : 0
    case .resize: return value(operands[0]) & mask(term.width)
    case .ifThenElse: return value(operands[value(operands[0]) != 0 ? 1 : 2])
    default:
      return Elaborator.compute(term.operation, value(operands[0]), value(operands[1])) & mask(term.width)
    }
  }
}
