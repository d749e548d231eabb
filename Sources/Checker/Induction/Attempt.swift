// SPDX-License-Identifier: Apache-2.0

import Logic

/// One claim being proved: the terms of its question, which grow as more of the invariants is assumed.
final class Attempt {
  let problem: InductiveProblem
  let claim: Claim
  let elaborator: Elaborator
  let first: any StateView
  private(set) var steps: [SuccessorState] = []
  private(set) var arguments: [[TermID]] = []
  /// The arbitrary indices at which the invariant is to hold.
  let indices: [TermID]
  /// The invariant after the steps.
  let goal: TermID
  private let guards: [Assertion]
  private let instantiation: Instantiation
  /// The invariant before the last step, if that alone shows the claim: the step does not touch it.
  private let unchanged: TermID?
  /// The change of variables under which the question is asked, once it is chosen.
  private var differences: Differences?
  private var isMeasured = false

  /// - Parameter limit: the largest number of instances assumed.
  init(_ problem: InductiveProblem, _ claim: Claim, limit: Int) {
    self.problem = problem
    self.claim = claim
    let specification = problem.specification
    let elaborator = Elaborator(specification, scope: problem.scope)
    self.elaborator = elaborator
    first = claim.isInitial ? InitialState(elaborator) : BaseState(elaborator)

    var states: [any StateView] = [first]
    var guards: [Assertion] = []
    var hypotheses: [Hypothesis] = []
    var cases = claim.cases[...]
    func arbitrary(_ name: String, _ sort: Sort) -> TermID {
      guard problem.tables.split.contains(sort) else { return elaborator.symbol(name, sort) }
      guard let value = cases.popFirst() else { preconditionFailure("a claim names a value for each case") }
      return elaborator.constant(value, sort)
    }
    for (number, index) in claim.actions.enumerated() {
      let action = specification.actions[index]
      let suffix = claim.actions.count > 1 ? "'\(number + 1)" : ""
      let arguments = action.parameters.map { arbitrary($0.name + suffix, $0.sort) }
      let before = states[states.count - 1]
      let step = SuccessorState(elaborator, after: action, arguments: arguments, from: before)
      self.arguments.append(arguments)
      steps.append(step)
      states.append(step)
      for (item, triggers) in zip(action.guards, problem.guardTriggers[index]) {
        let origin = "guard of \(action.name), \(item.site)"
        if item.bound.isEmpty {
          guards.append(Assertion(step.instance(of: item, at: []), origin))
        } else {
          let evaluation = Evaluation(elaborator, state: before, arguments: arguments)
          hypotheses.append(
            Hypothesis(
              origin: origin, sorts: item.bound.map(\.sort), triggers: triggers,
              instance: { step.instance(of: item, at: $0) },
              term: { evaluation.binding(item.bound, to: $1).value(of: $0) }))
        }
      }
    }
    self.guards = guards

    let invariant = specification.invariants[claim.invariant]
    indices = invariant.bound.enumerated().map { arbitrary("index\($0.offset)", $0.element.sort) }
    let evaluations = states.map { Evaluation(elaborator, state: $0) }
    goal = evaluations[states.count - 1].instance(of: invariant, at: indices)
    let previous = states.count > 1 ? evaluations[states.count - 2].instance(of: invariant, at: indices) : nil
    unchanged = previous == goal ? goal : nil

    hypotheses += Self.hypotheses(problem, claim, evaluations)
    instantiation = Instantiation(elaborator, problem.tables, hypotheses, limit: limit)
    for index in indices { instantiation.look(at: index) }
    instantiation.look(at: goal)
    for arguments in arguments { for argument in arguments { instantiation.look(at: argument) } }
    for item in guards { instantiation.look(at: item.term) }
  }

  /// All invariants before the last step, and what is assumed of constants and initial states.
  private static func hypotheses(
    _ problem: InductiveProblem, _ claim: Claim, _ evaluations: [Evaluation]
  ) -> [Hypothesis] {
    let specification = problem.specification
    var result: [Hypothesis] = []
    func assume(_ invariant: Invariant, _ triggers: Triggers, _ evaluation: Evaluation) {
      result.append(
        Hypothesis(
          origin: invariant.name, sorts: invariant.bound.map(\.sort), triggers: triggers,
          instance: { evaluation.instance(of: invariant, at: $0) },
          term: { evaluation.binding(invariant.bound, to: $1).value(of: $0) }))
    }
    for (index, item) in specification.assumptions.enumerated()
    where claim.isInitial || problem.lasting.contains(index) {
      assume(item, problem.assumptionTriggers[index], evaluations[0])
    }
    // In the initial state itself the invariants are what is to be shown.
    for evaluation in evaluations.dropLast() {
      for index in problem.proved {
        assume(specification.invariants[index], problem.invariantTriggers[index], evaluation)
      }
    }
    return result
  }

  /// Whether the claim follows from its own form, without looking for instances.
  var isImmediate: Bool { elaborator.constantValue(goal) == 1 || unchanged != nil }

  /// Assumes what the terms in sight ask for.
  /// - Returns: whether that was anything new.
  func grow() -> Bool { !isImmediate && instantiation.round() }

  /// Assumes every invariant at all indices: for scopes that can be enumerated.
  func enumerate() { instantiation.enumerate() }

  /// The conditions that cannot all hold if the claim does.
  var assertions: [Assertion] {
    let refuted = Assertion(elaborator.not(goal), "refuted: \(invariantName)")
    if elaborator.constantValue(goal) == 1 { return [refuted] }
    if let unchanged { return [Assertion(unchanged, invariantName), refuted] }
    let all = guards + instantiation.assertions + [refuted]
    if !isMeasured {
      isMeasured = true
      differences = Differences.chosen(elaborator, goal: [goal], all: all.map(\.term))
    }
    let simple = all.map { Assertion(inNewVariables($0.term), $0.origin) }
      .filter { elaborator.constantValue($0.term) != 1 }
    return simple + elaborator.ranges(of: simple.map(\.term))
  }

  /// How the question is best answered, once it is put.
  var strategy: Solver.Strategy { differences == nil ? .congruence : .bits }

  /// A term as the question has it.
  func inNewVariables(_ term: TermID) -> TermID { differences?.rewrite(term) ?? term }

  private var invariantName: String { problem.specification.invariants[claim.invariant].name }

  /// The question as it stands, and its text.
  func question() -> (obligation: Obligation, text: String) {
    let title = claim.title(in: problem.specification)
    let text = elaborator.smtLIB(assertions, title: [title])
    let obligation = Obligation(
      claim: claim, title: title, hash: ContentHash(of: text), rounds: instantiation.rounds)
    return (obligation, text)
  }
}

extension InductiveProblem {
  /// The question that was asked about a claim, made anew.
  /// - Parameters:
  ///   - rounds: after how many rounds of looking for instances.
  ///   - limit: the largest number of instances assumed.
  public func question(
    about claim: Claim, rounds: Int, limit: Int = InductionOptions().instanceLimit
  ) -> (obligation: Obligation, text: String) {
    let attempt = Attempt(self, claim, limit: limit)
    for _ in 0..<rounds { _ = attempt.grow() }
    return attempt.question()
  }
}
