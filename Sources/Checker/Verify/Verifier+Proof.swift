// SPDX-License-Identifier: Apache-2.0

import Logic

extension Verifier {
  struct Proved: Sendable {
    let induction: InductiveProof
    /// Which claims were to be proved, if not all.
    let cut: ShardCut?
    /// By the hash of the obligation: those that the second solver confirmed.
    let confirmed: Set<ContentHash>
    let foundCanary: Bool
    let seconds: Double
  }

  func prove(_ specification: Specification, _ progress: @escaping @Sendable (String) -> Void)
    -> Proved
  {
    let start = ContinuousClock.now
    progress("\(specification.name): proving")
    let problem = InductiveProblem(specification)
    if let known = known(problem) {
      return Proved(
        induction: known, cut: nil, confirmed: Set(known.parts.flatMap(\.proofs).map(\.obligation.hash)),
        foundCanary: isCanaryRefuted(specification), seconds: (ContinuousClock.now - start) / .seconds(1))
    }
    let prover = Prover(problem, options: options, memory: memory)
    let cut = shard.map { prover.cut($0) { shardDepth(specification.name, $0.name) } }
    let show: @Sendable (Proof) -> Void = { progress($0.obligation.title) }
    let induction =
      cut.map { prover.prove($0, progress: show) } ?? prover.proveTogether(progress: show)
    progress("\(specification.name): confirming")
    let confirmed = confirm(induction.parts.flatMap(\.proofs).filter(\.isProved))
    keep(induction, of: problem, confirmed)
    let foundCanary = cut?.claims.isEmpty ?? false || isCanaryRefuted(specification)
    return Proved(
      induction: induction, cut: cut, confirmed: confirmed, foundCanary: foundCanary,
      seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  /// What a machine's proof is kept under; nil if none is to be kept, or believed.
  private func key(_ problem: InductiveProblem) -> ContentHash? {
    guard let program, shard == nil else { return nil }
    let solvers = [SolverContext.version, second?.name ?? "alone"]
    return ContentHash(of: "\(program.hash) \(problem.specification.name) \(solvers) \(options)")
  }

  private func known(_ problem: InductiveProblem) -> InductiveProof? {
    key(problem).flatMap { proved?.certificate(of: problem.specification.name, under: $0) }
      .flatMap { InductiveProof($0, of: problem) }
  }

  /// Keeps a proof of which nothing is missing.
  private func keep(_ proof: InductiveProof, of problem: InductiveProblem, _ confirmed: Set<ContentHash>) {
    let hashes = proof.parts.flatMap(\.proofs).map(\.obligation.hash)
    guard let key = key(problem), proof.holds, second == nil || hashes.allSatisfy(confirmed.contains) else {
      return
    }
    proved?.keep(Certificate(of: problem.specification, proof), under: key)
  }

  /// Those obligations to whose proof the second solver agrees. Where the first found a part of a question that
  /// suffices, the second is asked about that part.
  private func confirm(_ proofs: [Proof]) -> Set<ContentHash> {
    guard let second else { return [] }
    var confirmed: Set<ContentHash> = []
    var asked: [ContentHash] = []
    var questions: [String] = []
    for proof in proofs {
      if memory?.answer(of: second.name, to: proof.obligation.hash) == .unsatisfiable {
        confirmed.insert(proof.obligation.hash)
      } else if let text = proof.text {
        asked.append(proof.obligation.hash)
        questions.append(text)
      }
    }
    for (hash, answer) in zip(asked, second.answers(to: questions, threads: options.threads)) {
      // That less can be satisfied says nothing of the whole.
      guard answer == .unsatisfiable else { continue }
      memory?.remember(answer, of: second.name, to: hash)
      confirmed.insert(hash)
    }
    return confirmed
  }

  /// Whether a claim that is false after some step is refuted by induction.
  private func isCanaryRefuted(_ specification: Specification) -> Bool {
    guard let canary = Self.canary(of: specification) else { return false }
    let problem = InductiveProblem(canary)
    let prover = Prover(problem, options: options)
    return problem.claims.contains { !$0.isInitial && !prover.prove([$0]).allSatisfy(\.isProved) }
  }
}
