// SPDX-License-Identifier: Apache-2.0

import Logic

/// How far runs are examined.
public struct BoundedOptions: Sendable, Hashable {
  /// Steps of the longest run.
  public var depth = 8
  /// Milliseconds for each length of run.
  public var timeout: UInt32 = 60_000

  public init() {}
}

/// What bounded model checking found.
public struct BoundedCheck: Sendable {
  public enum Outcome: Sendable {
    /// No run of up to `depth` steps breaks an invariant.
    case holds
    case violated(Counterexample)
    /// The solver gave no answer for runs of `depth` + 1 steps: why.
    case unknown(String)
    case cancelled
  }

  public let specification: String
  public let scope: Scope
  public let outcome: Outcome
  /// All runs of up to so many steps were examined; the length of the counterexample if there is one. −1: not even
  /// the initial states were.
  public let depth: Int
  public let seconds: Double

  /// The shortest way to a broken rule, if there is one.
  public var counterexample: Counterexample? {
    if case .violated(let counterexample) = outcome { return counterexample }
    return nil
  }
}

/// Looks for a run of at most a few steps that breaks an invariant, with Z3, the shortest first.
///
/// Where an exploration ends after some millions of states, whatever their depth, this ends at a depth, whatever the
/// number of states: words have 32 bits here for the asking.
public struct BoundedChecker {
  public let specification: Specification
  public let scope: Scope
  public let options: BoundedOptions

  public init(_ specification: Specification, scope: Scope, options: BoundedOptions = BoundedOptions()) {
    self.specification = specification
    self.scope = scope
    self.options = options
  }

  /// - Parameters:
  ///   - progress: called before runs of a length are examined.
  ///   - isCancelled: asked as often.
  /// - Throws: if something at this scope ranges over too much to be written out.
  public func run(
    progress: (_ depth: Int) -> Void = { _ in }, isCancelled: () -> Bool = { false }
  ) throws(SpecificationError) -> BoundedCheck {
    let start = ContinuousClock.now
    let unrolling = try Unrolling(specification, scope: scope)
    let context = SolverContext()
    func result(_ outcome: BoundedCheck.Outcome, _ depth: Int) -> BoundedCheck {
      BoundedCheck(
        specification: specification.name, scope: scope, outcome: outcome, depth: depth,
        seconds: (ContinuousClock.now - start) / .seconds(1))
    }
    for depth in 0...max(0, options.depth) {
      if isCancelled() { return result(.cancelled, depth - 1) }
      progress(depth)
      if depth > 0 { unrolling.extend() }
      let question = Question(unrolling, in: context, timeout: options.timeout)
      switch question.answer {
      case .unsatisfiable: continue
      case .unknown: return result(.unknown(question.solver.reasonUnknown), depth - 1)
      case .satisfiable: return result(.violated(question.counterexample()), depth)
      }
    }
    return result(.holds, max(0, options.depth))
  }

  /// Whether a run of just the length of an unrolling ends where an invariant fails.
  private struct Question {
    let unrolling: Unrolling
    let claims: [(invariant: Int, indices: [TermID], holds: TermID)]
    let solver: Solver
    let answer: Satisfiability

    init(_ unrolling: Unrolling, in context: SolverContext, timeout: UInt32) {
      let e = unrolling.elaborator
      self.unrolling = unrolling
      claims = unrolling.claims()
      let broken = Assertion(e.any(claims.map { e.not($0.holds) }), "an invariant fails")
      let assertions = unrolling.assertions + [broken]
      solver = Solver(e, in: context, strategy: .bits, timeout: timeout)
      for item in assertions + e.ranges(of: assertions.map(\.term)) { solver.assert(item.term) }
      answer = solver.check()
    }

    /// The run that the solver found.
    func counterexample() -> Counterexample {
      let (model, specification) = (solver.model, unrolling.specification)
      let cells = unrolling.cells
      func values(_ number: Int) -> StateValues {
        let state = unrolling.states[number]
        let pairs = cells.map { cell in
          (
            Cell(specification.components[cell.component].name, cell.keys.map(model.value)),
            model.value(of: state.value(at: cell, in: specification))
          )
        }
        return StateValues(Dictionary(pairs, uniquingKeysWith: { first, _ in first }), in: specification)
      }
      let steps = unrolling.steps.enumerated().map { number, step in
        let action = Int(model.value(of: step.choice))
        return Counterexample.RawStep(
          action: action, arguments: step.arguments[action].map(model.value),
          results: step.successors[action].results.map(model.value), after: values(number + 1))
      }
      guard let failed = claims.first(where: { model.value(of: $0.holds) == 0 }) else {
        preconditionFailure("the solver says that an invariant fails, and none does in its model")
      }
      return Counterexample(
        specification, scope: unrolling.elaborator.scope, initial: values(0), steps: steps,
        violation: Counterexample.Violation(
          of: specification.invariants[failed.invariant], at: failed.indices.map(model.value),
          in: specification))
    }
  }
}
