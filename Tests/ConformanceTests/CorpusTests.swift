// SPDX-License-Identifier: Apache-2.0

import Conformance
import Foundation
import Testing

/// Every seed and every regression of the fuzz targets, replayed.
@Suite("Fuzz corpora and regressions") struct CorpusTests {
  private static let fuzz = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fuzz")

  @Test("agree with the specifications", arguments: FuzzTarget.all.map(\.name))
  func replays(name: String) throws {
    let target = try #require(FuzzTarget.all.first { $0.name == name })
    let session = FuzzSession(target)
    var seeds = 0
    for folder in ["corpus", "regressions"] {
      let directory = Self.fuzz.appending(path: name).appending(path: folder)
      let files = try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
      for file in files where !file.lastPathComponent.hasPrefix(".") {
        let divergence = [UInt8](try Data(contentsOf: file)).withUnsafeBufferPointer(session.run)
        #expect(divergence == nil, "\(folder)/\(file.lastPathComponent): \(divergence.map { "\($0)" } ?? "")")
        if folder == "corpus" { seeds += 1 }
      }
    }
    #expect(seeds > 0, "the corpus is there")
  }
}
