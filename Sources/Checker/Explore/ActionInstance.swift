// SPDX-License-Identifier: Apache-2.0

import Logic

/// An action with given arguments.
struct ActionInstance: Hashable {
  /// Into the specification's actions.
  let action: Int
  let arguments: [UInt64]
}

/// An action at constant arguments, worked out: when it is possible, and what it changes.
struct InstancePlan {
  let instance: ActionInstance
  /// What must hold for the action to be possible; without the constant "true".
  let guards: [TermID]
  /// Those that can be made at these arguments.
  let writes: [Write]
  /// What must hold for it to change anything.
  let changes: [TermID]
  let evaluation: Evaluation

  /// Nil if it is never possible.
  init?(_ instance: ActionInstance, _ elaborator: Elaborator, _ before: any StateView) {
    let action = elaborator.specification.actions[instance.action]
    let arguments = zip(action.parameters, instance.arguments).map { elaborator.constant($1, $0.sort) }
    let successor = SuccessorState(elaborator, after: action, arguments: arguments, from: before)
    let possible = successor.guardTerm
    if elaborator.constantValue(possible) == 0 { return nil }
    self.instance = instance
    guards = elaborator.conjuncts(of: possible)
    evaluation = Evaluation(elaborator, state: before, arguments: arguments)
    let possibleWrites = WriteList(of: action, arguments, elaborator, evaluation, before: before).writes.map {
      (write: $0, conditions: elaborator.conjuncts(of: $0.condition))
    }.filter { $0.conditions != [elaborator.no] }
    writes = possibleWrites.map(\.write)
    let common = possibleWrites.first?.conditions ?? []
    changes = common.filter { condition in possibleWrites.allSatisfy { $0.conditions.contains(condition) } }
  }

  /// Every tuple of arguments of an action that the scope allows.
  static func instances(of action: Int, in specification: Specification, _ scope: Scope) -> [ActionInstance] {
    scope.arguments(of: specification.actions[action]).map { ActionInstance(action: action, arguments: $0) }
  }
}
