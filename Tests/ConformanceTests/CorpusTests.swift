// SPDX-License-Identifier: Apache-2.0

import Conformance
import Corpora
import Testing

/// Every seed and every regression of the fuzz targets, replayed.
@Suite("Fuzz corpora and regressions") struct CorpusTests {
  @Test("agree with the specifications", arguments: FuzzTarget.all.map(\.name))
  func replays(name: String) throws {
    let target = try #require(FuzzTarget.all.first { $0.name == name })
    let session = FuzzSession(target)
    let seeds = try Corpus.seeds(of: name)
    for (input, bytes) in seeds + (try Corpus.regressions(of: name)) {
      let divergence = bytes.withUnsafeBufferPointer(session.run)
      #expect(divergence == nil, "\(input): \(divergence.map { "\($0)" } ?? "")")
    }
    #expect(seeds.count > 0, "the corpus is there")
  }
}
