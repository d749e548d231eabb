// SPDX-License-Identifier: Apache-2.0

/// A specification made to run beside the one that it is a mutant of: ghosts record in what the two differ.
public struct Comparison: Sendable {
  /// The mutant with the ghosts.
  public let specification: Specification
  /// By value of the ghost `forbidden`: the rule and place of the guard that was passed over; 0 is none.
  public let forbidden: [String]
  /// By value of the ghost `answered`: the action that answered differently; 0 is none.
  public let answered: [String]
  /// The invariant that says that no guard which a rule asks for was passed over.
  public static let keepsGuards = "every step is one that the rules' guards allow"
  /// The invariant that says that no answer differs.
  public static let keepsAnswers = "every answer is the specification's"
  /// Witnesses whose name begins so are reached where the two behave differently.
  public static let differs = "differs: "
}

extension Specification {
  /// Runs a mutant beside its original; nil if the two do not have the same variables and actions.
  public func compared(with original: Specification) -> Comparison? {
    guard components == original.components, actions.map(\.name) == original.actions.map(\.name),
      actions.map(\.parameters) == original.actions.map(\.parameters)
    else { return nil }
    var comparer = Comparer(mutant: self, original: original)
    return comparer.compare()
  }
}

/// Builds the ghosts of a comparison.
private struct Comparer {
  let mutant: Specification
  let original: Specification
  private var forbidden = ["nothing"]
  private var answered = ["nothing"]
  private var forbiddenSort: Sort { .choice("Forbidden", forbidden) }

  init(mutant: Specification, original: Specification) {
    self.mutant = mutant
    self.original = original
  }

  mutating func compare() -> Comparison {
    for action in original.actions {
      forbidden += action.guards.compactMap { item in item.rule.map { "\($0): \(action.name), \(item.site)" }
      }
      answered.append(action.name)
    }
    let first = mutant.components.count
    let sorts = [forbiddenSort, Sort.choice("Answered", answered), .bit]
    let names = ["forbidden", "answered", "moved"]
    let ghosts = zip(names, sorts).map { name, sort in
      Component(
        variable: "(\(name))", field: "", sort: sort, keys: [], initial: .value(0), role: .ghost)
    }
    let state = sorts.enumerated().map { Node(.stateScalar(first + $0.offset), $0.element) }
    var guardNumber: UInt64 = 1
    let actions = zip(mutant.actions, original.actions).enumerated().map { index, pair in
      let (mine, theirs) = pair
      if mine.isAlike(theirs) {
        guardNumber += UInt64(theirs.guards.count { $0.rule != nil })
        return mine
      }
      var next = mine.next
      next[first] = passedOver(theirs, state[0], &guardNumber)
      let answers = zip(mine.results, theirs.results).map { Node(.equal, .bit, [$0.node, $1.node]) }
      next[first + 1] = Node.choose(
        .not(all(answers)), .constant(UInt64(index + 1), sorts[1]), state[1])
      next[first + 2] = Node.or(state[2], movesDifferently(mine, theirs))
      return Action(
        name: mine.name, parameters: mine.parameters, guards: mine.guards, results: mine.results, next: next,
        assignments: mine.assignments, site: mine.site)
    }
    let specification = mutant.replacing(
      components: mutant.components + ghosts, actions: actions,
      invariants: [
        claim(Comparison.keepsGuards, isZero(state[0])), claim(Comparison.keepsAnswers, isZero(state[1])),
      ],
      witnesses: witnesses(state))
    return Comparison(specification: specification, forbidden: forbidden, answered: answered)
  }

  private func all(_ nodes: [Node]) -> Node { nodes.reduce(.yes, Node.and) }
  private func isZero(_ node: Node) -> Node { Node(.equal, .bit, [node, .constant(0, node.sort)]) }

  private func claim(_ name: String, _ body: Node) -> Invariant {
    Invariant(
      name: name, rule: nil, bound: [], body: body, reading: .explorationOnly, site: Site(#fileID, #line))
  }

  /// Which guard of the original that a rule asks for does not hold: the ghost's new value.
  private func passedOver(_ action: Action, _ old: Node, _ number: inout UInt64) -> Node {
    var value = old
    for item in action.guards where item.rule != nil {
      value = Node.choose(.not(holds(item)), .constant(number, forbiddenSort), value)
      number += 1
    }
    return value
  }

  /// The guard as one condition, its indices written out.
  private func holds(_ item: Guard) -> Node {
    item.bound.isEmpty ? item.condition : .not(exists(item.bound, .not(item.condition)))
  }

  private func exists(_ bound: [Node], _ condition: Node) -> Node {
    let sort = Sort.word("Tally", realBits: 32, scopeBits: 32)
    return .not(isZero(Node(.count, sort, bound + [condition])))
  }

  /// Whether the states after differ.
  private func movesDifferently(_ mine: Action, _ theirs: Action) -> Node {
    var answer = Node.no
    for index in Set(mine.next.keys).union(theirs.next.keys).sorted() {
      let component = mutant.components[index]
      if component.role != .state { continue }
      let old = Node(component.keys.isEmpty ? .stateScalar(index) : .stateTable(index), component.sort)
      let (a, b) = (mine.next[index] ?? old, theirs.next[index] ?? old)
      if a === b { continue }
      if component.keys.isEmpty {
        answer = .or(answer, .not(Node(.equal, .bit, [a, b])))
      } else {
        let keys = component.keys.map { Node(.bound("key"), $0) }
        let (x, y) = (Node(.select, a.sort, [a] + keys), Node(.select, b.sort, [b] + keys))
        answer = .or(answer, exists(keys, .not(Node(.equal, .bit, [x, y]))))
      }
    }
    return answer
  }

  /// Reached where the two differ in any way.
  private func witnesses(_ state: [Node]) -> [Witness] {
    func witness(_ what: String, _ bound: [Node], _ body: Node) -> Witness {
      Witness(name: Comparison.differs + what, bound: bound, body: body, site: Site(#fileID, #line))
    }
    var found = [witness("an action changes the state otherwise", [], state[2])]
    for (mine, theirs) in zip(mutant.actions, original.actions) where !mine.isAlike(theirs) {
      let arguments = mine.parameters.map { Node(.bound($0.name), $0.sort) }
      let (a, b) = (possible(mine, arguments), possible(theirs, arguments))
      let differ = Node.not(Node(.equal, .bit, [a, b]))
      found.append(witness("\(mine.name) is possible elsewhere", arguments, differ))
    }
    return found
  }

  private func possible(_ action: Action, _ arguments: [Node]) -> Node {
    let condition = all(action.guards.map(holds))
    var replacements: [ObjectIdentifier: Node] = [:]
    for node in Specification.nodes(below: [condition]) {
      if case .argument(let index) = node.operation {
        replacements[ObjectIdentifier(node)] = arguments[index]
      }
    }
    return Rewriter(replacements).rewritten(condition)
  }
}
