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
  private let code: SparseCode
  /// By component: what is not as it began, by packed keys; a scalar has the key 0.
  private let tables: UnsafeMutablePointer<SparseTable>
  private let initial: UnsafeMutablePointer<UInt64>
  /// By component, if it is indexed: the keys of the entries that hold a value.
  private var holders: [[UInt64: Set<UInt64>]]
  private let values: UnsafeMutablePointer<UInt64>
  /// When a value was worked out: closed terms once for each action, open ones for each key.
  private let stamps: UnsafeMutablePointer<Int>
  /// By way: when it was visited last.
  private let visits: UnsafeMutablePointer<Int>
  /// The tuple of keys that is tried.
  private let tuple: UnsafeMutablePointer<UInt64>
  private var (closedStamp, openStamp, clock) = (0, 0, 0)
  /// The action that was run last, if it can be committed.
  private var last: Int?
  /// What `commit` changes, or the last one has changed.
  public private(set) var changes: [Change] = []

  public init(_ programs: SparsePrograms) {
    self.programs = programs
    code = programs.code
    let components = programs.initial.count
    tables = .allocate(capacity: components)
    for component in 0..<components { (tables + component).initialize(to: SparseTable()) }
    initial = Self.make(components, 0)
    initial.update(from: programs.initial, count: components)
    holders = Array(repeating: [:], count: components)
    values = Self.make(code.nodes.count, 0)
    stamps = Self.make(code.nodes.count, 0)
    visits = Self.make(code.ways.count, 0)
    tuple = Self.make(code.keyLimit, 0)
  }

  deinit {
    tables.deinitialize(count: programs.initial.count)
    tables.deallocate()
    initial.deallocate()
    values.deallocate()
    stamps.deallocate()
    visits.deallocate()
    tuple.deallocate()
  }

  private static func make<Element: BitwiseCopyable>(_ count: Int, _ value: Element)
    -> UnsafeMutablePointer<Element>
  {
    let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(count, 1))
    memory.initialize(repeating: value, count: count)
    return memory
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
    tables[component].value(key, otherwise: initial[component])
  }

  /// Everything of a component that is not as it began, by packed keys.
  public func entries(of component: Int) -> [UInt64: UInt64] {
    var entries: [UInt64: UInt64] = [:]
    tables[component].forEach { entries[$0] = $1 }
    return entries
  }

  /// How many those are.
  public func entryCount(of component: Int) -> Int { tables[component].count }

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
    let initial = initial[component]
    if value == initial { tables[component].remove(key) } else { tables[component].set(key, to: value) }
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
    let program = code.programs.base[action]
    last = nil
    changes.removeAll(keepingCapacity: true)
    guard arguments.count == Int(program.parameters.count) else { return false }
    clock += 1
    (closedStamp, openStamp) = (clock, clock)
    for (index, argument) in arguments.enumerated() {
      guard argument <= programs.largest[action][index] else { return false }
      set(code.numbers.base[Int(program.parameters.first) + index], argument)
    }
    for index in program.violations.range where isViolated(code.claims.base[index]) { return false }
    for index in program.bulks.range { collect(code.bulks.base[index]) }
    for index in program.changes.range {
      let change = code.changes.base[index]
      guard value(change.condition) != 0 else { continue }
      changes.append(
        Change(
          component: Int(change.component), key: packed(change.parts), value: value(change.value)))
    }
    last = action
    return true
  }

  private func isViolated(_ claim: SparseCode.Claim) -> Bool {
    if claim.keys.count == 0 { return value(claim.condition) != 0 }
    var isViolated = false
    search(claim.searches, claim.keys) { isViolated = isViolated || value(claim.condition) != 0 }
    return isViolated
  }

  /// What the action run last answers, scalar by scalar.
  public var results: [UInt64] {
    last.map { code.programs.base[$0].results.range.map { value(code.numbers.base[$0]) } } ?? []
  }

  /// Makes the changes of the action run last, if it was possible.
  public func commit() {
    guard last != nil else { return }
    last = nil
    for change in changes { put(change.component, change.key, change.value) }
  }

  private func collect(_ bulk: SparseCode.Bulk) {
    search(bulk.searches, bulk.keys) {
      for index in bulk.changes.range {
        let change = code.changes.base[index]
        guard value(change.condition) != 0 else { continue }
        let component = Int(change.component)
        let key = packed(change.parts)
        let new = value(change.value)
        if new != self[component, key] { changes.append(Change(component: component, key: key, value: new)) }
      }
    }
  }

  // MARK: Searching

  /// Calls `body` with each tuple of keys that a search finds; with some of them more than once.
  private func search(_ searches: SparseSpan, _ keys: SparseSpan, _ body: () -> Void) {
    // Ways that this search has visited already have a later stamp.
    let begin = clock
    clock += 1
    for index in searches.range {
      let search = code.searches.base[index]
      guard holds(search.known) else { continue }
      var (best, least) = (-1, UInt64.max)
      for index in search.ways.range {
        let way = Int(code.numbers.base[index])
        let cost = cost(code.ways.base[way])
        if best < 0 || cost < least { (best, least) = (way, cost) }
      }
      guard best >= 0, least != 0, visits[best] <= begin else { continue }
      visits[best] = clock
      visit(code.ways.base[best], keys, body)
    }
  }

  private func holds(_ conditions: SparseSpan) -> Bool {
    for index in conditions.range {
      let condition = code.conditions.base[index]
      if (value(condition.term) != 0) != condition.holds { return false }
    }
    return true
  }

  /// How many tuples a way has, or somewhat more.
  private func cost(_ way: SparseCode.Way) -> UInt64 {
    guard way.component >= 0 else { return way.tupleCount }
    let product = UInt64(entryCount(way)).multipliedReportingOverflow(by: way.tupleCount)
    return product.overflow ? .max : product.partialValue
  }

  private func entryCount(_ way: SparseCode.Way) -> Int {
    let component = Int(way.component)
    guard way.held >= 0 else { return tables[component].count }
    let wanted = value(way.held)
    // What began so, and is so still, is not kept.
    if wanted == initial[component] { return .max }
    return holders[component][wanted]?.count ?? 0
  }

  private func visit(_ way: SparseCode.Way, _ keys: SparseSpan, _ body: () -> Void) {
    for (key, index) in way.fixed.range.enumerated() {
      let term = code.numbers.base[index]
      if term >= 0 { tuple[key] = value(term) }
    }
    guard way.component >= 0 else { return enumerate(0, way, keys, body) }
    let component = Int(way.component)
    if way.held >= 0 {
      for packed in holders[component][value(way.held)] ?? [] where bind(packed, way) {
        enumerate(0, way, keys, body)
      }
    } else {
      tables[component].forEach { packed, _ in
        if bind(packed, way) { enumerate(0, way, keys, body) }
      }
    }
  }

  /// Makes keys of those of a visited entry.
  /// - Returns: false if they do not fit what is known.
  private func bind(_ packed: UInt64, _ way: SparseCode.Way) -> Bool {
    for index in way.places.range {
      let place = code.places.base[index]
      let found = packed &>> place.shift & place.mask
      if place.key < 0 {
        if value(place.term) != found { return false }
      } else if !place.isFixed {
        tuple[Int(place.key)] = found
      } else if tuple[Int(place.key)] != found {
        return false
      }
    }
    return true
  }

  /// Tries all values of the keys that nothing is known of.
  private func enumerate(_ index: Int, _ way: SparseCode.Way, _ keys: SparseSpan, _ body: () -> Void) {
    guard index < Int(way.free.count) else {
      clock += 1
      openStamp = clock
      for (key, place) in keys.range.enumerated() { set(code.keys.base[place].symbol, tuple[key]) }
      return body()
    }
    let key = Int(code.numbers.base[Int(way.free.first) + index])
    for value in 0..<code.keys.base[Int(keys.first) + key].count {
      tuple[key] = value
      enumerate(index + 1, way, keys, body)
    }
  }

  // MARK: Terms

  private func set(_ symbol: Int32, _ value: UInt64) {
    values[Int(symbol)] = value
    stamps[Int(symbol)] = code.nodes.base[Int(symbol)].isOpen ? openStamp : closedStamp
  }

  /// The packed keys of an entry, by their terms.
  private func packed(_ parts: SparseSpan) -> UInt64 {
    var packed: UInt64 = 0
    for index in parts.range {
      let part = code.parts.base[index]
      packed |= value(part.term) &<< part.shift
    }
    return packed
  }

  private func value(_ term: Int32) -> UInt64 {
    let index = Int(term)
    let node = code.nodes.base + index
    let stamp = node.pointee.isOpen ? openStamp : closedStamp
    if stamps[index] == stamp { return values[index] }
    let result = compute(node.pointee)
    values[index] = result
    stamps[index] = stamp
    return result
  }

  private func compute(_ node: SparseCode.Node) -> UInt64 {
    switch node.kind {
    case .constant: return node.word
    case .scalar: return self[Int(node.component), 0]
    case .entry: return self[Int(node.component), packed(SparseSpan(first: node.a, count: node.b))]
    case .symbol: preconditionFailure("a symbol has a value, or is not asked for")
    case .not: return value(node.a) ^ 1
    case .and: return value(node.a) != 0 ? value(node.b) : 0
    case .or: return value(node.a) != 0 ? 1 : value(node.b)
    case .equal: return value(node.a) == value(node.b) ? 1 : 0
    case .lessThan: return value(node.a) < value(node.b) ? 1 : 0
    case .lessOrEqual: return value(node.a) <= value(node.b) ? 1 : 0
    case .ifThenElse: return value(value(node.a) != 0 ? node.b : node.c)
    case .resize: return value(node.a) & node.word
    case .add: return (value(node.a) &+ value(node.b)) & node.word
    case .subtract: return (value(node.a) &- value(node.b)) & node.word
    case .bitAnd: return value(node.a) & value(node.b)
    case .bitOr: return value(node.a) | value(node.b)
    case .bitXor: return value(node.a) ^ value(node.b)
    }
  }
}
