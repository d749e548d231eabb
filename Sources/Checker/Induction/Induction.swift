// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic
import Synchronization

/// What a proof may spend.
public struct InductionOptions: Sendable, Hashable {
  /// Milliseconds for each question to a solver.
  public var timeout: UInt32 = 30_000
  public var threads = 2
  /// The largest number of instances of invariants assumed in one obligation.
  public var instanceLimit = 2_000
  /// The largest number of rounds in which instances are looked for.
  public var roundLimit = 3
  /// The largest k for k-induction.
  public var depth = 2

  public init() {}
}

/// What became of one obligation.
public struct Proof: Sendable {
  public enum Verdict: Sendable {
    case proved
    /// The claim does not follow from the invariants before (as far as they were instantiated).
    case refuted(Counterexample)
    /// No answer: why.
    case unknown(String)
  }

  /// The question as it was last asked.
  public let obligation: Obligation
  public let verdict: Verdict
  /// Time spent on it, in milliseconds.
  public let milliseconds: Double
  /// Whether all answers came from the cache.
  public let isCached: Bool
  /// What a second solver is to be asked, as SMT-LIB 2: the question or, where it is known, the part of it from which the
  /// claim was seen to follow already: what follows from less follows from all. Nil of a proof that was remembered whole.
  public let text: String?

  public var isProved: Bool {
    if case .proved = verdict { return true }
    return false
  }
  public var claim: Claim { obligation.claim }
}

/// Answers that are remembered from one run to the next.
public protocol AnswerMemory: Sendable {
  func answer(of solver: String, to obligation: ContentHash) -> Satisfiability?
  func remember(_ answer: Satisfiability, of solver: String, to obligation: ContentHash)
}

/// Proves claims, each by itself, with Z3.
public struct Prover: Sendable {
  public let problem: InductiveProblem
  public let options: InductionOptions
  private let memory: (any AnswerMemory)?

  public init(
    _ problem: InductiveProblem, options: InductionOptions = InductionOptions(),
    memory: (any AnswerMemory)? = nil
  ) {
    self.problem = problem
    self.options = options
    self.memory = memory
  }

  /// Proves the claims, in their order, on the threads that the options allow.
  /// - Parameter progress: called from any thread as each is done.
  public func prove(
    _ claims: [Claim], progress: @escaping @Sendable (Proof) -> Void = { _ in }
  ) -> [Proof] {
    Workers.map(claims.count, threads: options.threads, prepare: { LazyContext() }) { context, index in
      let proof = self.prove(claims[index], in: context)
      progress(proof)
      return proof
    }
  }

  /// The first of the claims, as the threads come to them, of which no proof is found; the rest is then left alone.
  public func firstUnproved(_ claims: [Claim]) -> Proof? {
    let isFound = Atomic(false)
    return Workers.map(claims.count, threads: options.threads, prepare: { LazyContext() }) { context, index in
      if isFound.load(ordering: .relaxed) { return nil as Proof? }
      let proof = self.prove(claims[index], in: context)
      if proof.isProved { return nil }
      isFound.store(true, ordering: .relaxed)
      return proof
    }.lazy.compactMap { $0 }.first
  }

  /// Z3 is woken only where the memory has no answer.
  private final class LazyContext {
    private(set) lazy var context = SolverContext()
  }

  private func prove(_ claim: Claim, in context: LazyContext) -> Proof {
    let start = ContinuousClock.now
    let attempt = Attempt(problem, claim, limit: options.instanceLimit)
    _ = attempt.grow()
    var rounds = 1
    var (obligation, text) = attempt.question()
    var question = Question(attempt, self, context)
    while true {
      let answer = question.ask(obligation)
      if answer != .unsatisfiable, rounds < options.roundLimit, attempt.grow() {
        rounds += 1
        (obligation, text) = attempt.question()
        continue
      }
      return Proof(
        obligation: obligation, verdict: question.verdict(answer),
        milliseconds: (ContinuousClock.now - start) / .milliseconds(1), isCached: question.isCached,
        text: question.core ?? text)
    }
  }

  /// A claim being asked about, with more and more assumed.
  private struct Question {
    private let attempt: Attempt
    private let prover: Prover
    private let context: LazyContext
    private var solver: Solver?
    private(set) var isCached = true
    private(set) var core: String?

    init(_ attempt: Attempt, _ prover: Prover, _ context: LazyContext) {
      self.attempt = attempt
      self.prover = prover
      self.context = context
    }

    /// - Parameter obligation: the claim as the attempt has it now.
    mutating func ask(_ obligation: Obligation) -> Satisfiability {
      if let known = prover.memory?.answer(of: SolverContext.version, to: obligation.hash) { return known }
      isCached = false
      let answer = solve()
      if answer != .unknown {
        prover.memory?.remember(answer, of: SolverContext.version, to: obligation.hash)
      }
      return answer
    }

    /// A fresh solver each time: one that is added to after a check does without its best preprocessing.
    private mutating func solve() -> Satisfiability {
      let assertions = attempt.assertions
      let solver = Solver(
        attempt.elaborator, in: context.context, strategy: attempt.strategy, timeout: prover.options.timeout)
      let isTracked = attempt.strategy == .congruence && assertions.count >= Self.manyAssertions
      for assertion in assertions {
        if isTracked { solver.track(assertion.term) } else { solver.assert(assertion.term) }
      }
      self.solver = solver
      let answer = solver.check()
      if isTracked, answer == .unsatisfiable {
        core = attempt.elaborator.smtLIB(
          solver.core.map { assertions[$0] },
          title: ["core of: " + attempt.claim.title(in: prover.problem.specification)])
      }
      return answer
    }

    /// A question of fewer conditions is not worth making smaller.
    private static let manyAssertions = 32

    mutating func verdict(_ answer: Satisfiability) -> Proof.Verdict {
      switch answer {
      case .unsatisfiable: return .proved
      case .unknown: return .unknown(solver?.reasonUnknown ?? "not answered")
      case .satisfiable:
        if solver == nil, solve() != .satisfiable { return .unknown("a remembered answer is not repeated") }
        guard let solver else { return .unknown("not answered") }
        return .refuted(attempt.counterexample(solver.model))
      }
    }
  }
}
