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
  /// A term without variables, in the state that the claim speaks of.
  let closedTerm: (Node) -> TermID
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
  /// No more instances than this are made: `isTruncated` tells that there would be more.
  private let limit: Int

  /// The instances so far: conditions to assume.
  private(set) var assertions: [Assertion] = []
  private(set) var isTruncated = false
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

  init(_ elaborator: Elaborator, _ tables: TableIndex, _ hypotheses: [Hypothesis], limit: Int) {
    self.elaborator = elaborator
    self.tables = tables
    self.hypotheses = hypotheses
    self.limit = limit
    sight = [[[TermID]]](repeating: [], count: tables.keys.count)
    known = [Set<[TermID]>](repeating: [], count: tables.keys.count)
    done = [Set<[TermID]>](repeating: [], count: hypotheses.count)
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
    for hypothesis in hypotheses { tuples.append(matches(of: hypothesis)) }
    for index in hypotheses.indices { instantiate(index, at: tuples[index]) }
    return assertions.count > before
  }

  /// Instantiates every hypothesis at all terms in sight of the right sorts.
  /// - Returns: whether that gave anything new.
  func exhaustPools() -> Bool {
    let before = assertions.count
    for (index, hypothesis) in hypotheses.enumerated() {
      instantiate(
        index, at: extend([hypothesis.sorts.map { _ in nil }], hypothesis, Array(hypothesis.sorts.indices)))
    }
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
      guard assertions.count < limit else {
        isTruncated = true
        return
      }
      let term = hypotheses[index].instance(tuple)
      guard elaborator.constantValue(term) != 1, assumed.insert(term).inserted else { continue }
      assertions.append(Assertion(term, hypotheses[index].origin))
      look(at: term)
    }
  }

  // MARK: Matching

  private typealias Binding = [TermID?]

  private func matches(of hypothesis: Hypothesis) -> [[TermID]] {
    let count = hypothesis.sorts.count
    let found = hypothesis.triggers.groups.map { group in
      var bindings: [Binding] = []
      var seen: Set<Binding> = []
      for trigger in group.triggers {
        for binding in self.bindings(of: trigger, count, hypothesis) where seen.insert(binding).inserted {
          bindings.append(binding)
        }
      }
      return bindings
    }
    var result: [[TermID]] = []
    for cover in hypothesis.triggers.covers {
      var partial: [Binding] = [[TermID?](repeating: nil, count: count)]
      for group in cover { partial = join(partial, found[group]) }
      result += extend(partial, hypothesis, hypothesis.triggers.pooled)
    }
    return result
  }

  private func bindings(of trigger: Trigger, _ count: Int, _ hypothesis: Hypothesis) -> [Binding] {
    switch trigger {
    case .term(let node, let variable):
      var binding = Binding(repeating: nil, count: count)
      binding[variable] = hypothesis.closedTerm(node)
      return [binding]
    case .entry(let table, let keys, let values):
      return sight[table].compactMap { entry in
        var binding = Binding(repeating: nil, count: count)
        for (key, variable) in zip(entry, keys) {
          guard let variable else { continue }
          if let bound = binding[variable], bound != key { return nil }
          binding[variable] = key
        }
        for column in values {
          let value = elaborator.entry(column.component, entry)
          if let bound = binding[column.variable], bound != value { return nil }
          binding[column.variable] = value
        }
        return binding
      }
    }
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
        if result.count > limit {
          isTruncated = true
          return result
        }
      }
    }
    return result
  }

  /// Gives the named variables each term of their sort in sight.
  private func extend(_ bindings: [Binding], _ hypothesis: Hypothesis, _ variables: [Int]) -> [[TermID]] {
    var result = bindings
    for variable in variables {
      let candidates = pool[hypothesis.sorts[variable]] ?? []
      guard result.count * candidates.count <= limit else {
        isTruncated = true
        return []
      }
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
