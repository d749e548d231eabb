// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

@Suite("Induction") struct InductionTests {
  @Test("Shadow-3 is proved at 2^28 frames")
  func shadow() throws {
    let problem = InductiveProblem(try ShadowMachine().trace())
    let proofs = Prover(problem).prove(problem.claims)
    for proof in proofs {
      if case .refuted(let counterexample) = proof.verdict { Issue.record("\(counterexample)") }
    }
    #expect(proofs.allSatisfy { $0.isProved })
  }
}
