// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Specs

/// What is claimed of one machine: its theorems, each with the method by which it is shown. `lockstep verify` fails
/// where what it finds is less than what is claimed here, or is not mentioned.
public struct Theory: Sendable {
  /// One claim, by the name of the invariant.
  public struct Claimed: Sendable {
    public let invariant: String
    public let method: Theorem.Method
    /// The largest k of k-induction that the claim allows.
    public let k: Int

    /// Proved at real size by induction over k steps.
    public static func proved(_ invariant: String, k: Int = 1) -> Claimed {
      Claimed(invariant: invariant, method: .induction, k: k)
    }

    /// Seen in every state of the exploration, and not proved at real size: why not.
    public static func explored(_ invariant: String, because _: String) -> Claimed {
      Claimed(invariant: invariant, method: .exploration, k: 0)
    }
  }

  /// A theorem of another machine that this one's specification takes for granted.
  public struct Reliance: Sendable {
    public let machine: String
    public let invariant: String

    public init(on machine: String, _ invariant: String) {
      self.machine = machine
      self.invariant = invariant
    }
  }

  public let subject: Subject
  /// What the rules come to.
  public let theorems: [Claimed]
  /// What is proved only so that the theorems can be: the strengthening.
  public let lemmas: [Claimed]
  /// What must come about in the end, by name: explored at the subject's scope for it, under weak fairness.
  public let eventualities: [String]
  /// What other machines guarantee, by the names of their theorems.
  public let relies: [Reliance]
  /// Where the list is written.
  public let site: Site

  public init(
    subject: Subject, theorems: [Claimed], lemmas: [Claimed], eventualities: [String] = [],
    relies: [Reliance] = [], file: StaticString = #fileID, line: UInt = #line
  ) {
    site = Site(file, line)
    self.subject = subject
    self.theorems = theorems
    self.lemmas = lemmas
    self.eventualities = eventualities
    self.relies = relies
  }

  /// Where a verification is less than what is claimed.
  public func complaints(about found: Verification) -> [String] {
    let claimed = theorems + lemmas
    let names = Set(claimed.map(\.invariant))
    let missing = claimed.compactMap { claim -> String? in
      guard let theorem = found.theorems.first(where: { $0.invariant == claim.invariant }) else {
        return "\"\(claim.invariant)\" is claimed, and \(found.machine) has no such invariant"
      }
      if theorem.method == claim.method, theorem.k <= claim.k { return nil }
      return "\"\(claim.invariant)\" is claimed by \(claim.method.rawValue)"
        + (claim.k > 1 ? " with k = \(claim.k)" : "") + ", and found by \(theorem.method.rawValue)"
        + (theorem.k > 1 ? " with k = \(theorem.k)" : "")
    }
    let unproved = relies.filter { reliance in
      let theory = theories.first { $0.subject.name == reliance.machine }
      return !(theory.map { $0.theorems + $0.lemmas } ?? []).contains {
        $0.invariant == reliance.invariant && $0.method == .induction
      }
    }
    let differing = Set(found.liveness.map(\.name)).symmetricDifference(eventualities).sorted()
    let unclaimed = found.theorems.map(\.invariant).filter { !names.contains($0) }
    return missing
      + differing.map {
        "\"\($0)\" must come about in one of the specification and Proofs, and not in the other"
      }
      + unproved.map { "it relies on \"\($0.invariant)\", which \($0.machine)'s theory does not prove" }
      + unclaimed.map { "\"\($0)\" is not among the theorems that Proofs lists" }
  }
}

/// Every machine's theory, in the order of the machines.
public let theories: [Theory] = [
  ringTheory, streamTheory, grantsTheory, eventChannelsTheory, shadowTheory, dirtyLogTheory,
  balloonTheory, selfBalloonTheory, isolationTheory,
]

/// What is claimed of a machine; nothing, if the list has none.
public func theory(of subject: Subject) -> Theory {
  theories.first { $0.subject.name == subject.name } ?? Theory(subject: subject, theorems: [], lemmas: [])
}
