// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite("lockstep verify") struct VerifyTests {
  private struct Log: Decodable {
    struct Run: Decodable { let results: [Finding] }
    struct Finding: Decodable {
      struct Location: Decodable { let physicalLocation: Place }
      struct Place: Decodable {
        struct File: Decodable { let uri: String }
        let artifactLocation: File
      }
      struct Text: Decodable { let text: String }
      let ruleId, kind: String
      let message: Text
      let locations: [Location]
    }
    let runs: [Run]
  }

  @Test(
    "--shard says of its result that it is only a part, and --sarif where each invariant of it is written")
  func shard() throws {
    let scratch = Scratch()
    let result = Program.run(
      Program.lockstep,
      ["verify", "Stream", "--no-cache", "--shard", "2/20", "--sarif", "\(scratch.path)/log.sarif"],
      seconds: 300)
    #expect(result.end == .exited(0), "\(result.error)\(result.output)")
    let sum = try #require(
      result.output.firstMatch(of: /shard 2\/20: (\d+) of (\d+) obligations/), "\(result.output)")
    let (own, all) = (try #require(Int(sum.output.1)), try #require(Int(sum.output.2)))
    #expect(own > 0 && own < all)
    let log = try JSONDecoder().decode(Log.self, from: Data(scratch.read("log.sarif").utf8))
    #expect(!log.runs[0].results.isEmpty)
    for finding in log.runs[0].results {
      #expect(finding.kind == "pass" && finding.ruleId.hasPrefix("Stream/"))
      #expect(finding.message.text.contains("this shard's part alone"))
      #expect(
        finding.locations.map(\.physicalLocation.artifactLocation.uri) == [
          "Specs/Ring/Stream+Invariants.swift"
        ])
    }
  }

  @Test(
    "a shard that there is not is one line and status 2", arguments: ["0/2", "3/2", "1", "a/b", "1/0", ""])
  func wrong(shard: String) {
    let result = Program.run(Program.lockstep, ["verify", "Stream", "--shard", shard])
    #expect(result.end == .exited(2))
    #expect(result.error.split(separator: "\n").count == 1, "\(result.error)")
    #expect(result.output.isEmpty)
  }

  @Test("a depth that no induction has is one line and status 2") func depth() {
    let result = Program.run(Program.lockstep, ["verify", "Stream", "--depth", "3"])
    #expect(result.end == .exited(2))
    #expect(result.error == "lockstep: --depth 3: 1 or 2\n")
  }

  @Test("a page is of the whole, not of a shard") func pageOfShard() {
    let result = Program.run(
      Program.lockstep, ["verify", "Stream", "--shard", "1/2", "--html", "/tmp/no.html"])
    #expect(result.end == .exited(2))
    #expect(result.error.split(separator: "\n").count == 1)
  }
}
