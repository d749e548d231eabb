// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

/// Takes machines through the engines: explored at their scopes, proved at real size, each proof confirmed by a
/// second solver, and the alarms tried with a false claim.
public struct Verifier: Sendable {
  /// Nil: proofs rest on one solver.
  public var second: SecondSolver?
  public var memory: AnswerFile?
  /// What an exploration's result is kept under: any change of the program makes it a new one.
  public var program: ProgramIdentity?
  public var options = InductionOptions()
  /// Nil: everything.
  public var shard: Shard?
  /// The k by which a shard proves an invariant of a machine, by their names.
  public var shardDepth: @Sendable (_ machine: String, _ invariant: String) -> Int = { _, _ in 1 }

  public init() {}

  /// What is known of one machine in the end: the matrix, and the proofs behind it.
  public struct Result: Sendable {
    public let verification: Verification
    /// Nil for a shard: its proofs certify nothing by themselves.
    public let certificate: Certificate?
    /// Every obligation as it was last asked.
    public let obligations: [Obligation]
  }

  /// - Throws: if a machine does not make sense, or cannot be explored.
  public func verify(
    _ subjects: [Subject], progress: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(SpecificationError) -> [Result] {
    var specifications: [Specification] = []
    for subject in subjects { specifications.append(try subject.make().trace()) }
    let work = zip(subjects, specifications).map { ($0, $1) }
    // Explorations run beside the proofs: neither needs what the other finds.
    let halves = Workers.map(2, threads: 2, prepare: {}) { (_: Void, half: Int) -> Half in
      do throws(SpecificationError) {
        if half == 1 { return .proofs(work.map { self.prove($1, progress) }) }
        var explored: [Explored] = []
        for (subject, specification) in work {
          progress("\(subject.name): exploring")
          var found = try self.explore(specification, at: Self.scopes(of: subject))
          if self.shard?.owns(explorationOf: "\(subject.name), in the end", at: subject.livenessScope) ?? true
          {
            found.liveness = try self.liveness(of: specification, at: subject.livenessScope)
          }
          explored.append(found)
        }
        return .explorations(explored)
      } catch {
        return .failed(error)
      }
    }
    var explored: [Explored] = []
    var proved: [Proved] = []
    for half in halves {
      switch half {
      case .explorations(let found): explored = found
      case .proofs(let found): proved = found
      case .failed(let error): throw error
      }
    }
    return work.indices.map { index in
      let (subject, specification) = work[index]
      return result(subject, specification, explored[index], proved[index])
    }
  }

  private enum Half: Sendable {
    case explorations([Explored])
    case proofs([Proved])
    case failed(SpecificationError)
  }

  private func result(
    _ subject: Subject, _ specification: Specification, _ explored: Explored, _ proved: Proved
  ) -> Result {
    var verification = Verification(
      machine: subject.name, explored: explored.scopes, counterexample: explored.counterexample,
      theorems: theorems(specification, proved, explored),
      canaryFound: explored.foundCanary && proved.foundCanary,
      solvers: [SolverContext.version] + (second.map { [$0.name] } ?? []), seconds: proved.seconds)
    verification.canarySite = Self.witness(of: specification)?.site
    verification.times = ObligationTimes(proved.induction.parts.flatMap(\.proofs))
    if let shard, let cut = proved.cut {
      verification.share = ShardShare(
        shard: shard, obligations: cut.claims.count, ofObligations: cut.total,
        explorations: explored.scopes.count, ofExplorations: Self.scopes(of: subject).count,
        whole: cut.whole)
    }
    verification.liveness = explored.liveness
    return Result(
      verification: verification,
      certificate: shard == nil ? Certificate(of: specification, proved.induction) : nil,
      obligations: proved.induction.parts.flatMap(\.proofs).map(\.obligation))
  }

  // MARK: Exploration

  private struct Explored: Sendable {
    var scopes: [ExploredScope] = []
    var counterexample: Counterexample?
    var foundCanary = false
    var liveness: [LivenessResult] = []
  }

  private static func scopes(of subject: Subject) -> [Scope] {
    subject.scopes.isEmpty ? [.small] : subject.scopes
  }

  private func explore(_ specification: Specification, at scopes: [Scope]) throws(SpecificationError)
    -> Explored
  {
    var explored = Explored()
    for scope in scopes where shard?.owns(explorationOf: specification.name, at: scope) ?? true {
      if let known = known(specification, scope) {
        explored.scopes.append(known)
        continue
      }
      let found = try Explorer(specification, scope: scope).run()
      let result = ExploredScope(
        scope: scope.name, states: found.states, transitions: found.transitions,
        holds: scope == scopes[0] ? found.holds : found.isComplete)
      explored.scopes.append(result)
      explored.counterexample = explored.counterexample ?? found.counterexample
      if let key = key(specification, scope), result.holds {
        memory?.keep("\(result.states) \(result.transitions)", about: key, by: "explore")
      }
    }
    if explored.scopes.isEmpty {
      explored.foundCanary = true
    } else if let canary = Self.canary(of: specification) {
      let found = try Explorer(canary, scope: scopes[0]).run()
      explored.foundCanary = found.counterexample?.violation.name == canary.invariants[0].name
    }
    return explored
  }

  /// Found out anew, or remembered if all of it held.
  private func liveness(of specification: Specification, at scope: Scope) throws(SpecificationError)
    -> [LivenessResult]
  {
    if specification.liveness.isEmpty { return [] }
    let key = key(specification, scope)
    let decoder = JSONDecoder()
    if let key, let note = memory?.note(about: key, by: "liveness"),
      let known = try? decoder.decode([LivenessResult].self, from: Data(note.utf8))
    {
      return known
    }
    let results = try LivenessCheck(specification, scope: scope).results()
    if let key, results.allSatisfy(\.holds), let note = try? JSONEncoder().encode(results) {
      memory?.keep(String(decoding: note, as: UTF8.self), about: key, by: "liveness")
    }
    return results
  }

  private func key(_ specification: Specification, _ scope: Scope) -> ContentHash? {
    program.map { ContentHash(of: "\($0.hash) \(specification.name) \(scope.name)") }
  }

  private func known(_ specification: Specification, _ scope: Scope) -> ExploredScope? {
    guard let key = key(specification, scope), let note = memory?.note(about: key, by: "explore") else {
      return nil
    }
    let numbers = note.split(separator: " ").compactMap { Int($0) }
    guard numbers.count == 2 else { return nil }
    return ExploredScope(scope: scope.name, states: numbers[0], transitions: numbers[1], holds: true)
  }

  // MARK: Proof

  private struct Proved: Sendable {
    let induction: InductiveProof
    /// Which claims were to be proved, if not all.
    let cut: ShardCut?
    /// By the hash of the obligation: those that the second solver confirmed.
    let confirmed: Set<ContentHash>
    let foundCanary: Bool
    let seconds: Double
  }

  private func prove(_ specification: Specification, _ progress: @escaping @Sendable (String) -> Void)
    -> Proved
  {
    let start = ContinuousClock.now
    progress("\(specification.name): proving")
    let prover = Prover(InductiveProblem(specification), options: options, memory: memory)
    let cut = shard.map { prover.cut($0) { shardDepth(specification.name, $0.name) } }
    let show: @Sendable (Proof) -> Void = { progress($0.obligation.title) }
    let induction =
      cut.map { prover.prove($0, progress: show) } ?? prover.proveTogether(progress: show)
    progress("\(specification.name): confirming")
    let confirmed = confirm(induction.parts.flatMap(\.proofs).filter(\.isProved))
    let foundCanary = cut?.claims.isEmpty ?? false || isCanaryRefuted(specification)
    return Proved(
      induction: induction, cut: cut, confirmed: confirmed, foundCanary: foundCanary,
      seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  /// Those obligations to whose proof the second solver agrees. Where the first found a part of a question that
  /// suffices, the second is asked about that part.
  private func confirm(_ proofs: [Proof]) -> Set<ContentHash> {
    guard let second else { return [] }
    var confirmed: Set<ContentHash> = []
    var asked: [Proof] = []
    for proof in proofs {
      if memory?.answer(of: second.name, to: proof.obligation.hash) == .unsatisfiable {
        confirmed.insert(proof.obligation.hash)
      } else {
        asked.append(proof)
      }
    }
    let questions = asked.map { $0.core ?? $0.obligation.text }
    for (proof, answer) in zip(asked, second.answers(to: questions, threads: options.threads)) {
      // That less can be satisfied says nothing of the whole.
      guard answer == .unsatisfiable else { continue }
      memory?.remember(answer, of: second.name, to: proof.obligation.hash)
      confirmed.insert(proof.obligation.hash)
    }
    return confirmed
  }

  private func theorems(_ specification: Specification, _ proved: Proved, _ explored: Explored) -> [Theorem] {
    let scope = explored.scopes.map(\.scope).joined(separator: ", ")
    return specification.invariants.indices.compactMap { index in
      let invariant = specification.invariants[index]
      let part = proved.induction.parts.first { $0.invariant == index }
      let proofs = part?.proofs ?? []
      let isViolated = explored.counterexample?.violation.name == invariant.name
      let isExplored = explored.scopes.allSatisfy(\.holds) && invariant.reading != .proofOnly
      let isOwned = part != nil || !explored.scopes.isEmpty && invariant.reading != .proofOnly
      if shard != nil, !isOwned { return nil }
      let method: Theorem.Method =
        if isViolated {
          .violated
        } else if shard != nil {
          part?.isProved ?? isExplored ? .part : .open
        } else if part?.isProved ?? false {
          .induction
        } else {
          isExplored ? .exploration : .open
        }
      return Theorem(
        machine: specification.name, invariant: invariant.name, rule: invariant.rule, site: invariant.site,
        method: method,
        size: method == .induction || method == .part && part != nil ? "real" : scope,
        k: method == .induction || method == .part ? part?.k ?? 0 : 0,
        obligations: proofs.count, proved: proofs.count(where: \.isProved),
        confirmed: proofs.count { $0.isProved && proved.confirmed.contains($0.obligation.hash) },
        milliseconds: proofs.reduce(0) { $0 + $1.milliseconds },
        unproved: proofs.compactMap(Theorem.Unproved.init))
    }
  }

  // MARK: The canary

  /// The machine with one claim, that what is reachable is not.
  private static func canary(of specification: Specification) -> Specification? {
    witness(of: specification).map { specification.replacingInvariants(with: [Invariant(canary: $0)]) }
  }

  private static func witness(of specification: Specification) -> Witness? {
    specification.witnesses.first(where: \.bound.isEmpty) ?? specification.witnesses.first
  }

  /// Whether a claim that is false after some step is refuted by induction.
  private func isCanaryRefuted(_ specification: Specification) -> Bool {
    guard let canary = Self.canary(of: specification) else { return false }
    let problem = InductiveProblem(canary)
    let prover = Prover(problem, options: options)
    return problem.claims.contains { !$0.isInitial && !prover.prove([$0]).allSatisfy(\.isProved) }
  }
}

extension Theorem.Unproved {
  /// Nil if the claim is proved.
  fileprivate init?(_ proof: Proof) {
    switch proof.verdict {
    case .proved: return nil
    case .refuted(let counterexample):
      self.init(title: proof.obligation.title, reason: nil, counterexample: counterexample)
    case .unknown(let reason):
      self.init(title: proof.obligation.title, reason: reason, counterexample: nil)
    }
  }
}
