// SPDX-License-Identifier: Apache-2.0

import Logic

/// One of several parts of a verification that run apart from each other: a job array's `I` of `N`.
///
/// What belongs to which part is decided by the content of each question alone, so that machines that have never heard
/// of each other agree: every question belongs to exactly one part.
public struct Shard: Sendable, Hashable, Codable, CustomStringConvertible {
  /// From 1 to `count`.
  public let number: Int
  public let count: Int

  /// - Returns: nil unless 1 ≤ number ≤ count.
  public init?(_ number: Int, of count: Int) {
    guard number >= 1, number <= count else { return nil }
    self.number = number
    self.count = count
  }

  /// "2/8"; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let number = parts[0], let count = parts[1] else { return nil }
    self.init(number, of: count)
  }

  public var description: String { "\(number)/\(count)" }

  /// Whether what has this hash belongs to this part: by its first 64 bits.
  public func owns(_ hash: ContentHash) -> Bool {
    let digits = UInt64(hash.description.prefix(16), radix: 16) ?? 0
    return digits % UInt64(count) == UInt64(number - 1)
  }

  /// Whether an exploration belongs to this part.
  func owns(explorationOf machine: String, at scope: Scope) -> Bool {
    owns(ContentHash(of: "explore \(machine) at \(scope.name)"))
  }
}

/// What a part of a verification has of a machine.
public struct ShardShare: Sendable, Hashable, Codable {
  public let shard: Shard
  /// Obligations that belong to the part, and all that the machine has.
  public let obligations: Int
  public let ofObligations: Int
  /// Explorations that belong to the part, and all that the machine has.
  public let explorations: Int
  public let ofExplorations: Int
  /// The digest of all of the machine's obligations: where two parts differ in it, they were cut from different wholes.
  public let whole: ContentHash
}

/// The claims of a machine that belong to a part.
struct ShardCut: Sendable {
  let claims: [Claim]
  let total: Int
  let whole: ContentHash
}

extension Prover {
  /// Cuts a machine's obligations, by the content of each question as it is asked first.
  /// - Parameter depth: the k by which an invariant is proved. No part knows whether others need to look further back, so
  ///   that this is settled before.
  func cut(_ shard: Shard, depth: (Invariant) -> Int) -> ShardCut {
    let claims = problem.proved.flatMap { index in
      problem.claims(of: index, k: depth(problem.specification.invariants[index]))
    }
    let limit = options.instanceLimit
    let hashes = Workers.map(claims.count, threads: options.threads, prepare: {}) {
      [problem] (_: Void, number: Int) -> ContentHash in
      problem.question(about: claims[number], rounds: 1, limit: limit).obligation.hash
    }
    let whole = ContentHash(of: hashes.map(\.description).sorted().joined(separator: "\n"))
    let owned = zip(claims, hashes).filter { shard.owns($1) }.map(\.0)
    return ShardCut(claims: owned, total: claims.count, whole: whole)
  }

  /// Proves what belongs to a part. Each part assumes all invariants in the states before, as `proveTogether` does:
  /// the theorems stand where all parts are proved.
  func prove(_ cut: ShardCut, progress: @escaping @Sendable (Proof) -> Void) -> InductiveProof {
    let proofs = Dictionary(grouping: prove(cut.claims, progress: progress), by: \.claim.invariant)
    return InductiveProof(
      parts: problem.proved.compactMap { invariant in
        proofs[invariant].map { proofs in
          let k = proofs.map { max(1, $0.claim.isInitial ? 1 : $0.claim.actions.count) }.max() ?? 1
          return InductiveProof.Part(invariant: invariant, k: k, proofs: proofs)
        }
      })
  }
}
