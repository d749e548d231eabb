// SPDX-License-Identifier: Apache-2.0

import Conformance
import Testing

@Suite("Planted bugs are found at random") struct PlantedTests {
  static let plantedStreams: [(bug: StreamBug, trial: Trial)] = [
    (.unboundedProducer, .stream(PlantedStreamReader<UnboundedProducer>.self)),
    (.indexBeforeBytes, .stream(PlantedStreamReader<IndexBeforeBytes>.self)),
    (.indexOffByOne, .stream(PlantedStreamReader<IndexOffByOne>.self)),
    (.doubleFetch, .stream(PlantedStreamReader<StreamDoubleFetch>.self)),
    (.oneByteShort, .stream(PlantedStreamReader<OneByteShort>.self)),
  ]

  @Test("in byte streams", arguments: 0..<plantedStreams.count)
  func findsInStreams(index: Int) {
    let planted = Self.plantedStreams[index]
    let failure = RandomDriver(planted.trial, seed: 11).run(operations: 100_000).failure
    #expect(failure != nil, "\(planted.bug) is not found")
  }
}
