// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

@Suite("Bounded model checking") struct BoundedTests {
  private let scope = Scope(name: "test", counts: ["Actor": 3, "Ticket": 8])

  private func check(_ machine: Machine, _ scope: Scope, depth: Int) throws -> BoundedCheck {
    var options = BoundedOptions()
    options.depth = depth
    return try BoundedChecker(try machine.trace(), scope: scope, options: options).run()
  }

  @Test("finds no run that breaks a rule where there is none") func holds() throws {
    for machine in [Bakery(), Tangle()] as [Machine] {
      let found = try check(machine, scope, depth: 5)
      guard case .holds = found.outcome else {
        Issue.record("\(machine.name): \(found.counterexample?.description ?? "\(found.outcome)")")
        continue
      }
      #expect(found.depth == 5)
    }
  }

  @Test("finds a run as short as exploration's, and one that the interpreter repeats", arguments: [2, 3])
  func agreesWithExploration(actors: UInt64) throws {
    let scope = Scope(name: "test", counts: ["Actor": actors, "Ticket": 8])
    for machine in [OpenBakery(), Canary()] as [Machine] {
      let specification = try machine.trace()
      let explored = try #require(try Explorer(specification, scope: scope).run().counterexample)
      let found = try #require(try check(machine, scope, depth: 8).counterexample)
      #expect(found.steps.count == explored.steps.count)
      let replayed = try Replay(specification, scope: scope).firstViolation(
        found.steps.map { ($0.action, $0.arguments.map(\.value)) })
      #expect(
        replayed
          == "\(found.violation.name), after step \(found.steps.count), \(found.steps.last?.action ?? "")")
    }
  }

  @Test("the run begins as the assumptions say") func assumptions() throws {
    let found = try check(Impatient(), scope, depth: 4)
    let counterexample = try #require(found.counterexample)
    // The limit is 3 or 4, and so many moves are needed.
    #expect(counterexample.steps.count == 3)
    #expect(counterexample.initial.values[Cell("limit")] == 3)
  }

  @Test("words have their real sizes for the asking") func realWords() throws {
    let scope = Scope(name: "test", counts: ["Actor": 2, "Ticket": 1 << 16])
    let found = try check(Bakery(), scope, depth: 4)
    #expect(found.depth == 4 && found.counterexample == nil, "\(found.outcome)")
  }

  @Test("what cannot be written out is refused, by name") func tooLarge() throws {
    #expect {
      _ = try check(Patient(), .real, depth: 1)
    } throws: { "\($0)".contains("a guard of move") && "\($0)".contains("give Ticket a smaller count") }
  }
}

/// Runs out of moves, and claims that it does not.
private final class Impatient: Machine {
  @Var(anyOf: Ticket.self) var limit: Ticket
  @Var var moves: Ticket

  func move() {
    require(moves < limit)
    moves += 1
  }
  override var actions: [Action] { [action("move()", move)] }
  override var assumptions: [Invariant] { [assume("limited") { self.limit < 5 && self.limit > 2 }] }
  override var invariants: [Invariant] { [invariant("moves are left") { self.moves < self.limit }] }
}

/// Moves only where nobody anywhere has a mark.
private final class Patient: Machine {
  @Var var marks: Table<Bit, Ticket>

  func move(to ticket: Ticket) {
    requireAll { (other: Ticket) in !self.marks[other] }
    marks[ticket] = true
  }
  override var actions: [Action] { [action("move(to:)", move)] }
}
