// SPDX-License-Identifier: Apache-2.0

import Conformance
import Interfaces
import Testing

@Suite("What page tables cost a guest")
struct ShadowWorkloadTests {
  private func cost(_ policy: ShadowPolicy, _ trace: ShadowTrace, _ count: Int = 128) -> ShadowCost {
    ShadowWorkload(policy).run(trace, count: count)
  }

  @Test(
    "a demand fault takes 1 exit under Shadow-3, 3 under Shadow-2; 2 if the kernel returns without an exit")
  func demandFaults() {
    for trace in [ShadowTrace.demandFault, .silentReturn] {
      let (two, three) = (cost(.none, trace), cost(.few, trace))
      #expect(two.operations == 252 && two.exits == 3 * 252 && two.batches == 0)
      #expect(three.operations == 252 && three.exits == (trace == .demandFault ? 1 : 2) * 252)
      #expect(three.batches == 0)
    }
  }

  @Test("a batch of stores takes an exit each under Shadow-2, and a few in all under Shadow-3")
  func batches() {
    for trace in [ShadowTrace.exit, .fork] {
      let (two, three) = (cost(.none, trace), cost(.few, trace))
      #expect(two.exits == two.operations && two.operations == 256)
      #expect(three.exits == 2, "each of two tables goes out of sync once")
      #expect(three.batches <= 4)
    }
  }
}
