// SPDX-License-Identifier: Apache-2.0

import Logic

/// One thing that was looked at, with the place to look at first: most often something that is not as it should be.
public struct Finding: Sendable, Hashable {
  public enum Kind: String, Sendable, CaseIterable {
    /// An invariant, and it is shown.
    case shown = "shown-invariant"
    case violated = "violated-invariant"
    case unproved = "unproved-invariant"
    case incomplete = "incomplete-exploration"
    case claim = "unkept-claim"
    case certificate = "stale-certificate"
    case canary = "silent-canary"

    /// Whether it is about one invariant.
    var concernsInvariant: Bool { self == .shown || self == .violated || self == .unproved }
  }

  public let kind: Kind
  public let machine: String
  /// What it is about: an invariant's name, a scope's.
  public let subject: String
  /// The number of the specification's rule, if one is concerned.
  public let rule: String?
  public let message: String
  /// Nil: the machine as a whole.
  public let site: Site?

  public init(
    _ kind: Kind, machine: String, subject: String, rule: String? = nil, message: String, site: Site?
  ) {
    self.kind = kind
    self.machine = machine
    self.subject = subject
    self.rule = rule
    self.message = message
    self.site = site
  }
}

extension Verification {
  /// Everything for which it does not hold, and none if it does.
  /// - Parameter claims: where it is written what the complaints are about.
  public func findings(claims: Site? = nil) -> [Finding] {
    theorems.compactMap { finding(about: $0) } + liveness.compactMap { finding(about: $0) }
      + explored.compactMap { finding(about: $0) }
      + complaints.map {
        Finding(.claim, machine: machine, subject: $0, message: "\(machine): \($0)", site: claims)
      }
      + (canaryFound
        ? []
        : [
          Finding(
            .canary, machine: machine, subject: "canary",
            message:
              "\(machine): a claim that is false was not refuted: no verdict on this machine is worth anything",
            site: canarySite)
        ])
  }

  /// The invariants that are shown, each with the method.
  public var shown: [Finding] {
    theorems.compactMap { theorem in
      let second =
        solvers.count > 1 ? ", \(theorem.confirmed) of them confirmed by a second solver" : ""
      let proof = "\(theorem.proved) of \(theorem.obligations) obligations\(second)"
      let message: String
      switch theorem.method {
      case .violated, .open: return nil
      case .induction: message = "proved at real size by induction: \(proof)"
      case .exploration:
        message = "holds in every state explored at scope \(theorem.size); not proved at real size"
      case .part: message = "shown for this shard's part alone: \(proof)"
      }
      return Finding(
        .shown, machine: machine, subject: theorem.invariant, rule: theorem.rule,
        message: "\(Self.title(theorem)) \(message)", site: theorem.site)
    }
  }

  private static func title(_ theorem: Theorem) -> String {
    "\(theorem.machine): \"\(theorem.invariant)\"" + (theorem.rule.map { " (\($0))" } ?? "")
  }

  private func finding(about theorem: Theorem) -> Finding? {
    let kind: Finding.Kind
    var message = Self.title(theorem)
    switch theorem.method {
    case .violated:
      kind = .violated
      message += " is violated" + (counterexample.map { "\n\($0)" } ?? "")
    case .open:
      kind = .unproved
      let item = theorem.unproved.first
      message += " is not proved: \(theorem.proved) of \(theorem.obligations) obligations are"
      message += item.map { "\n\($0.title)" + ($0.reason.map { ": \($0)" } ?? "") } ?? ""
      message += item?.counterexample.map { "\n\($0)" } ?? ""
    case .induction, .exploration, .part: return nil
    }
    return Finding(
      kind, machine: machine, subject: theorem.invariant, rule: theorem.rule, message: message,
      site: theorem.site)
  }

  private func finding(about result: LivenessResult) -> Finding? {
    guard let reason = result.reason else { return nil }
    return Finding(
      .violated, machine: machine, subject: result.name,
      message: "\(machine): \"\(result.name)\" need not come about: \(reason)"
        + (result.counterexample.map { "\n\($0)" } ?? ""), site: nil)
  }

  /// An exploration that ended early has a violated invariant to show, or else this.
  private func finding(about scope: ExploredScope) -> Finding? {
    guard !scope.holds, counterexample == nil else { return nil }
    return Finding(
      .incomplete, machine: machine, subject: scope.scope,
      message:
        "\(machine): the exploration at scope \(scope.scope) did not see everything, or something that it"
        + " must reach is not reached",
      site: canarySite)
  }
}
