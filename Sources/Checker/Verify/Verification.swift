// SPDX-License-Identifier: Apache-2.0

import Logic

/// What is known of one invariant.
public struct Theorem: Sendable, Codable {
  public enum Method: String, Sendable, Codable {
    /// Every obligation at real size is proved.
    case induction
    /// Every state at the scope has been seen; not proved at real size.
    case exploration
    case violated
    case open
  }

  public let machine: String
  public let invariant: String
  public let rule: String?
  public let method: Method
  /// "real", or the scope explored.
  public let size: String
  public let obligations: Int
  /// Those that the first solver proved, and of them those that the second confirmed.
  public let proved: Int
  public let confirmed: Int
  public let milliseconds: Double
  /// Obligations that are not proved, by title.
  public let unproved: [String]
}

/// What `verify` found of one machine.
public struct Verification: Sendable, Codable {
  public let machine: String
  public let scope: String
  public let states: Int
  public let transitions: Int
  /// Whether the exploration saw everything, found nothing wrong and reached every witness.
  public let explorationHolds: Bool
  public let counterexample: Counterexample?
  public let theorems: [Theorem]
  /// Whether a false invariant was refuted, by exploration and by induction.
  public let canaryFound: Bool
  public let solvers: [String]
  public let seconds: Double

  /// Whether no claim is violated, and the alarms ring.
  public var holds: Bool {
    explorationHolds && canaryFound
      && theorems.allSatisfy { $0.method == .induction || $0.method == .exploration }
  }
  /// Proved obligations that rest on one solver's word.
  public var unconfirmed: Int { theorems.reduce(0) { $0 + $1.proved - $1.confirmed } }
}
