// SPDX-License-Identifier: Apache-2.0

import Logic

/// What came of proving all invariants of a machine together.
public struct InductiveProof: Sendable {
  /// One invariant: how many steps its proof looks back, and the obligations that this asked for.
  public struct Part: Sendable {
    /// An index into the specification's invariants.
    public let invariant: Int
    /// The k of k-induction: the claim follows from all invariants in k successive states.
    public let k: Int
    public let proofs: [Proof]

    public var isProved: Bool { proofs.allSatisfy(\.isProved) }
    /// A counterexample to induction, if a claim is refuted.
    public var counterexample: Counterexample? {
      for proof in proofs {
        if case .refuted(let counterexample) = proof.verdict { return counterexample }
      }
      return nil
    }
  }

  public let parts: [Part]

  /// Whether each invariant is proved. They are proved together: each part assumes all of them in the states before.
  public var holds: Bool { parts.allSatisfy(\.isProved) }
}

extension Prover {
  /// Proves all invariants together, each by k-induction with the smallest k that does, up to `options.depth`.
  ///
  /// That invariants may have different ks is no gap. Let K be the largest. In the first K states of a run, each holds:
  /// initially, and in the next by its own steps from the beginning, or by its step from the state before. From there on
  /// each step claim has what it assumes: all of them, in the K states before.
  /// - Parameter progress: called from any thread as each obligation is done.
  public func proveTogether(progress: @escaping @Sendable (Proof) -> Void = { _ in }) -> InductiveProof {
    var parts: [Int: InductiveProof.Part] = [:]
    var open = problem.proved
    for k in 1...max(1, options.depth) where !open.isEmpty {
      let claims = open.flatMap { problem.claims(of: $0, k: k) }
      let proofs = Dictionary(grouping: prove(claims, progress: progress), by: \.claim.invariant)
      for invariant in open {
        let part = InductiveProof.Part(invariant: invariant, k: k, proofs: proofs[invariant] ?? [])
        // What no k proves is shown as the simplest question left it.
        if part.isProved || parts[invariant] == nil { parts[invariant] = part }
      }
      open = open.filter { !(parts[$0]?.isProved ?? false) }
    }
    return InductiveProof(parts: problem.proved.compactMap { parts[$0] })
  }
}

extension InductiveProblem {
  /// What k-induction asks for of an invariant: it holds in the first k states of every run, and after any k steps from
  /// states that satisfy all invariants.
  public func claims(of invariant: Int, k: Int) -> [Claim] {
    let base = (0..<k).flatMap { length in
      sequences(of: length).flatMap { claims(isInitial: true, actions: $0, invariant: invariant) }
    }
    let step = sequences(of: k).flatMap { claims(isInitial: false, actions: $0, invariant: invariant) }
    return base + step
  }

  /// Every sequence of so many actions.
  private func sequences(of length: Int) -> [[Int]] {
    (0..<length).reduce([[]]) { sequences, _ in
      sequences.flatMap { sequence in specification.actions.indices.map { sequence + [$0] } }
    }
  }
}
