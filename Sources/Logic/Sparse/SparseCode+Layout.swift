// SPDX-License-Identifier: Apache-2.0

/// Lays sparse programs out.
struct SparseLayout {
  private let specification: Specification
  private let scope: Scope
  private let shifts: [[UInt64]]
  private var nodes: [SparseCode.Node] = []
  private var parts: [SparseCode.Part] = []
  private var numbers: [Int32] = []
  private var keys: [SparseCode.Key] = []
  private var ways: [SparseCode.Way] = []
  private var places: [SparseCode.Place] = []
  private var conditions: [SparseCode.Condition] = []
  private var searches: [SparseCode.Search] = []
  private var claims: [SparseCode.Claim] = []
  private var changes: [SparseCode.Change] = []
  private var bulks: [SparseCode.Bulk] = []
  private var programs: [SparseCode.Program] = []

  /// - Parameters:
  ///   - isOpen: whether a term depends on keys that are searched.
  ///   - shifts: by component, where each key lies in a packed one.
  init(_ specification: Specification, _ scope: Scope, shifts: [[UInt64]]) {
    (self.specification, self.scope, self.shifts) = (specification, scope, shifts)
  }

  mutating func lay(_ programs: [SparsePrograms.Program], _ terms: [Term], isOpen: (Int) -> Bool)
    -> SparseCode
  {
    for (index, term) in terms.enumerated() { nodes.append(node(term, isOpen: isOpen(index))) }
    for program in programs { self.programs.append(lay(program)) }
    return SparseCode(
      nodes: SparseValues(nodes), parts: SparseValues(parts), numbers: SparseValues(numbers),
      keys: SparseValues(keys), ways: SparseValues(ways), places: SparseValues(places),
      conditions: SparseValues(conditions), searches: SparseValues(searches), claims: SparseValues(claims),
      changes: SparseValues(changes), bulks: SparseValues(bulks), programs: SparseValues(self.programs),
      keyLimit: (claims.map(\.keys.count) + bulks.map(\.keys.count)).reduce(0) { max($0, Int($1)) })
  }

  /// Appends values to others of their kind.
  private static func append<Element>(_ new: [Element], to all: inout [Element]) -> SparseSpan {
    defer { all += new }
    return SparseSpan(first: Int32(all.count), count: Int32(new.count))
  }

  // MARK: Terms

  private mutating func node(_ term: Term, isOpen: Bool) -> SparseCode.Node {
    var node = SparseCode.Node(kind: kind(term.operation), isOpen: isOpen, word: mask(term.width))
    switch term.operation {
    case .constant(let value): node.word = value
    case .scalar(_, let component): node.component = Int32(component)
    case .entry(_, let component):
      node.component = Int32(component)
      let span = parts(component, term.operands)
      (node.a, node.b) = (span.first, span.count)
    case .symbol: break
    default:
      let operands = term.operands.map(\.index) + [0, 0, 0]
      (node.a, node.b, node.c) = (operands[0], operands[1], operands[2])
    }
    return node
  }

  private func kind(_ operation: Term.Operation) -> SparseCode.Node.Kind {
    switch operation {
    case .constant: .constant
    case .scalar: .scalar
    case .entry: .entry
    case .symbol: .symbol
    case .not: .not
    case .and: .and
    case .or: .or
    case .equal: .equal
    case .lessThan: .lessThan
    case .lessOrEqual: .lessOrEqual
    case .add: .add
    case .subtract: .subtract
    case .bitAnd: .bitAnd
    case .bitOr: .bitOr
    case .bitXor: .bitXor
    case .resize: .resize
    case .ifThenElse: .ifThenElse
    }
  }

  private mutating func parts(_ component: Int, _ keys: [TermID]) -> SparseSpan {
    Self.append(
      zip(keys, shifts[component]).map { SparseCode.Part(term: $0.index, shift: $1) }, to: &parts)
  }

  // MARK: Programs

  private mutating func lay(_ program: SparsePrograms.Program) -> SparseCode.Program {
    let claims = program.violations.map { claim in
      let (keys, searches) = lay(claim.keys, claim.searches)
      return SparseCode.Claim(keys: keys, searches: searches, condition: claim.condition.index)
    }
    let bulks = program.bulks.map { bulk in
      let (keys, searches) = lay(bulk.keys, bulk.searches)
      return SparseCode.Bulk(keys: keys, searches: searches, changes: lay(bulk.changes))
    }
    return SparseCode.Program(
      parameters: Self.append(program.parameters.map(\.index), to: &numbers),
      results: Self.append(program.results.map(\.index), to: &numbers),
      violations: Self.append(claims, to: &self.claims), bulks: Self.append(bulks, to: &self.bulks),
      changes: lay(program.changes))
  }

  private mutating func lay(_ changes: [SparsePrograms.Change]) -> SparseSpan {
    let laid = changes.map { change in
      SparseCode.Change(
        component: Int32(change.component), condition: change.condition.index, value: change.value.index,
        parts: parts(change.component, change.keys))
    }
    return Self.append(laid, to: &self.changes)
  }

  /// Keys, and the searches for them: a way that two of these have is one.
  private mutating func lay(_ keys: [SparsePrograms.Key], _ searches: [SparseSearch])
    -> (keys: SparseSpan, searches: SparseSpan)
  {
    var known: [SparseSearch.Way: Int32] = [:]
    let laid = searches.map { search in
      let numbers = search.ways.map { way in
        if let number = known[way] { return number }
        ways.append(lay(way, keys))
        known[way] = Int32(ways.count - 1)
        return Int32(ways.count - 1)
      }
      return SparseCode.Search(
        known: Self.append(
          search.known.map { SparseCode.Condition(term: $0.key.index, holds: $0.value) }, to: &conditions),
        ways: Self.append(numbers, to: &self.numbers))
    }
    let spans = keys.map { SparseCode.Key(symbol: $0.symbol.index, count: $0.count) }
    return (Self.append(spans, to: &self.keys), Self.append(laid, to: &self.searches))
  }

  private mutating func lay(_ way: SparseSearch.Way, _ keys: [SparsePrograms.Key]) -> SparseCode.Way {
    var isFree = way.fixed.map { $0 == nil }
    var laid: [SparseCode.Place] = []
    if let support = way.support {
      let sorts = specification.components[support.component].keys
      for (index, part) in support.parts.enumerated() {
        var (key, term, isFixed) = (Int32(-1), Int32(0), false)
        switch part {
        case .bound(let bound):
          (key, isFixed) = (Int32(bound), !isFree[bound])
          isFree[bound] = false
        case .known(let known): term = known.index
        }
        laid.append(
          SparseCode.Place(
            shift: shifts[support.component][index], mask: mask(scope.bits(of: sorts[index])), key: key,
            term: term, isFixed: isFixed))
      }
    }
    let free = keys.indices.filter { isFree[$0] }
    let tupleCount = free.reduce(UInt64(1)) { count, key in
      let product = count.multipliedReportingOverflow(by: keys[key].count)
      return product.overflow ? .max : product.partialValue
    }
    return SparseCode.Way(
      fixed: Self.append(way.fixed.map { $0?.index ?? -1 }, to: &numbers),
      free: Self.append(free.map { Int32($0) }, to: &numbers), tupleCount: tupleCount,
      component: Int32(way.support?.component ?? -1), places: Self.append(laid, to: &places),
      held: way.support?.value?.index ?? -1)
  }
}
