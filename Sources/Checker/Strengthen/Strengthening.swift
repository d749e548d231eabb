// SPDX-License-Identifier: Apache-2.0

import Logic

/// What is to be added to some invariants at a scope to make them inductive.
public struct Strengthening: Sendable {
  /// States that are never reached, and that under no other names either.
  public struct Never: Sendable, Hashable, Encodable {
    /// `own.step[front] = asleep`: what would have to hold together.
    public let facts: [String]
    /// How many there are that differ by names alone.
    public let images: Int
  }

  public let specification: String
  public let scope: String
  public let never: [Never]
  /// After how many steps nothing was added any more.
  public let levels: Int
  /// Questions to the solver.
  public let questions: Int
  public let seconds: Double
  /// What shows that the invariants are inductive with this: SMT-LIB 2, none of which can be satisfied.
  public let obligations: [String]

  init(
    _ families: [[Cube]], by problem: StepProblem, of specification: Specification, scope: Scope, levels: Int,
    seconds: Double
  ) {
    self.specification = specification.name
    self.scope = scope.name
    self.levels = levels
    self.seconds = seconds
    questions = problem.questions
    never = families.compactMap { family in
      family.first.map { cube in
        Never(
          facts: cube.facts.map { fact in
            let (index, values) = problem.layout.owner(of: fact.cell)
            let component = specification.components[index]
            let keys = zip(component.keys, values).map { $0.describe($1) }
            let name = component.name + (keys.isEmpty ? "" : "[\(keys.joined(separator: ", "))]")
            return "\(name) = \(component.sort.describe(fact.value))"
          }, images: family.count)
      }
    }
    obligations = problem.obligations(excluding: families.flatMap { $0 }).map {
      problem.elaborator.smtLIB($0.assertions, title: ["\(specification.name): \($0.title)"])
    }
  }

  /// Those of its obligations that a solver does not confirm: none, if it agrees.
  public func unconfirmed(by second: SecondSolver) -> Int {
    second.answers(to: obligations).count { $0 != .unsatisfiable }
  }
}
