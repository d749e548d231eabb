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
  }
  /// Bulk updates of tables that have the same keys, which are searched once for all of them.
  struct Bulk: Sendable {
    let sorts: [Sort]
    let keys: [Key]
    var searches: [SparseSearch]
    var changes: [Change]
  }
  struct Program: Sendable {
    let parameters: [TermID]
    /// The largest value of each argument.
    let largest: [UInt64]
    /// What must never be, for any keys.
    let violations: [Claim]
    let results: [TermID]
    /// Bulk updates come first: what else changes one of their tables wins.
    let bulks: [Bulk]
    let changes: [Change]
  }

  /// By action: the largest value of each argument.
  let largest: [[UInt64]]
  let code: SparseCode
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
    largest = programs.map(\.largest)
    let searches = programs.flatMap { $0.violations.flatMap(\.searches) + $0.bulks.flatMap(\.searches) }
    indexed = Set(
      searches.flatMap(\.ways).compactMap { $0.support?.value == nil ? nil : $0.support?.component })
    initial = specification.components.map { component in
      if case .value(let value) = component.initial { value } else { 0 }
    }
    let shifts = specification.components.map { component in
      var shift: UInt64 = 0
      let shifts = component.keys.reversed().map { sort in
        defer { shift += UInt64(scope.bits(of: sort)) }
        return shift
      }
      precondition(
        component.role == .witness || shift <= 64, "\(component.name): keys of 64 bits at the most")
      return Array(shifts.reversed())
    }
    self.shifts = shifts
    var layout = SparseLayout(specification, scope, shifts: shifts)
    code = layout.lay(programs, compilation.elaborator.terms) { compilation.isOpen(TermID($0)) }
  }
}

/// Makes actions ready.
private final class SparseCompilation {
  let elaborator: Elaborator
  private let specification: Specification
  private let scope: Scope
  private let openness: Openness

  init(_ specification: Specification, _ scope: Scope) {
    self.specification = specification
    self.scope = scope
    elaborator = Elaborator(specification, scope: scope)
    openness = Openness(elaborator)
  }

  func isOpen(_ term: TermID) -> Bool { openness.isOpen(term) }

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
    var bulks: [SparsePrograms.Bulk] = []
    for write in writes {
      func change(_ keys: [TermID], _ value: TermID) -> SparsePrograms.Change {
        SparsePrograms.Change(
          component: write.component, condition: write.condition, keys: keys, value: value)
      }
      switch write.kind {
      case .scalar(let value): changes.append(change([], value))
      case .entry(let keys, let value): changes.append(change(keys, value))
      case .table(let node):
        guard !changes.contains(where: { $0.component == write.component }) else {
          throw SpecificationError("\(action.name): a bulk update after another change of the same table")
        }
        let sorts = specification.components[write.component].keys
        let keys = bulks.first { $0.sorts == sorts }?.keys ?? makeKeys(sorts)
        let symbols = keys.map(\.symbol)
        let value = evaluation.entry(of: node, symbols)
        let searches = searches(keys).changing(before.entry(write.component, symbols), to: value)
        try check(searches, keys, action)
        add(change(symbols, value), keys, sorts, searches, to: &bulks)
      }
    }
    return SparsePrograms.Program(
      parameters: parameters, largest: action.parameters.map { scope.count(of: $0.sort) &- 1 },
      violations: violations, results: action.results.map { evaluation.value(of: $0.node) },
      bulks: bulks, changes: changes)
  }

  private func add(
    _ change: SparsePrograms.Change, _ keys: [SparsePrograms.Key], _ sorts: [Sort],
    _ searches: [SparseSearch], to bulks: inout [SparsePrograms.Bulk]
  ) {
    guard let index = bulks.firstIndex(where: { $0.sorts == sorts }) else {
      bulks.append(SparsePrograms.Bulk(sorts: sorts, keys: keys, searches: searches, changes: [change]))
      return
    }
    bulks[index].changes.append(change)
    bulks[index].searches += searches.filter { !bulks[index].searches.contains($0) }
  }

  private func makeKeys(_ sorts: [Sort]) -> [SparsePrograms.Key] {
    sorts.map { sort in
      let symbol = elaborator.symbol("key", sort)
      openness.keys.insert(symbol)
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
