// SPDX-License-Identifier: Apache-2.0

import Logic

/// A claim over all values of its variables that an obligation may assume.
struct Hypothesis {
  /// What a reader is told it is.
  let origin: String
  let sorts: [Sort]
  let triggers: Triggers
  /// The claim at given indices, as a term.
  let instance: ([TermID]) -> TermID
  /// A term of the claim, at given indices, in the state that the claim speaks of.
  let term: (Node, [TermID]) -> TermID
}

/// Chooses the indices at which hypotheses are assumed: those that the terms in sight ask for.
///
/// It works in rounds. In each, every hypothesis is instantiated wherever its triggers match entries in sight; what
/// the instances read is in sight for the next round. So chains such as `holder[o, position[m]]` are followed as far
/// as there are rounds.
final class Instantiation {
  private let elaborator: Elaborator
  private let tables: TableIndex
  private let hypotheses: [Hypothesis]
  /// No more instances than this are made: what is assumed less can only make a proof fail.
  private let limit: Int

  /// The instances so far: conditions to assume.
  private(set) var assertions: [Assertion] = []
  private(set) var rounds = 0

  private var isSeen: [Bool] = []
  /// For each table, the keys of its entries in sight.
  private var sight: [[[TermID]]]
  private var known: [Set<[TermID]>]
  /// The terms of each sort in sight, for variables that no trigger finds.
  private var pool: [Sort: [TermID]] = [:]
  private var pooled: Set<TermID> = []
  private var done: [Set<[TermID]>]
  private var assumed: Set<TermID> = []
  /// For each hypothesis, symbols that stand for its variables in patterns and occur nowhere else.
  private let placeholders: [[TermID]]

  init(_ elaborator: Elaborator, _ tables: TableIndex, _ hypotheses: [Hypothesis], limit: Int) {
    self.elaborator = elaborator
    self.tables = tables
    self.hypotheses = hypotheses
    self.limit = limit
    sight = [[[TermID]]](repeating: [], count: tables.keys.count)
    known = [Set<[TermID]>](repeating: [], count: tables.keys.count)
    done = [Set<[TermID]>](repeating: [], count: hypotheses.count)
    placeholders = hypotheses.map { $0.sorts.map { elaborator.symbol("placeholder", $0) } }
  }

  /// Brings the entries that a term reads into sight.
  func look(at root: TermID) {
    if isSeen.count < elaborator.terms.count {
      isSeen += [Bool](repeating: false, count: elaborator.terms.count - isSeen.count)
    }
    var pending = [root]
    while let id = pending.popLast() {
      guard !isSeen[Int(id.index)] else { continue }
      isSeen[Int(id.index)] = true
      let term = elaborator[id]
      pending += term.operands.reversed()
      switch term.operation {
      case .entry(_, let component):
        let declared = elaborator.specification.components[component]
        for (key, sort) in zip(term.operands, declared.keys) { addToPool(key, sort) }
        addToPool(id, declared.sort)
        let table = tables.table[component]
        if known[table].insert(term.operands).inserted { sight[table].append(term.operands) }
      case .scalar(_, let component): addToPool(id, elaborator.specification.components[component].sort)
      case .symbol(let index): addToPool(id, elaborator.symbols[index].sort)
      default: break
      }
    }
  }

  private func addToPool(_ id: TermID, _ sort: Sort) {
    if pooled.insert(id).inserted { pool[sort, default: []].append(id) }
  }

  /// Instantiates at what is in sight now.
  /// - Returns: whether that gave anything new.
  func round() -> Bool {
    rounds += 1
    let before = assertions.count
    var tuples: [[[TermID]]] = []
    for index in hypotheses.indices { tuples.append(matches(of: index)) }
    for index in hypotheses.indices { instantiate(index, at: tuples[index]) }
    return assertions.count > before
  }

  /// Instantiates every hypothesis at all indices there are: for scopes that can be enumerated.
  func enumerate() {
    for (index, hypothesis) in hypotheses.enumerated() {
      instantiate(index, at: elaborator.tuples(of: hypothesis.sorts))
    }
  }

  private func instantiate(_ index: Int, at tuples: [[TermID]]) {
    for tuple in tuples where done[index].insert(tuple).inserted {
      guard assertions.count < limit else { return }
      let term = hypotheses[index].instance(tuple)
      guard elaborator.constantValue(term) != 1, assumed.insert(term).inserted else { continue }
      assertions.append(Assertion(term, hypotheses[index].origin))
      look(at: term)
    }
  }

  // MARK: Matching

  private typealias Binding = [TermID?]

  private func matches(of index: Int) -> [[TermID]] {
    let hypothesis = hypotheses[index]
    let found = hypothesis.triggers.groups.map { group in
      var bindings: [Binding] = []
      var seen: Set<Binding> = []
      for trigger in group.triggers {
        for binding in self.bindings(of: trigger, index) where seen.insert(binding).inserted {
          bindings.append(binding)
        }
      }
      return bindings
    }
    var result: [[TermID]] = []
    for cover in hypothesis.triggers.covers {
      var partial: [Binding] = [Binding(repeating: nil, count: hypothesis.sorts.count)]
      for group in cover { partial = join(partial, found[group]) }
      result += extend(partial, hypothesis, hypothesis.triggers.pooled)
    }
    return result
  }

  private func bindings(of trigger: Trigger, _ index: Int) -> [Binding] {
    let hypothesis = hypotheses[index]
    let empty = Binding(repeating: nil, count: hypothesis.sorts.count)
    func binding(_ variable: Int, _ value: TermID) -> Binding {
      var binding = empty
      binding[variable] = value
      return binding
    }
    switch trigger {
    case .term(let node, let variable):
      return [binding(variable, hypothesis.term(node, placeholders[index]))]
    case .constants(let count, let variable):
      return (0..<count).map { binding(variable, elaborator.constant($0, hypothesis.sorts[variable])) }
    case .entry(let table, let keys, let values):
      let patterns = keys.map { pattern($0, index) }
      return sight[table].compactMap { entry in
        var binding = empty
        for (key, pattern) in zip(entry, patterns) {
          if let pattern, !match(pattern, key, index, &binding) { return nil }
        }
        for column in values where !(column.isBound && binding[column.variable] != nil) {
          let value =
            column.isBound
            ? elaborator.constant(0, hypothesis.sorts[column.variable])
            : elaborator.entry(column.component, entry)
          if let bound = binding[column.variable], bound != value { return nil }
          binding[column.variable] = value
        }
        return binding
      }
    }
  }

  /// The term that a key has to be like, with placeholders for variables; nil for any.
  private func pattern(_ key: Trigger.Key, _ index: Int) -> TermID? {
    switch key {
    case .variable(let variable): placeholders[index][variable]
    case .expression(let node, _): hypotheses[index].term(node, placeholders[index])
    case .any: nil
    }
  }

  /// Whether a term is like a pattern, and for which values of the placeholders.
  private func match(_ pattern: TermID, _ id: TermID, _ index: Int, _ binding: inout Binding) -> Bool {
    if let variable = placeholders[index].firstIndex(of: pattern) {
      if let bound = binding[variable] { return bound == id }
      binding[variable] = id
      return true
    }
    if pattern == id { return true }
    let (form, term) = (elaborator[pattern], elaborator[id])
    guard form.operation == term.operation, form.operands.count == term.operands.count,
      !form.operands.isEmpty, form.width == term.width
    else { return false }
    func matches(_ operands: [TermID], _ binding: inout Binding) -> Bool {
      for (part, operand) in zip(form.operands, operands) {
        guard match(part, operand, index, &binding) else { return false }
      }
      return true
    }
    var attempt = binding
    if matches(term.operands, &attempt) {
      binding = attempt
      return true
    }
    guard form.operation.isCommutative else { return false }
    return matches(term.operands.reversed(), &binding)
  }

  /// Every pair of bindings that agree.
  private func join(_ left: [Binding], _ right: [Binding]) -> [Binding] {
    var result: [Binding] = []
    for a in left {
      for b in right {
        var both = a
        var agrees = true
        for index in both.indices {
          guard let value = b[index] else { continue }
          if let bound = both[index], bound != value {
            agrees = false
            break
          }
          both[index] = value
        }
        if agrees { result.append(both) }
        if result.count > limit { return result }
      }
    }
    return result
  }

  /// Gives the named variables each term of their sort in sight.
  private func extend(_ bindings: [Binding], _ hypothesis: Hypothesis, _ variables: [Int]) -> [[TermID]] {
    var result = bindings
    for variable in variables {
      let candidates = pool[hypothesis.sorts[variable]] ?? []
      guard result.count * candidates.count <= limit else { return [] }
      result = result.flatMap { binding in
        candidates.map {
          var extended = binding
          extended[variable] = $0
          return extended
        }
      }
    }
    return result.compactMap { binding in
      let tuple = binding.compactMap { $0 }
      return tuple.count == binding.count ? tuple : nil
    }
  }
}

extension Term.Operation {
  /// Whether the operands may change places.
  fileprivate var isCommutative: Bool {
    switch self {
    case .and, .or, .equal, .add, .bitAnd, .bitOr, .bitXor: true
    default: false
    }
  }
}
