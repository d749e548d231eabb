// SPDX-License-Identifier: Apache-2.0
//
// The Static Analysis Results Interchange Format, version 2.1.0 (OASIS, 27 March 2020): as much of it as says what was
// found and where, which is what continuous integration annotates changes with. Numbers of sections are the standard's.

import Foundation
import Logic

/// A log file with one run (3.13, 3.14). Each invariant is a rule; one that is shown is a result of kind "pass", so that
/// what was not looked at can be told from what is in order.
public struct SARIF: Encodable {
  /// - Parameters:
  ///   - findings: what is not in order, and what is shown.
  ///   - sources: where the files lie.
  ///   - tools: other programs that took part, with their versions.
  ///   - shard: which part of the whole this is; nil if all.
  public init(_ findings: [Finding], sources: SourceTree, tools: [String] = [], shard: Shard? = nil) {
    runs = [Run(findings, sources, tools, shard)]
  }

  /// As JSON, indented, keys sorted.
  public func encoded() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
  }

  private let schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
  private let version = "2.1.0"
  private let runs: [Run]

  private enum CodingKeys: String, CodingKey {
    case schema = "$schema"
    case version, runs
  }
}

/// Text for a person (3.11).
private struct Message: Encodable { let text: String }

private struct Run: Encodable {
  struct Tool: Encodable {
    let driver: Component
    let extensions: [Component]?
  }
  /// A program (3.19).
  struct Component: Encodable {
    let name: String
    let rules: [Rule]?
  }
  /// A kind of finding (3.49).
  struct Rule: Encodable {
    let id: String
    let shortDescription: Message
    let help: Message?
  }
  /// What this run is one of (3.17): runs of the same name are told to replace one another, and shards must not.
  struct Details: Encodable { let id: String }
  struct Invocation: Encodable { let executionSuccessful: Bool }

  let tool: Tool
  let automationDetails: Details
  let invocations = [Invocation(executionSuccessful: true)]
  let columnKind = "unicodeCodePoints"
  let results: [Result]

  init(_ findings: [Finding], _ sources: SourceTree, _ tools: [String], _ shard: Shard?) {
    var rules = Finding.Kind.allCases.filter { !$0.concernsInvariant }.map {
      Rule(id: $0.rawValue, shortDescription: Message(text: $0.description), help: Message(text: $0.help))
    }
    var positions: [String: Int] = [:]
    for (position, rule) in rules.enumerated() { positions[rule.id] = position }
    for finding in findings where positions[finding.ruleIdentifier] == nil {
      positions[finding.ruleIdentifier] = rules.count
      let number = finding.rule.map { ", which rule \($0) asks for" } ?? ""
      rules.append(
        Rule(
          id: finding.ruleIdentifier,
          shortDescription: Message(text: "\(finding.machine): \(finding.subject)\(number)"), help: nil))
    }
    let extensions = tools.map { Component(name: $0, rules: nil) }
    tool = Tool(
      driver: Component(name: "lockstep", rules: rules), extensions: extensions.isEmpty ? nil : extensions)
    automationDetails = Details(
      id: "lockstep/verify/" + (shard.map { "shard-\($0.number)-of-\($0.count)/" } ?? ""))
    results = findings.map { Result($0, positions[$0.ruleIdentifier] ?? 0, sources) }
  }
}

/// One finding (3.27).
private struct Result: Encodable {
  struct Location: Encodable {
    let physicalLocation: PhysicalLocation
    let logicalLocations: [LogicalLocation]
  }
  struct PhysicalLocation: Encodable {
    let artifactLocation: ArtifactLocation
    let region: Region
  }
  struct ArtifactLocation: Encodable { let uri: String }
  struct Region: Encodable { let startLine: Int }
  struct LogicalLocation: Encodable { let fullyQualifiedName: String }

  let ruleId: String
  let ruleIndex: Int
  /// "pass" or "fail" (3.27.9); what passes has no level but "none" (3.27.10).
  let kind: String
  let level: String
  let message: Message
  let locations: [Location]
  /// What makes it the same finding in another run, be it on other lines (3.27.17).
  let partialFingerprints: [String: String]
  let properties: [String: String]

  init(_ finding: Finding, _ rule: Int, _ sources: SourceTree) {
    ruleId = finding.ruleIdentifier
    ruleIndex = rule
    let passes = finding.kind == .shown
    kind = passes ? "pass" : "fail"
    level = passes ? "none" : "error"
    message = Message(text: finding.message)
    let name = LogicalLocation(fullyQualifiedName: "\(finding.machine).\(finding.subject)")
    locations =
      finding.site.map { site in
        let uri = sources.path(of: site).addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? ""
        return [
          Location(
            physicalLocation: PhysicalLocation(
              artifactLocation: ArtifactLocation(uri: uri), region: Region(startLine: max(1, site.line))),
            logicalLocations: [name])
        ]
      } ?? []
    let identity = "\(finding.kind.rawValue) \(finding.machine) \(finding.subject)"
    partialFingerprints = ["lockstep/v1": ContentHash(of: identity).description]
    var properties = ["machine": finding.machine, "kind": finding.kind.rawValue]
    if !passes { properties["help"] = finding.kind.help }
    if let rule = finding.rule { properties["rule"] = rule }
    self.properties = properties
  }
}

extension Finding {
  /// The SARIF rule that it is of: an invariant, or else what kind of thing it is.
  var ruleIdentifier: String { kind.concernsInvariant ? "\(machine)/\(subject)" : kind.rawValue }
}

extension Finding.Kind {
  /// In one sentence.
  var description: String {
    switch self {
    case .shown: "An invariant is shown."
    case .violated: "A reachable state breaks an invariant."
    case .unproved: "An invariant is not proved at real size."
    case .incomplete: "An exploration did not see everything, or what must be reachable is not."
    case .claim: "What is found is less than what Proofs claims."
    case .certificate: "A certificate in the tree is not that of the specification."
    case .canary: "A claim that is false was not refuted."
    }
  }

  /// What to do.
  var help: String {
    switch self {
    case .shown: "Nothing."
    case .violated: "Follow the steps of the counterexample: the specification or the invariant is wrong."
    case .unproved:
      "The state of the counterexample to induction is to be ruled out by another invariant, or is a bug."
    case .incomplete: "lockstep explore MACHINE says what was not reached, or which limit was."
    case .claim: "Prove it, or claim less in Proofs."
    case .certificate: "Renew it: lockstep verify --certificates Proofs/certificates."
    case .canary: "An engine is broken: believe none of its answers."
    }
  }
}
