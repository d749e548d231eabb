// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

/// Counts until nothing is possible any more, one further than it may.
private final class Stuck: Machine {
  @Var var count: Ticket
  func up() {
    require(count < 3)
    count += 1
  }
  override var name: String { "Stuck" }
  override var actions: [Action] { [action("up()", up)] }
  override var invariants: [Invariant] { [invariant("is below 3") { self.count < 3 }] }
}

@Suite("Strengthening") struct StrengthenTests {
  private let scope = Scope(name: "test", counts: ["Actor": 2, "Ticket": 4])

  /// - Parameter invariant: by name.
  private func outcome(_ machine: Machine, _ invariant: String) throws -> Strengthener.Outcome {
    let specification = try machine.trace()
    let index = try #require(specification.invariants.firstIndex { $0.name == invariant })
    return try Strengthener(specification, scope: scope, invariants: [index]).run()
  }

  @Test("makes an invariant inductive that is not, and cvc5 agrees")
  func found() throws {
    let problem = InductiveProblem(try Bakery().trace(), scope: scope)
    let alone = Prover(problem).proveTogether()
    #expect(!alone.parts.allSatisfy { $0.isProved }, "there is nothing to strengthen")

    guard case .found(let found) = try outcome(Bakery(), "one at a time") else {
      Issue.record("nothing was found")
      return
    }
    #expect(!found.never.isEmpty && found.obligations.count == 3)
    let second = try SecondSolver()
    #expect(found.unconfirmed(by: second) == 0)
    #expect(found.never.contains { $0.images > 1 }, "actors have no names of their own")
  }

  @Test("what cannot be reached is not reached: the same with what is found as an invariant")
  func agreesWithExploration() throws {
    guard case .found(let found) = try outcome(Bakery(), "one at a time") else {
      Issue.record("nothing was found")
      return
    }
    let specification = try Bakery().trace()
    var options = ExplorationOptions()
    options.usesSymmetry = false
    let explorer = try Explorer(specification, scope: scope, options: options)
    #expect(explorer.run().isComplete)
    let layout = try StateLayout(specification, scope: scope)
    let never = found.never.map { Set($0.facts) }
    for number in 0..<explorer.stateCount {
      let facts = Set(
        explorer.state(number).enumerated().map { register, value in
          let (index, keys) = layout.owner(of: register)
          let component = specification.components[index]
          let entry = keys.isEmpty ? "" : "[\(keys.map { "actor\($0)" }.joined(separator: ", "))]"
          return "\(component.name)\(entry) = \(component.sort.describe(value))"
        })
      for item in never { #expect(!item.isSubset(of: facts), "\(item) is reached") }
    }
  }

  @Test("says of a false claim that it is", arguments: ["nobody is ever inside"]) func canary(name: String)
    throws
  {
    guard case .violated(let steps) = try outcome(Canary(), name) else {
      Issue.record("the canary was not found")
      return
    }
    let explored = try Explorer(try Canary().trace(), scope: scope).run().counterexample
    #expect(steps >= explored?.steps.count ?? .max)
  }

  @Test("says of a machine with a bug that it has one") func bug() throws {
    guard case .violated = try outcome(OpenBakery(), "one at a time") else {
      Issue.record("the open door was not seen")
      return
    }
  }

  @Test("finds a broken state from which there is no step") func stuck() throws {
    guard case .violated(let steps) = try outcome(Stuck(), "is below 3") else {
      Issue.record("the end was not seen")
      return
    }
    #expect(steps == 3)
  }

  @Test("ends when it is told to") func cancelled() throws {
    let strengthener = try Strengthener(try Bakery().trace(), scope: scope, invariants: [0])
    guard case .cancelled = strengthener.run(isCancelled: { true }) else {
      Issue.record("it went on")
      return
    }
  }
}
