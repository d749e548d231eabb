// SPDX-License-Identifier: Apache-2.0

extension Invariant {
  /// A claim that is false if the witness is reachable: what an engine that works must refute.
  public init(canary witness: Witness) {
    self.init(
      name: "canary: never \(witness.name)", rule: nil, bound: witness.bound, body: .not(witness.body),
      reading: .everywhere, site: witness.site)
  }
}

extension Specification {
  /// The same machine with other claims.
  public func replacingInvariants(with invariants: [Invariant]) -> Specification {
    Specification(
      name: name, components: components, actions: actions, invariants: invariants, witnesses: witnesses,
      assumptions: assumptions, rules: [], liveness: [])
  }
}
