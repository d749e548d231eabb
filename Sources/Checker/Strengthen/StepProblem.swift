// SPDX-License-Identifier: Apache-2.0

import Logic

/// One step of a machine at a scope at which everything can be written out, from any state whatever, and what a solver is
/// asked about it.
///
/// Conditions stay with the solver from one question to the next; which of them count is said by symbols that a question
/// assumes.
final class StepProblem {
  let layout: StateLayout
  let elaborator: Elaborator
  private let unrolling: Unrolling
  private let before: [TermID]
  private let after: [TermID]
  /// That the step is one of the machine's: the action chosen is possible.
  private let isStep: TermID
  private let choices: [TermID]
  let initial: [Assertion]
  let goal: [Assertion]
  /// What holds in every state.
  private let lasting: [Assertion]

  private let context = SolverContext()
  /// Knows the step.
  private let solver: Solver
  /// Knows no step, and so also of states from which there is none.
  private let lifter: Solver
  private let isInitial: TermID
  private var levels: [TermID] = []
  private var facts: [Key: TermID] = [:]
  /// Questions asked so far.
  private(set) var questions = 0

  private struct Key: Hashable {
    let fact: Cube.Fact
    let isAfter: Bool
  }

  /// - Parameter invariants: what is to be shown, by indices into the specification's.
  /// - Throws: if something ranges over too much to be written out.
  init(_ specification: Specification, scope: Scope, invariants: [Int]) throws(SpecificationError) {
    let layout = try StateLayout(specification, scope: scope)
    self.layout = layout
    guard layout.count <= Self.mostCells else {
      throw SpecificationError(
        "\(specification.name): \(layout.count) cells at scope \(scope.name), and \(Self.mostCells) is the most"
      )
    }
    unrolling = try Unrolling(specification, scope: scope, isAnywhere: true)
    unrolling.extend()
    let (e, states) = (unrolling.elaborator, unrolling.states)
    elaborator = e
    let cells = (0..<layout.count).map { register in
      let (component, keys) = layout.owner(of: register)
      let sorts = specification.components[component].keys
      return RememberedState.Reading(component: component, keys: zip(keys, sorts).map { e.constant($0, $1) })
    }
    before = cells.map { states[0].value(at: $0, in: specification) }
    after = cells.map { states[1].value(at: $0, in: specification) }
    choices = [unrolling.steps[0].choice] + unrolling.steps[0].arguments.flatMap { $0 }
    isStep = unrolling.assertions[unrolling.assertions.count - 1].term
    lasting = Array(unrolling.assertions.dropLast())
    let reading = Evaluation(e, state: states[0])
    func everywhere(_ claim: Invariant) -> Assertion {
      Assertion(
        e.all(e.tuples(of: claim.bound.map(\.sort)).map { reading.instance(of: claim, at: $0) }), claim.name)
    }
    goal = invariants.map { everywhere(specification.invariants[$0]) }
    let beginning = InitialState(e)
    initial =
      zip(cells, before).map { cell, term in
        let keys = cell.keys
        return Assertion(
          e.equal(
            term, keys.isEmpty ? beginning.scalar(cell.component) : beginning.entry(cell.component, keys)),
          "initially")
      } + specification.assumptions.map(everywhere)

    solver = Solver(e, in: context)
    lifter = Solver(e, in: context)
    isInitial = e.symbol("initial", .bit)
    let known = lasting + [Assertion(isStep, "step")]
    let ranges = e.ranges(of: known.map(\.term) + before + after + initial.map(\.term) + goal.map(\.term))
    for item in known + ranges { solver.assert(item.term) }
    for item in lasting + ranges { lifter.assert(item.term) }
    for item in initial { always(e.implies(isInitial, item.term)) }
  }

  private static let mostCells = 2_000

  // MARK: Terms

  /// Both solvers know it from now on.
  private func always(_ condition: TermID) {
    solver.assert(condition)
    lifter.assert(condition)
  }

  private func literal(_ fact: Cube.Fact, isAfter: Bool) -> TermID {
    let key = Key(fact: fact, isAfter: isAfter)
    if let known = facts[key] { return known }
    let symbol = elaborator.symbol("fact\(facts.count)", .bit)
    always(elaborator.implies(symbol, term(fact, isAfter: isAfter)))
    facts[key] = symbol
    return symbol
  }

  private func term(_ fact: Cube.Fact, isAfter: Bool) -> TermID {
    holds(fact.value, isAfter ? after[fact.cell] : before[fact.cell])
  }

  /// That a term has a value.
  private func holds(_ value: UInt64, _ term: TermID) -> TermID {
    let shape = elaborator[term]
    return elaborator.equal(term, elaborator.constant(value, width: shape.width, isBit: shape.isBit))
  }

  /// That the state before, or after, the step is one of a cube's.
  func term(_ cube: Cube, isAfter: Bool = false) -> TermID {
    elaborator.all(cube.facts.map { term($0, isAfter: isAfter) })
  }

  /// That no state is in a cube, from a level on downwards.
  func exclude(_ cube: Cube, upTo level: Int) {
    always(elaborator.implies(activation(of: level), elaborator.not(term(cube))))
  }

  private func activation(of level: Int) -> TermID {
    while levels.count <= level { levels.append(elaborator.symbol("level\(levels.count)", .bit)) }
    return levels[level]
  }

  /// What is known of states that so many steps reach at most.
  private func frame(_ level: Int, upTo top: Int) -> [TermID] {
    level == 0 ? [isInitial] : (level...top).map(activation)
  }

  // MARK: Questions

  /// A cube of states that break an invariant after at most `level` steps, as far as is known. From such a state there
  /// may be no step.
  func broken(at level: Int) throws(Unanswered) -> Cube? {
    let isBroken = elaborator.not(elaborator.all(goal.map(\.term)))
    lifter.push()
    lifter.assert(isBroken)
    let found = try answer(lifter, frame(level, upTo: level)) == .satisfiable ? state(in: lifter.model) : nil
    lifter.pop()
    return try found.map { state throws(Unanswered) in try lifted(state, assuming: [], to: isBroken) }
  }

  enum Origin {
    /// A cube of states of which each has a step into the target.
    case from(Cube)
    /// There is none, and there would not be one into this larger cube either.
    case nowhere(Cube)
  }

  /// Whence a step leads into a cube that it is not in.
  func origin(of cube: Cube, at level: Int, upTo top: Int) throws(Unanswered) -> Origin {
    let goals = cube.facts.map { literal($0, isAfter: true) }
    solver.push()
    defer { solver.pop() }
    solver.assert(elaborator.not(term(cube)))
    let assumed = frame(level, upTo: top) + goals
    guard try answer(solver, assumed) == .satisfiable else {
      let needed = Set(solver.failed(of: assumed))
      return .nowhere(Cube(zip(cube.facts, goals).filter { needed.contains($1) }.map(\.0)))
    }
    let model = solver.model
    let taken = choices.map { holds(model.value(of: $0), $0) }
    let leads = elaborator.and(isStep, term(cube, isAfter: true))
    return .from(try lifted(state(in: model), assuming: taken, to: leads))
  }

  /// Whether some initial state is in a cube.
  func isInitial(_ cube: Cube) throws(Unanswered) -> Bool {
    try answer(lifter, [isInitial] + cube.facts.map { literal($0, isAfter: false) }) == .satisfiable
  }

  private func state(in model: SolverModel) -> Cube {
    Cube(before.indices.map { Cube.Fact(cell: $0, value: model.value(of: before[$0])) })
  }

  /// As large a cube around a state as has a consequence.
  private func lifted(_ state: Cube, assuming others: [TermID], to consequence: TermID) throws(Unanswered)
    -> Cube
  {
    let literals = state.facts.map { literal($0, isAfter: false) }
    lifter.push()
    defer { lifter.pop() }
    for other in others { lifter.assert(other) }
    lifter.assert(elaborator.not(consequence))
    guard try answer(lifter, literals) == .unsatisfiable else { return state }
    let needed = Set(lifter.failed(of: literals))
    return Cube(zip(state.facts, literals).filter { needed.contains($1) }.map(\.0))
  }

  /// The solver gave no answer.
  struct Unanswered: Error {
    let reason: String
  }

  private func answer(_ solver: Solver, _ assumed: [TermID]) throws(Unanswered) -> Satisfiability {
    questions += 1
    let answer = solver.check(assuming: assumed)
    if answer == .unknown { throw Unanswered(reason: solver.reasonUnknown) }
    return answer
  }

  /// Whether the invariants are inductive once cubes are excluded.
  func isInductive(excluding cubes: [Cube]) throws(Unanswered) -> Bool {
    for obligation in obligations(excluding: cubes) {
      let asked = Solver(elaborator, in: context)
      for item in obligation.assertions { asked.assert(item.term) }
      if try answer(asked, []) == .satisfiable { return false }
    }
    return true
  }

  // MARK: What was found

  /// That cubes whose states are excluded make the invariants inductive: three questions, none of which can be satisfied.
  func obligations(excluding cubes: [Cube]) -> [(title: String, assertions: [Assertion])] {
    let e = elaborator
    let excluded = cubes.map { Assertion(e.not(term($0)), "never") }
    let broken = Assertion(e.any(cubes.map { term($0) }), "in a state that is never")
    let again = Assertion(
      e.any(cubes.map { term($0, isAfter: true) }), "in a state that is never, afterwards")
    let fails = Assertion(e.not(e.all(goal.map(\.term))), "an invariant fails")
    func complete(_ title: String, _ items: [Assertion]) -> (title: String, assertions: [Assertion]) {
      (title, items + e.ranges(of: items.map(\.term)))
    }
    return [
      complete("no initial state is excluded", initial + [broken]),
      complete(
        "no step leads into what is excluded", lasting + [Assertion(isStep, "step")] + excluded + [again]),
      complete("what is left keeps the invariants", lasting + excluded + [fails]),
    ]
  }
}
