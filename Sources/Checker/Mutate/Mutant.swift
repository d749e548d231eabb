// SPDX-License-Identifier: Apache-2.0

import Logic

/// A specification with one thing wrong.
public struct Mutant: Sendable {
  public enum Origin: Sendable {
    case byHand(HandMutant)
    case guardDropped, assignmentDropped
    case graph(GraphMutation.Kind)
  }

  /// Stable from run to run, and whatever the lines of the source: how the folder of the specification names it.
  public let name: String
  /// What is changed, in the source's words.
  public let change: String
  public let origin: Origin
  public let specification: Specification

  /// Every mutant of a subject: those written by hand, then those made mechanically.
  ///
  /// A guard that restricts only which choices the environment may make can be dropped without harm; such mutants
  /// are listed as equivalent, with the reason, in the subject.
  /// - Throws: if a mutant does not make sense as a specification.
  public static func all(of subject: Subject) throws(SpecificationError) -> [Mutant] {
    try byHand(subject) + mechanical(subject.make)
  }

  static func byHand(_ subject: Subject) throws(SpecificationError) -> [Mutant] {
    var mutants: [Mutant] = []
    for mutant in subject.mutants {
      mutants.append(
        Mutant(
          name: mutant.name, change: mutant.mechanism, origin: .byHand(mutant),
          specification: try mutant.make().trace()))
    }
    return mutants
  }

  /// Each guard dropped, each assignment to the machine's state dropped, each comparison off by one or turned round,
  /// each check of a status table dropped.
  public static func mechanical(_ make: () -> Machine) throws(SpecificationError) -> [Mutant] {
    let original = try make().trace()
    var mutants: [Mutant] = []
    for (index, action) in original.actions.enumerated() {
      for (number, item) in action.guards.enumerated() {
        let mutation = TraceMutation.dropGuard(action: action.name, index: number)
        mutants.append(
          Mutant(
            name: "\(action.name): guard \(number + 1) dropped",
            change: "\(original.text(item.condition, in: action)) (\(item.site))", origin: .guardDropped,
            specification: try make().trace(mutation: mutation)))
      }
      for (number, variable) in action.assignments.enumerated() where isState(variable, original) {
        let mutation = TraceMutation.dropAssignment(action: action.name, index: number)
        mutants.append(
          Mutant(
            name: "\(action.name): assignment \(number + 1) dropped", change: "to \(variable)",
            origin: .assignmentDropped, specification: try make().trace(mutation: mutation)))
      }
      for mutation in original.graphMutations where mutation.action == index {
        mutants.append(
          Mutant(
            name: "\(action.name): \(noun(mutation.kind)) \(mutation.number) \(verb(mutation.kind))",
            change: mutation.text, origin: .graph(mutation.kind),
            specification: original.applying(mutation)))
      }
    }
    return mutants
  }

  /// Whether a variable is the machine's rather than a ghost of which only the rules speak.
  private static func isState(_ variable: String, _ specification: Specification) -> Bool {
    specification.components.contains { $0.variable == variable && $0.role == .state }
  }

  private static func noun(_ kind: GraphMutation.Kind) -> String {
    switch kind {
    case .offByOne: "comparison"
    case .turnedRound: "equality"
    case .checkDropped: "check"
    }
  }

  private static func verb(_ kind: GraphMutation.Kind) -> String {
    switch kind {
    case .offByOne: "off by one"
    case .turnedRound: "turned round"
    case .checkDropped: "dropped"
    }
  }
}
