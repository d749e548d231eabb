// SPDX-License-Identifier: Apache-2.0

import Logic

/// Tries to kill the mutants of a subject, the cheapest way first.
public struct MutantTrial: Sendable {
  public let subject: Subject
  public let original: Specification
  /// Where mutants are looked for, one after another until they are found: smallest first, for most die anywhere.
  public let scopes: [Scope]
  /// The scope for every day, at which every witness must be reached; the others show what it is too small for.
  private let everyday: Scope
  /// Distinct states that are looked at before another way is tried.
  public var quickStates = 100_000
  /// Distinct states that are looked at before a mutant counts as a survivor.
  public var allStates = 5_000_000
  /// Distinct states, at each scope, of one that is listed as no bug: what is near is enough to contradict the list.
  public var listedStates = 10_000
  public var memoryLimit = 2 << 30

  /// - Throws: if the subject does not make sense as a specification, or breaks a rule itself at one of the scopes: every
  ///   mutant would seem to be killed there.
  public init(_ subject: Subject, scope: Scope? = nil) throws(SpecificationError) {
    self.subject = subject
    let given = scope.map { [$0] } ?? (subject.scopes.isEmpty ? [.small] : subject.scopes)
    everyday = given[0]
    original = try subject.make().trace()
    scopes = try Self.smallestFirst(given, original)
  }

  /// Scopes by how many states the specification has there.
  private static func smallestFirst(_ scopes: [Scope], _ original: Specification)
    throws(SpecificationError) -> [Scope]
  {
    var sizes: [(states: Int, scope: Scope)] = []
    for scope in scopes {
      let found = try Explorer(original, scope: scope).run()
      if let violation = found.counterexample?.violation {
        throw SpecificationError(
          "\(original.name) itself breaks \"\(violation.name)\" at scope \(scope.name): mutants say nothing there"
        )
      }
      sizes.append((found.states, scope))
    }
    return sizes.sorted { $0.states < $1.states }.map(\.scope)
  }

  /// - Throws: if the mutant cannot be explored at the scope.
  public func run(_ mutant: Mutant) throws(SpecificationError) -> MutantVerdict {
    let clock = ContinuousClock()
    let start = clock.now
    var result = try outcomeAnywhere(of: mutant)
    let listed = subject.equivalents.first { $0.name == mutant.name }
    switch result {
    case .survived: if let listed { result = .equivalent(listed.reason, isProven: false) }
    case .killed(let killer, _):
      if listed != nil { result = .survived("listed as equivalent, and yet killed by: \(killer)") }
    case .equivalent: break
    }
    let expected = expectedKiller(of: mutant)
    var isAsExpected: Bool?
    if let expected { isAsExpected = try kills(expected, mutant, result) }
    return MutantVerdict(
      name: mutant.name, change: mutant.change, result: result, expected: expected,
      isAsExpected: isAsExpected, seconds: (clock.now - start) / .seconds(1))
  }

  /// Killed at the first scope at which it is; equivalent only if it is at all, of which the largest is told of.
  ///
  /// After the smallest scope its own rules are asked at all others before it is compared at any: to compare is to
  /// compile twice as much.
  private func outcomeAnywhere(of mutant: Mutant) throws(SpecificationError) -> MutantVerdict.Result {
    if original.isSame(as: mutant.specification) {
      return .equivalent("the same next-state function", isProven: true)
    }
    let isListed = subject.equivalents.contains { $0.name == mutant.name }
    let states = isListed ? listedStates : quickStates
    var worst: MutantVerdict.Result?
    for scopes in [scopes.prefix(1), scopes.dropFirst()] {
      var alone: [Exploration] = []
      for scope in scopes {
        let found = try explore(mutant.specification, states, at: scope)
        if let killed = killed(found, reachingAll: scope == everyday) { return killed }
        alone.append(found)
      }
      guard let comparison = mutant.specification.compared(with: original) else {
        worst = .survived("its variables or actions are not the original's")
        continue
      }
      for (scope, alone) in zip(scopes, alone) {
        let result = try outcome(of: mutant, comparison, at: scope, alone, isListed: isListed)
        if case .killed = result { return result }
        if case .survived = worst { continue }
        worst = result
      }
    }
    return worst ?? .survived("there is no scope to look at")
  }

  /// What becomes of a mutant that nothing noticed in its first states, where it is compared.
  private func outcome(
    of mutant: Mutant, _ comparison: Comparison, at scope: Scope, _ alone: Exploration, isListed: Bool
  ) throws(SpecificationError) -> MutantVerdict.Result {
    let beside = try explore(comparison.specification, isListed ? listedStates : quickStates, at: scope)
    if let killed = killed(beside, comparison) { return killed }
    guard case .outOfStates = alone.outcome, !isListed else { return unkilled(beside, at: scope) }
    let all = try explore(mutant.specification, allStates, at: scope)
    if let killed = killed(all, reachingAll: scope == everyday) { return killed }
    let allBeside = try explore(comparison.specification, allStates, at: scope)
    return killed(allBeside, comparison) ?? unkilled(allBeside, at: scope)
  }

  /// What to say of a mutant that nothing noticed.
  private func unkilled(_ beside: Exploration, at scope: Scope) -> MutantVerdict.Result {
    let differences = beside.witnesses.filter { $0.isReached && $0.name.hasPrefix(Comparison.differs) }
    if let first = differences.first {
      return .survived(String(first.name.dropFirst(Comparison.differs.count)))
    }
    guard case .complete = beside.outcome else {
      return .survived("no difference in the first \(beside.states) states")
    }
    return .equivalent(
      "the same behaviour in all \(beside.states) states at scope \(scope.name)", isProven: true)
  }

  private func explore(_ specification: Specification, _ states: Int, at scope: Scope)
    throws(SpecificationError) -> Exploration
  {
    var options = ExplorationOptions()
    options.maximumStates = states
    options.memoryLimit = memoryLimit
    return try Explorer(specification, scope: scope, options: options).run()
  }

  private func killed(_ found: Exploration, _ comparison: Comparison? = nil, reachingAll: Bool = false)
    -> MutantVerdict.Result?
  {
    switch found.outcome {
    case .violated(let counterexample):
      return .killed(killer(counterexample, comparison), depth: counterexample.steps.count)
    case .complete where reachingAll:
      // What the original reaches, the mutant must reach.
      return found.witnesses.first { !$0.isReached }.map { .killed(.witness($0.name), depth: nil) }
    case .complete, .outOfMemory, .outOfStates, .cancelled: return nil
    }
  }

  private func killer(_ counterexample: Counterexample, _ comparison: Comparison?) -> MutantVerdict.Killer {
    let violation = counterexample.violation
    let values = counterexample.steps.last?.after.values ?? [:]
    if let comparison, violation.name == Comparison.keepsGuards {
      return .guarded(comparison.forbidden[Int(values[Cell("(forbidden)")] ?? 0)])
    }
    if let comparison, violation.name == Comparison.keepsAnswers {
      return .answer(action: comparison.answered[Int(values[Cell("(answered)")] ?? 0)])
    }
    return .invariant(violation.name, rule: violation.rule)
  }

  // MARK: Mutants by hand

  private func expectedKiller(of mutant: Mutant) -> String? {
    if case .byHand(let hand) = mutant.origin { return hand.expectedKiller }
    return nil
  }

  /// Whether what was expected to kill a mutant does, be it not the first to.
  private func kills(_ expected: String, _ mutant: Mutant, _ result: MutantVerdict.Result)
    throws(SpecificationError) -> Bool
  {
    if case .killed(let killer, _) = result, killer.isCalled(expected) { return true }
    let alone = mutant.specification.keepingInvariants { $0.name == expected || $0.rule == expected }
    guard !alone.invariants.isEmpty else { return false }
    for scope in scopes {
      if case .violated = try explore(alone, allStates, at: scope).outcome { return true }
    }
    return false
  }
}
