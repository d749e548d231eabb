// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

/// Takes machines through the engines: explored at their scopes, proved at real size, each proof confirmed by a
/// second solver, and the alarms tried with a false claim.
public struct Verifier: Sendable {
  /// Nil: proofs rest on one solver.
  public var second: SecondSolver?
  public var memory: AnswerFile?
  /// Where machines that are proved and confirmed are kept whole.
  public var proved: ProvedFiles?
  /// What an exploration's result, or a machine's proof, is kept under: any change of the program makes it a new one.
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
