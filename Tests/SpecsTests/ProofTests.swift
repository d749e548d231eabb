// SPDX-License-Identifier: Apache-2.0

import Checker
import Foundation
import Logic
import Proofs
import Specs
import Testing

/// The certificate of a machine, as it lies in the tree.
private func certificate(of name: String) throws -> Certificate {
  let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../Proofs/certificates")
  return try JSONDecoder().decode(
    Certificate.self, from: Data(contentsOf: folder.appendingPathComponent("\(name).json")))
}

@Suite("Proofs") struct ProofTests {
  @Test(
    "every machine has its list of theorems, and that lists every invariant", arguments: subjects.map(\.name))
  func theoryIsComplete(name: String) throws {
    let theory = try #require(theories.first { $0.subject.name == name })
    let invariants = try theory.subject.make().trace().invariants.map(\.name)
    let claimed = (theory.theorems + theory.lemmas).map(\.invariant)
    #expect(Set(claimed) == Set(invariants))
    #expect(claimed.count == Set(claimed).count, "a theorem is listed twice")
  }

  @Test("the certificate in the tree is that of the specification", arguments: subjects.map(\.name))
  func certificateIsCurrent(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    let differences = try certificate(of: name).differences(from: try subject.make().trace())
    #expect(differences.isEmpty, "renew it: lockstep verify --certificates Proofs/certificates")
  }

  @Test(
    "a certificate certifies everything that the theorems claim by induction", arguments: subjects.map(\.name)
  )
  func certificateIsComplete(name: String) throws {
    let theory = try #require(theories.first { $0.subject.name == name })
    let parts = try certificate(of: name).parts
    for claim in theory.theorems + theory.lemmas where claim.method == .induction {
      let part = try #require(parts.first { $0.invariant == claim.invariant }, "\(claim.invariant)")
      #expect(part.k <= claim.k)
      #expect(!part.obligations.isEmpty)
    }
  }

  @Test(
    "a certificate is not that of a machine with a bug",
    arguments: ["Ring", "Stream", "Grants", "EventChannels", "Balloon", "SelfBalloon"])
  func certificateOfMutant(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    let own = try certificate(of: name)
    for mutant in subject.mutants {
      #expect(!own.differences(from: try mutant.make().trace()).isEmpty, "\(mutant.name)")
    }
  }

  @Test("what is claimed and not found is complained of") func complaints() throws {
    let theory = try #require(theories.first)
    let nothing = Verification(
      machine: theory.subject.name, explored: [], counterexample: nil, theorems: [], canaryFound: true,
      solvers: [], seconds: 0)
    #expect(theory.complaints(about: nothing).count == theory.theorems.count + theory.lemmas.count)
  }
}
