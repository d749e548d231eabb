// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

/// Takes one machine through the engines: explored at its scope, proved at real size, each proof confirmed by a
/// second solver, and the alarms tried with a false claim.
public struct Verifier: Sendable {
  /// Nil: proofs rest on one solver.
  public var second: SecondSolver?
  public var memory: AnswerFile?
  /// What an exploration's result is kept under: any change of the program makes it a new one.
  public var programHash: ContentHash?
  public var options = InductionOptions()

  public init() {}

  /// - Throws: if the machine does not make sense, or cannot be explored.
  public func verify(
    _ subject: Subject, progress: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(SpecificationError) -> Verification {
    let start = ContinuousClock.now
    let specification = try subject.make().trace()
    let scope = subject.scopes.first ?? .small
    progress("\(subject.name): exploring")
    let explored = try explore(specification, scope)
    progress("\(subject.name): proving")
    let problem = InductiveProblem(specification)
    let proofs = Prover(problem, options: options, memory: memory).prove(problem.claims) {
      progress("\(subject.name): \($0.obligation.title)")
    }
    progress("\(subject.name): confirming")
    let confirmed = confirm(proofs)
    let theorems = theorems(specification, scope, proofs, confirmed, explored)
    return Verification(
      machine: subject.name, scope: scope.name, states: explored.states, transitions: explored.transitions,
      explorationHolds: explored.holds, counterexample: explored.counterexample, theorems: theorems,
      canaryFound: try canaryIsFound(specification, scope),
      solvers: [SolverContext.version] + (second.map { [$0.name] } ?? []),
      seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  // MARK: Exploration

  private struct Explored {
    let states: Int
    let transitions: Int
    let holds: Bool
    let counterexample: Counterexample?
  }

  private func explore(_ specification: Specification, _ scope: Scope) throws(SpecificationError) -> Explored
  {
    let key = programHash.map { ContentHash(of: "\($0) \(specification.name) \(scope.name)") }
    if let key, let note = memory?.note(about: key, by: "explore") {
      let numbers = note.split(separator: " ").compactMap { Int($0) }
      if numbers.count == 2 {
        return Explored(states: numbers[0], transitions: numbers[1], holds: true, counterexample: nil)
      }
    }
    let result = try Explorer(specification, scope: scope).run()
    if let key, result.holds {
      memory?.keep("\(result.states) \(result.transitions)", about: key, by: "explore")
    }
    return Explored(
      states: result.states, transitions: result.transitions, holds: result.holds,
      counterexample: result.counterexample)
  }

  // MARK: Proof

  /// For each proof whether the second solver agrees.
  private func confirm(_ proofs: [Proof]) -> [Bool] {
    guard let second else { return proofs.map { _ in false } }
    var confirmed = proofs.map { proof in
      proof.isProved && memory?.answer(of: second.name, to: proof.obligation.hash) == .unsatisfiable
    }
    let asked = proofs.indices.filter { proofs[$0].isProved && !confirmed[$0] }
    for (index, answer) in zip(asked, second.answers(to: asked.map { proofs[$0].obligation })) {
      memory?.remember(answer, of: second.name, to: proofs[index].obligation.hash)
      confirmed[index] = answer == .unsatisfiable
    }
    return confirmed
  }

  private func theorems(
    _ specification: Specification, _ scope: Scope, _ proofs: [Proof], _ confirmed: [Bool],
    _ explored: Explored
  ) -> [Theorem] {
    specification.invariants.indices.map { index in
      let invariant = specification.invariants[index]
      let own = proofs.indices.filter { proofs[$0].claim.invariant == index }
      let unproved = own.filter { !proofs[$0].isProved }
      let isViolated = explored.counterexample?.violation.name == invariant.name
      let isExplored = explored.holds && invariant.reading != .proofOnly
      let method: Theorem.Method =
        isViolated
        ? .violated : !own.isEmpty && unproved.isEmpty ? .induction : isExplored ? .exploration : .open
      return Theorem(
        machine: specification.name, invariant: invariant.name, rule: invariant.rule, method: method,
        size: method == .induction ? "real" : scope.name, obligations: own.count,
        proved: own.count - unproved.count, confirmed: own.count { confirmed[$0] },
        milliseconds: own.reduce(0) { $0 + proofs[$1].milliseconds },
        unproved: unproved.map { proofs[$0].obligation.title })
    }
  }

  // MARK: The canary

  /// Whether a claim that is false after one step is refuted by both engines.
  private func canaryIsFound(_ specification: Specification, _ scope: Scope) throws(SpecificationError)
    -> Bool
  {
    guard let witness = specification.witnesses.first(where: \.bound.isEmpty) ?? specification.witnesses.first
    else {
      return false
    }
    // "What is reachable is not": false, because exploration reached it.
    let canary = Invariant(canary: witness)
    let mutated = specification.replacingInvariants(with: [canary])
    let explored = try Explorer(mutated, scope: scope).run()
    let problem = InductiveProblem(mutated)
    let claims = problem.claims.filter { !$0.isInitial }
    let refuted = Prover(problem, options: options, memory: nil).prove(claims).contains { !$0.isProved }
    return explored.counterexample?.violation.name == canary.name && refuted
  }
}
