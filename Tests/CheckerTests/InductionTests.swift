// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

@Suite("Induction") struct InductionTests {
  @Test("Shadow-3 is proved at 2^28 frames")
  func shadow() throws {
    let problem = InductiveProblem(try ShadowMachine().trace())
    let start = ContinuousClock.now
    let proofs = Prover(problem).prove(problem.claims)
    print("total", ContinuousClock.now - start)
    for p in proofs where !p.isProved {
      print(p.obligation.title, p.obligation.instances, p.obligation.rounds, p.obligation.isTruncated)
      if case .refuted(let c) = p.verdict { print(c) }
    }
    print(
      proofs.map(\.milliseconds).sorted().suffix(10), proofs.map(\.obligation.instances).sorted().suffix(10),
      proofs.map(\.obligation.rounds))
    #expect(proofs.allSatisfy { $0.isProved })
  }
}
