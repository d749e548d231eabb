// SPDX-License-Identifier: Apache-2.0
//
// Each planted bug is found exhaustively and at random. That the coverage-guided fuzzers find them too is a step of
// .ci/run, for it takes a build with the sanitizer.

import Conformance
import PlantedBugs
import Testing

@Suite("Planted bugs are found") struct PlantedTests {
  @Test("at random, and shrunk", arguments: 0..<PlantedBug.all.count)
  func isFoundAtRandom(index: Int) throws {
    let planted = PlantedBug.all[index]
    let failure = try #require(
      RandomDriver(planted.trial, seed: 11).run(operations: 200_000).failure, "\(planted) is not found")
    #expect(planted.trial.run(failure.bytes).divergence != nil, "\(planted): what was shrunk still fails")
    #expect(failure.bytes.count <= failure.firstLength)
  }

  @Test("exhaustively", arguments: 0..<PlantedBug.all.count)
  func isFoundExhaustively(index: Int) {
    let planted = PlantedBug.all[index]
    #expect(planted.explore().contains { $0.divergence != nil }, "\(planted) is not found")
  }
}
