// SPDX-License-Identifier: Apache-2.0

extension Specification {
  /// The same machine without one of its ghosts, and so without claims: for comparisons, where a large ghost would take
  /// nearly all the time. That the machine does the same is checked when it is traced: it never reads a ghost.
  public func forgetting(ghost: String) -> Specification {
    let isThere = components.contains { $0.variable == ghost && $0.role == .ghost }
    precondition(isThere, "\(name) has no ghost \(ghost)")
    return Specification(
      name: name,
      components: components.map { component in
        guard component.variable == ghost else { return component }
        return Component(
          variable: component.variable, field: component.field, sort: component.sort, keys: component.keys,
          initial: component.initial, role: .witness)
      }, actions: actions, invariants: [], witnesses: [], assumptions: assumptions, rules: rules,
      liveness: [])
  }
}
