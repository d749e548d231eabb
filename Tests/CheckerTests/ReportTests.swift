// SPDX-License-Identifier: Apache-2.0

import Checker
import Foundation
import Logic
import Testing

/// A log as any reader of the format has it.
private struct Log: Decodable {
  struct Run: Decodable {
    let tool: Tool
    let automationDetails: Details
    let results: [Result]
  }
  struct Tool: Decodable { let driver: Driver }
  struct Driver: Decodable {
    let name: String
    let rules: [Rule]
  }
  struct Rule: Decodable { let id: String }
  struct Details: Decodable { let id: String }
  struct Text: Decodable { let text: String }
  struct Result: Decodable {
    let ruleId: String
    let ruleIndex: Int
    let kind: String
    let level: String
    let message: Text
    let locations: [Location]
    let partialFingerprints: [String: String]
  }
  struct Location: Decodable { let physicalLocation: Place }
  struct Place: Decodable {
    let artifactLocation: File
    let region: Region
  }
  struct File: Decodable { let uri: String }
  struct Region: Decodable { let startLine: Int }
  let version: String
  let runs: [Run]

  init(of findings: [Finding], shard: Shard? = nil) throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
      .path
    let text = try SARIF(findings, sources: SourceTree(root: root), shard: shard).encoded()
    self = try JSONDecoder().decode(Log.self, from: Data(text.utf8))
  }
}

@Suite("Reports") struct ReportTests {
  private func verification(_ machine: @escaping @Sendable () -> Machine) throws -> Verification {
    let subject = Subject("Bakery", scopes: [.small], mutants: [], make: machine)
    return try #require(try Verifier().verify([subject]).first).verification
  }

  @Test("SARIF of nothing has a run without results, and says what is looked for") func nothing() throws {
    let log = try Log(of: [])
    #expect(log.version == "2.1.0")
    #expect(log.runs.count == 1 && log.runs[0].results.isEmpty)
    #expect(
      log.runs[0].tool.driver.rules.map(\.id) == [
        "incomplete-exploration", "unkept-claim", "stale-certificate", "silent-canary",
      ])
    #expect(log.runs[0].automationDetails.id == "lockstep/verify/")
    let part = try Log(of: [], shard: Shard(2, of: 8))
    #expect(part.runs[0].automationDetails.id == "lockstep/verify/shard-2-of-8/")
  }

  @Test("SARIF names each invariant once: one that is violated with its steps, one that is shown as passed")
  func findings() throws {
    let found = try verification { Canary() }
    let log = try Log(of: found.findings() + found.shown)
    let results = log.runs[0].results
    let violated = try #require(results.first { $0.ruleId == "Bakery/nobody is ever inside" })
    #expect(violated.kind == "fail" && violated.level == "error")
    #expect(violated.message.text.contains("enter(actor:"))
    let invariants = results.filter { $0.ruleId.hasPrefix("Bakery/") }
    #expect(invariants.map(\.ruleId).sorted() == found.theorems.map { "Bakery/\($0.invariant)" }.sorted())
    #expect(invariants.count { $0.kind == "pass" } == found.shown.count)
    for result in results {
      #expect(log.runs[0].tool.driver.rules[result.ruleIndex].id == result.ruleId)
      #expect(result.level == (result.kind == "pass" ? "none" : "error"))
      #expect(result.partialFingerprints.count == 1)
    }
  }

  @Test("what is shown of a part is not said of the whole") func shownInPart() throws {
    var verifier = Verifier()
    verifier.shard = Shard(1, of: 2)
    let subject = Subject("Bakery", scopes: [.small], mutants: [], make: { Bakery() })
    let found = try #require(try verifier.verify([subject]).first).verification
    #expect(!found.shown.isEmpty)
    for finding in found.shown {
      #expect(finding.message.contains("this shard's part alone"))
    }
  }

  @Test("SARIF gives a finding the path and line where it is written") func places() throws {
    // A file of a module of this package: its folder is not part of a site.
    let site = Site(file: "Checker/Verifier.swift", line: 12)
    let log = try Log(of: [
      Finding(.violated, machine: "M", subject: "i", rule: "R1", message: "no", site: site),
      Finding(
        .certificate, machine: "M", subject: "certificate", message: "old",
        site: Site(file: "a b.json", line: 1)),
      Finding(.canary, machine: "M", subject: "canary", message: "silent", site: nil),
    ])
    let results = log.runs[0].results
    #expect(
      results[0].locations[0].physicalLocation.artifactLocation.uri == "Sources/Checker/Verify/Verifier.swift"
    )
    #expect(results[0].locations[0].physicalLocation.region.startLine == 12)
    #expect(results[1].locations[0].physicalLocation.artifactLocation.uri == "a%20b.json")
    #expect(results[2].locations.isEmpty)
  }

  @Test("a verification that does not hold has a finding, and one that holds has none") func completeness()
    throws
  {
    let silent = Verification(
      machine: "M", explored: [], counterexample: nil, theorems: [], canaryFound: false, solvers: [],
      seconds: 0)
    #expect(silent.findings().map(\.kind) == [.canary])
    var claimed = Verification(
      machine: "M", explored: [ExploredScope(scope: "s", states: 1, transitions: 0, holds: false)],
      counterexample: nil, theorems: [], canaryFound: true, solvers: [], seconds: 0)
    claimed.complaints = ["less"]
    #expect(claimed.findings().map(\.kind) == [.incomplete, .claim])
    for machine: @Sendable () -> Machine in [{ Bakery() }, { Canary() }, { OpenBakery() }] {
      let found = try verification(machine)
      #expect(found.holds == found.findings().isEmpty)
    }
  }
}
