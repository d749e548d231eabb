// SPDX-License-Identifier: Apache-2.0

import Logic

/// What is known of one invariant.
public struct Theorem: Sendable, Codable {
  public enum Method: String, Sendable, Codable {
    /// Every obligation at real size is proved.
    case induction
    /// Every state at the scope has been seen; not proved at real size.
    case exploration
    /// What belongs to this shard is shown; the theorem stands where every shard says so.
    case part
    case violated
    case open
  }

  /// An obligation that is not proved.
  public struct Unproved: Sendable, Codable {
    public let title: String
    /// Why the solver gave no answer; nil if it refuted the claim.
    public let reason: String?
    /// States that satisfy every invariant, with a step out of them: what is to be ruled out, or is a bug.
    public let counterexample: Counterexample?
  }

  public let machine: String
  public let invariant: String
  public let rule: String?
  /// Where the invariant is written.
  public let site: Site
  public let method: Method
  /// "real", or the scope explored.
  public let size: String
  /// How many steps the proof looks back: the k of k-induction; 0 if it is no induction.
  public let k: Int
  public let obligations: Int
  /// Those that the first solver proved, and of them those that the second confirmed.
  public let proved: Int
  public let confirmed: Int
  public let milliseconds: Double
  public let unproved: [Unproved]
}

/// What an exploration at one scope came to.
public struct ExploredScope: Sendable, Codable, Hashable {
  public let scope: String
  public let states: Int
  public let transitions: Int
  /// Whether it saw everything, found nothing wrong and, at a machine's first scope, reached every witness.
  public let holds: Bool

  public init(scope: String, states: Int, transitions: Int, holds: Bool) {
    self.scope = scope
    self.states = states
    self.transitions = transitions
    self.holds = holds
  }
}

/// What `verify` found of one machine.
public struct Verification: Sendable, Encodable {
  public let machine: String
  /// At the machine's first scope, and at those that show what it is too small for.
  public let explored: [ExploredScope]
  public let counterexample: Counterexample?
  public let theorems: [Theorem]
  /// What must come about in the end, at the scope where that is explored.
  public var liveness: [LivenessResult] = []
  /// Whether a false invariant was refuted, by exploration and by induction; in a shard, by those of them that it does.
  public let canaryFound: Bool
  /// Where the reachable state is described whose absence the false invariant claims.
  public var canarySite: Site?
  public let solvers: [String]
  /// Time spent on this machine's proofs and their confirmation.
  public let seconds: Double
  /// Where this differs from what the proofs' folder claims of the machine.
  public var complaints: [String] = []
  /// How much of the machine this is about; nil if all.
  public var share: ShardShare?
  /// What the obligations cost that were asked this time.
  public var times = ObligationTimes()

  public init(
    machine: String, explored: [ExploredScope], counterexample: Counterexample?, theorems: [Theorem],
    canaryFound: Bool, solvers: [String],
    seconds: Double
  ) {
    self.machine = machine
    self.explored = explored
    self.counterexample = counterexample
    self.theorems = theorems
    self.canaryFound = canaryFound
    self.solvers = solvers
    self.seconds = seconds
  }

  /// Whether no claim is violated, and the alarms ring.
  public var holds: Bool {
    explored.allSatisfy(\.holds) && canaryFound && complaints.isEmpty && liveness.allSatisfy(\.holds)
      && theorems.allSatisfy { $0.method != .violated && $0.method != .open }
  }
  /// Proved obligations that rest on one solver's word.
  public var unconfirmed: Int { theorems.reduce(0) { $0 + $1.proved - $1.confirmed } }
}
