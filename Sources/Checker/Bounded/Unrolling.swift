// SPDX-License-Identifier: Apache-2.0

import Logic

/// Every run of a machine of some length, as terms: an initial state, or any, and steps of which each is one of its actions
/// at some arguments, all of them symbols that a solver gives values.
///
/// Nothing is approximated: the terms have a model exactly if there is such a run. That asks for guards over all
/// indices to be written out, and so for a scope at which those indices can be counted.
final class Unrolling {
  let specification: Specification
  let elaborator: Elaborator
  /// The states of the run: one more than there are steps.
  private(set) var states: [RememberedState]
  private(set) var steps: [Step] = []
  /// What a run must satisfy.
  private(set) var assertions: [Assertion] = []

  /// A step of the run: one of the actions.
  struct Step {
    /// Which action, as an index into the specification's.
    let choice: TermID
    /// By action: the arguments that it has if it is the one.
    let arguments: [[TermID]]
    let successors: [SuccessorState]
  }

  /// - Parameter isAnywhere: the runs begin in any state whatever; what is assumed of initial states only is not assumed.
  /// - Throws: if something at this scope ranges over too much to be written out.
  init(_ specification: Specification, scope: Scope, isAnywhere: Bool = false) throws(SpecificationError) {
    try Self.check(specification, scope)
    self.specification = specification
    let elaborator = Elaborator(specification, scope: scope)
    self.elaborator = elaborator
    states = [RememberedState(isAnywhere ? BaseState(elaborator) : InitialState(elaborator))]
    let reading = Evaluation(elaborator, state: states[0])
    let lasting = specification.lastingAssumptions
    for (index, claim) in specification.assumptions.enumerated()
    where !isAnywhere || lasting.contains(index) {
      for indices in elaborator.tuples(of: claim.bound.map(\.sort)) {
        assertions.append(Assertion(reading.instance(of: claim, at: indices), claim.name))
      }
    }
  }

  /// Adds one step.
  func extend() {
    let (number, before) = (steps.count + 1, states[steps.count])
    let choice = elaborator.symbol("action'\(number)", Self.actionSort(specification))
    var pool: [Sort: [TermID]] = [:]
    /// Actions share the symbols of their arguments: only one of them is taken.
    func symbol(_ sort: Sort, _ index: Int) -> TermID {
      while pool[sort, default: []].count <= index {
        let made = elaborator.symbol("\(sort.name)\(pool[sort, default: []].count)'\(number)", sort)
        pool[sort, default: []].append(made)
      }
      return pool[sort, default: []][index]
    }
    let arguments = specification.actions.map { action in
      var used: [Sort: Int] = [:]
      return action.parameters.map { parameter in
        defer { used[parameter.sort, default: 0] += 1 }
        return symbol(parameter.sort, used[parameter.sort, default: 0])
      }
    }
    let successors = zip(specification.actions, arguments).map {
      SuccessorState(elaborator, after: $0, arguments: $1, from: before)
    }
    let possible = specification.actions.indices.map { action in
      elaborator.all(
        [elaborator.equal(choice, constant(action, choice))] + successors[action].guardTerms
          + allowed(action, arguments[action]))
    }
    assertions.append(Assertion(elaborator.any(possible), "step \(number) is possible"))
    steps.append(Step(choice: choice, arguments: arguments, successors: successors))
    states.append(
      RememberedState(
        ChosenState(
          specification, elaborator, before,
          successors.enumerated().map { (elaborator.equal(choice, constant($0, choice)), $1) })))
  }

  /// The invariants in the last state, each with symbols for the indices at which it might fail.
  func claims() -> [(invariant: Int, indices: [TermID], holds: TermID)] {
    let reading = Evaluation(elaborator, state: states[steps.count])
    return specification.invariants.indices.compactMap { index in
      let claim = specification.invariants[index]
      guard claim.reading != .proofOnly else { return nil }
      let indices = claim.bound.enumerated().map { elaborator.symbol("index\($0)", $1.sort) }
      return (index, indices, reading.instance(of: claim, at: indices))
    }
  }

  /// The cells of the state of which the run speaks.
  var cells: [RememberedState.Reading] {
    var seen: Set<RememberedState.Reading> = []
    return states.flatMap(\.readings).filter { seen.insert($0).inserted }
  }

  private func constant(_ action: Int, _ choice: TermID) -> TermID {
    elaborator.constant(UInt64(action), width: elaborator[choice].width)
  }

  private static func actionSort(_ specification: Specification) -> Sort {
    .choice("action", specification.actions.map(\.name))
  }

  /// That the arguments are among those that the scope gives the action.
  private func allowed(_ action: Int, _ arguments: [TermID]) -> [TermID] {
    let declared = specification.actions[action]
    if elaborator.scope.excluded.contains(declared.name) { return [elaborator.no] }
    return zip(declared.parameters, arguments).compactMap { parameter, term in
      guard let values = elaborator.scope.arguments["\(declared.name).\(parameter.name)"] else { return nil }
      return elaborator.any(
        values.sorted().map { elaborator.equal(term, elaborator.constant($0, parameter.sort)) })
    }
  }

  // MARK: What cannot be written out

  private static let largestEnumeration = 1 << 12

  private static func check(_ specification: Specification, _ scope: Scope) throws(SpecificationError) {
    func check(_ sorts: [Sort], _ what: String) throws(SpecificationError) {
      var product = 1
      for sort in sorts {
        let count = scope.count(of: sort)
        guard count != 0, count <= UInt64(largestEnumeration), product <= largestEnumeration / Int(count)
        else {
          throw SpecificationError(
            "\(specification.name): \(what) speaks of all of more than 2¹² values at scope \(scope.name); "
              + "give \(sort.name) a smaller count")
        }
        product *= Int(count)
      }
    }
    for action in specification.actions {
      for item in action.guards { try check(item.bound.map(\.sort), "a guard of \(action.name)") }
    }
    for claim in specification.assumptions {
      try check(claim.bound.map(\.sort), "assumption \"\(claim.name)\"")
    }
    for node in specification.nodes where node.operation == .count {
      try check(node.operands.dropLast().map(\.sort), "a count")
    }
  }
}

/// The state after a step of which the action is not known: what each action would make of it, chosen between.
private final class ChosenState: StateView {
  private let elaborator: Elaborator
  private let before: any StateView
  /// By component: the actions that change it, each with the condition that it is the one.
  private let changes: [[(isTaken: TermID, after: SuccessorState)]]

  init(
    _ specification: Specification, _ elaborator: Elaborator, _ before: any StateView,
    _ successors: [(isTaken: TermID, after: SuccessorState)]
  ) {
    self.elaborator = elaborator
    self.before = before
    changes = specification.components.indices.map { component in
      zip(specification.actions, successors).filter { $0.0.next[component] != nil }.map(\.1)
    }
  }

  func scalar(_ component: Int) -> TermID {
    choose(component, before.scalar(component)) { $0.scalar(component) }
  }
  func entry(_ component: Int, _ keys: [TermID]) -> TermID {
    choose(component, before.entry(component, keys)) { $0.entry(component, keys) }
  }

  private func choose(_ component: Int, _ otherwise: TermID, _ value: (SuccessorState) -> TermID) -> TermID {
    changes[component].reduce(otherwise) { elaborator.ifThenElse($1.isTaken, value($1.after), $0) }
  }
}

/// A state that works each of its cells out once, and remembers which were asked for.
final class RememberedState: StateView {
  struct Reading: Hashable {
    let component: Int
    let keys: [TermID]
  }

  private let state: any StateView
  private var known: [Reading: TermID] = [:]
  /// In the order in which they were asked for.
  private(set) var readings: [Reading] = []

  init(_ state: any StateView) { self.state = state }

  func scalar(_ component: Int) -> TermID {
    remember(Reading(component: component, keys: [])) { state.scalar(component) }
  }
  func entry(_ component: Int, _ keys: [TermID]) -> TermID {
    remember(Reading(component: component, keys: keys)) { state.entry(component, keys) }
  }

  /// The cell, whether it is a scalar or an entry.
  func value(at reading: Reading, in specification: Specification) -> TermID {
    specification.components[reading.component].keys.isEmpty
      ? scalar(reading.component) : entry(reading.component, reading.keys)
  }

  private func remember(_ reading: Reading, _ work: () -> TermID) -> TermID {
    if let term = known[reading] { return term }
    readings.append(reading)
    let term = work()
    known[reading] = term
    return term
  }
}
