// SPDX-License-Identifier: Apache-2.0

/// What an exhaustive comparison of event channels ranges over.
public struct EventsExplorationScope: Sendable {
  /// In words.
  let name: String
  let domains, ports, vcpus: Int
  /// Values that some arguments are confined to when states are looked for, and actions that are left out, as scopes
  /// of exploration have them.
  let arguments: [String: Set<UInt64>]
  let excluded: Set<String>

  public static let all = [twoDomains, threePorts, twoProcessors]

  private static let twoDomains = EventsExplorationScope(
    name: "two domains with a port each, one with a vCPU whose guest stores anything", domains: 2, ports: 2,
    vcpus: 1,
    arguments: [
      "register.domain": [1], "storePending.domain": [1], "storeMask.domain": [1],
      "poll.domain": [1], "unmask.domain": [1],
    ], excluded: [])
  private static let threePorts = EventsExplorationScope(
    name: "one domain with three ports, bound to one another", domains: 1, ports: 4, vcpus: 1,
    arguments: [:], excluded: ["storeMask", "storeUpcall", "storeSelector", "poll", "resume", "unmask"])
  private static let twoProcessors = EventsExplorationScope(
    name: "one domain with a port and two vCPUs", domains: 1, ports: 2, vcpus: 2,
    arguments: ["storeUpcall.vcpu": [1]], excluded: ["storeMask", "storeSelector"])
}
