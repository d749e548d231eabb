// SPDX-License-Identifier: Apache-2.0

/// The actions of a specification at a scope whose tables are too large to be laid out entry by entry, made ready for a
/// `SparseSimulator`. A bulk update, or a guard over all keys, is worked out where it may make a difference and nowhere
/// else: `SparseSearch` says where.
public final class SparsePrograms: Sendable {
  public let specification: Specification
  public let scope: Scope

  /// A condition on some keys, or on none.
  struct Claim: Sendable {
    let keys: [Key]
    let condition: TermID
    let searches: [SparseSearch]
  }
  /// A symbol that stands for a key, and how many values it has.
  struct Key: Sendable, Hashable {
    let symbol: TermID
    let count: UInt64
  }
  struct Change: Sendable {
    let component: Int
    let condition: TermID
    /// What the changed entry's keys are, by terms; for a bulk update they are searched.
    let keys: [TermID]
    let value: TermID
    let bulk: [Key]
    let searches: [SparseSearch]
  }
  struct Program: Sendable {
    let parameters: [TermID]
    /// The largest value of each argument.
    let largest: [UInt64]
    /// What must never be, for any keys.
    let violations: [Claim]
    let results: [TermID]
    let changes: [Change]
  }

  let terms: [Term]
  /// Whether a term depends on keys that are searched.
  let isOpen: [Bool]
  let programs: [Program]
  /// By component: where each key lies in a packed one; and what an entry holds at the beginning.
  let shifts: [[UInt64]]
  let initial: [UInt64]
  /// Components whose entries are found by what they hold.
  let indexed: Set<Int>

  /// - Throws: if an action has something that would have to be worked out for all keys of a large table.
  public init(_ specification: Specification, scope: Scope) throws(SpecificationError) {
    self.specification = specification
    self.scope = scope
    let compilation = SparseCompilation(specification, scope)
    var programs: [Program] = []
    for action in specification.actions { programs.append(try compilation.compile(action)) }
    self.programs = programs
    terms = compilation.elaborator.terms
    isOpen = (0..<terms.count).map { compilation.isOpen(TermID($0)) }
    let searches = programs.flatMap { $0.violations.flatMap(\.searches) + $0.changes.flatMap(\.searches) }
    indexed = Set(
      searches.flatMap(\.ways).compactMap { $0.support?.value == nil ? nil : $0.support?.component })
    initial = specification.components.map { component in
      if case .value(let value) = component.initial { value } else { 0 }
    }
    shifts = specification.components.map { component in
      var shift: UInt64 = 0
      let shifts = component.keys.reversed().map { sort in
        defer { shift += UInt64(scope.bits(of: sort)) }
        return shift
      }
      precondition(
        component.role == .witness || shift <= 64, "\(component.name): keys of 64 bits at the most")
      return Array(shifts.reversed())
    }
  }
}

/// Makes actions ready.
private final class SparseCompilation {
  let elaborator: Elaborator
  private let specification: Specification
  private let scope: Scope
  private var keys: Set<TermID> = []
  private var openness: [TermID: Bool] = [:]

  init(_ specification: Specification, _ scope: Scope) {
    self.specification = specification
    self.scope = scope
    elaborator = Elaborator(specification, scope: scope)
  }

  func isOpen(_ term: TermID) -> Bool {
    if keys.contains(term) { return true }
    if let known = openness[term] { return known }
    let answer = elaborator[term].operands.contains(where: isOpen)
    openness[term] = answer
    return answer
  }

  func compile(_ action: Action) throws(SpecificationError) -> SparsePrograms.Program {
    let parameters = action.parameters.map { elaborator.symbol($0.name, $0.sort) }
    let before = BaseState(elaborator)
    let evaluation = Evaluation(elaborator, state: before, arguments: parameters)
    var violations: [SparsePrograms.Claim] = []
    for item in action.guards {
      let keys = makeKeys(item.bound.map(\.sort))
      let condition = elaborator.not(
        evaluation.binding(item.bound, to: keys.map(\.symbol)).value(of: item.condition))
      let searches = keys.isEmpty ? [] : searches(keys).holding(condition)
      try check(searches, keys, action)
      violations.append(SparsePrograms.Claim(keys: keys, condition: condition, searches: searches))
    }
    let writes = WriteList(of: action, parameters, elaborator, evaluation, before: before).writes
    var changes: [SparsePrograms.Change] = []
    for write in writes { changes.append(try compile(write, changes, evaluation, before, action)) }
    return SparsePrograms.Program(
      parameters: parameters, largest: action.parameters.map { scope.count(of: $0.sort) &- 1 },
      violations: violations, results: action.results.map { evaluation.value(of: $0.node) },
      changes: changes)
  }

  private func compile(
    _ write: Write, _ others: [SparsePrograms.Change], _ evaluation: Evaluation, _ before: BaseState,
    _ action: Action
  ) throws(SpecificationError) -> SparsePrograms.Change {
    func change(_ keys: [TermID], _ value: TermID) -> SparsePrograms.Change {
      SparsePrograms.Change(
        component: write.component, condition: write.condition, keys: keys, value: value, bulk: [],
        searches: [])
    }
    switch write.kind {
    case .scalar(let value): return change([], value)
    case .entry(let keys, let value): return change(keys, value)
    case .table(let node):
      guard !others.contains(where: { $0.component == write.component }) else {
        throw SpecificationError("\(action.name): a bulk update after another change of the same table")
      }
      let keys = makeKeys(specification.components[write.component].keys)
      let symbols = keys.map(\.symbol)
      let (value, old) = (evaluation.entry(of: node, symbols), before.entry(write.component, symbols))
      let searches = searches(keys).changing(old, to: value)
      try check(searches, keys, action)
      return SparsePrograms.Change(
        component: write.component, condition: write.condition, keys: symbols, value: value, bulk: keys,
        searches: searches)
    }
  }

  private func makeKeys(_ sorts: [Sort]) -> [SparsePrograms.Key] {
    sorts.map { sort in
      let symbol = elaborator.symbol("key", sort)
      keys.insert(symbol)
      return SparsePrograms.Key(symbol: symbol, count: scope.count(of: sort))
    }
  }

  private func searches(_ keys: [SparsePrograms.Key]) -> SparseSearches {
    SparseSearches(elaborator, keys: keys, isOpen: isOpen)
  }

  /// Each case must have a way that does not look at too many keys.
  private func check(_ found: [SparseSearch], _ keys: [SparsePrograms.Key], _ action: Action)
    throws(SpecificationError)
  {
    let searches = searches(keys)
    guard found.allSatisfy(searches.isBounded) else {
      throw SpecificationError(
        "\(action.name): something would have to be worked out for all keys of a table")
    }
  }
}
