// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

/// How a machine's invariants were proved, to be kept and checked by others.
///
/// The invariants listed are inductive together: each was shown by k-induction for its k, assuming all of them. An
/// obligation is given by how many rounds of instances its question has and by the SHA-256 of its SMT-LIB text, so
/// that anybody can make the question anew from the specification, compare it, and put it to a solver.
public struct Certificate: Codable, Sendable, Hashable {
  /// One invariant of the strengthened whole.
  public struct Part: Codable, Sendable, Hashable {
    public let invariant: String
    public let rule: String?
    public let k: Int
    /// A line an obligation: hash, rounds, title.
    public let obligations: [String]
  }

  public let machine: String
  /// How many values each sort has: the size at which all this is proved.
  public let sizes: [String: String]
  public let parts: [Part]

  /// The certificate that a proof is; invariants that were not proved are left out, and then it certifies nothing.
  init(of specification: Specification, _ proof: InductiveProof) {
    machine = specification.name
    sizes = Self.sizes(of: specification)
    parts = proof.parts.filter(\.isProved).map { part in
      let invariant = specification.invariants[part.invariant]
      return Part(
        invariant: invariant.name, rule: invariant.rule, k: part.k,
        obligations: part.proofs.map { Self.line($0.obligation) })
    }
  }

  fileprivate static func line(_ obligation: Obligation) -> String {
    "\(obligation.hash) \(obligation.rounds) \(obligation.title)"
  }

  private static func sizes(of specification: Specification) -> [String: String] {
    var sizes: [String: String] = [:]
    for sort in specification.components.flatMap({ $0.keys + [$0.sort] })
      + specification.actions.flatMap({ $0.parameters.map(\.sort) })
    {
      switch sort.kind {
      case .word, .identity:
        let exponent = sort.realCount == 0 ? 64 : sort.realCount.trailingZeroBitCount
        sizes[sort.name] = "2^\(exponent)"
      case .bit, .choice: break
      }
    }
    return sizes
  }

  // MARK: Checking

  /// Where the certificate is not that of a specification: made without a solver, by making every question anew.
  public func differences(from specification: Specification, threads: Int = 2) -> [String] {
    let problem = InductiveProblem(specification)
    var complaints: [String] = []
    if sizes != Self.sizes(of: specification) {
      complaints.append("\(machine): the sizes of its sorts differ")
    }
    let names = problem.proved.map { specification.invariants[$0].name }
    if names != parts.map(\.invariant) {
      complaints.append("\(machine): the certificate is of other invariants")
    }
    for part in parts {
      guard let index = problem.proved.first(where: { specification.invariants[$0].name == part.invariant })
      else { continue }
      let claims = problem.claims(of: index, k: part.k)
      let rounds = part.obligations.map { Int($0.split(separator: " ").dropFirst().first ?? "") ?? 0 }
      let made = Workers.map(claims.count, threads: threads, prepare: {}) {
        (_: Void, number: Int) -> String in
        let rounds = number < rounds.count ? rounds[number] : 0
        return Self.line(problem.question(about: claims[number], rounds: rounds).obligation)
      }
      if made != part.obligations {
        complaints.append("\(machine): the obligations of \"\(part.invariant)\" are others")
      }
    }
    return complaints
  }

  // MARK: Files

  /// As JSON, an obligation a line, keys sorted.
  public func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self) + Data("\n".utf8)
  }
}

extension InductiveProof {
  /// The proof that a certificate is of, where it was made by this same program from this same specification; nil if it
  /// is not of every invariant. No question is made anew.
  init?(_ certificate: Certificate, of problem: InductiveProblem) {
    let known = Dictionary(
      certificate.parts.map { ($0.invariant, $0) }, uniquingKeysWith: { first, _ in first })
    var parts: [Part] = []
    for index in problem.proved {
      guard let part = known[problem.specification.invariants[index].name] else { return nil }
      let claims = problem.claims(of: index, k: part.k)
      let obligations = zip(claims, part.obligations).compactMap { Obligation(line: $1, of: $0) }
      guard obligations.count == claims.count, part.obligations.count == claims.count else { return nil }
      let proofs = obligations.map {
        Proof(obligation: $0, verdict: .proved, milliseconds: 0, isCached: true, text: nil)
      }
      parts.append(Part(invariant: index, k: part.k, proofs: proofs))
    }
    self.init(parts: parts)
  }
}

extension Obligation {
  /// What a certificate says of a claim; nil if it says nothing that makes sense.
  fileprivate init?(line: String, of claim: Claim) {
    let fields = line.split(separator: " ", maxSplits: 2).map(String.init)
    guard fields.count == 3, let hash = ContentHash(digits: fields[0]), let rounds = Int(fields[1]) else {
      return nil
    }
    self.init(claim: claim, title: fields[2], hash: hash, rounds: rounds)
  }
}
