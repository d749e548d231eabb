// SPDX-License-Identifier: Apache-2.0

import Conformance
import Testing

@Suite("A host's memory and its specification") struct HostMemoryTests {
  @Test("agree", arguments: [1, 2] as [UInt64])
  func agrees(seed: UInt64) {
    let report = RandomDriver(.hostMemory(), seed: seed, length: 1024).run(operations: 10_000)
    #expect(report.operations >= 10_000 && report.steps > 5000)
    #expect(report.failure == nil, "\(report.failure.map { "\($0.divergence)" } ?? "")")
  }

  @Test("agree in every state between operations, at small scopes")
  func agreesEverywhere() {
    for scope in HostMemoryScope.all {
      let report = HostMemoryExploration(scope).run()
      #expect(report.holds, "\(report)")
    }
  }
}
