// SPDX-License-Identifier: Apache-2.0

import Checker
import Foundation
import Logic
import Testing

/// Counts up to 5 and down again; says what it did, and whether it was allowed to.
class Meter: Machine {
  @Var var value: Ticket
  @Var var shadow: Ticket
  @Ghost var wasFull: Bit

  func raise() -> Choice<Answer> {
    let answer = Choice<Answer>.first((value == 5, .full), otherwise: .done)
    when(answer == .done) { value += 1 }
    wasFull = wasFull || value == 5
    return answer
  }
  func lower() {
    require(value > 0, "R2")
    value -= 1
  }
  /// Only the environment's choice is restricted: any would do.
  func glance(at other: Ticket) {
    require(other == value)
    shadow = 0
  }

  override var name: String { "Meter" }
  override var actions: [Action] {
    [action("raise()", raise), action("lower()", lower), action("glance(at:)", glance)]
  }
  override var invariants: [Invariant] { [invariant("bounded", "R1") { self.value <= 5 }] }
  override var witnesses: [Witness] {
    [
      sometimes("full") { self.value == 5 },
      sometimes("full no more") { self.wasFull && self.value == 0 },
    ]
  }
  override var rules: [Rule] {
    [Rule("R1", "At most 5.", by: "bounded"), Rule("R2", "Nothing is taken from 0.", by: "lower")]
  }
}
enum Answer: ChoiceSort { case done, full }

final class MeterWithoutBound: Meter {
  override func raise() -> Choice<Answer> {
    value += 1
    return Choice(.done)
  }
}
final class MeterRewritten: Meter {
  override func lower() {
    require(0 < value, "R2")
    value = value - 1
  }
}

private let meter = Subject(
  "Meter", scopes: [.small],
  mutants: [
    HandMutant("no bound", advisory: "classic", mechanism: "raise does not look", killer: "bounded") {
      MeterWithoutBound()
    },
    HandMutant("rewritten", advisory: "classic", mechanism: "none", killer: "bounded") { MeterRewritten() },
  ]
) { Meter() }

@Suite("Mutants") struct MutateTests {
  func verdicts(_ subject: Subject) throws -> [String: MutantVerdict] {
    let report = try MutationReport(try MutantTrial(subject))
    return Dictionary(uniqueKeysWithValues: report.verdicts.map { ($0.name, $0) })
  }

  @Test("says nothing of a machine that breaks a rule itself") func brokenOriginal() {
    let subject = Subject("Canary", scopes: [.small], mutants: []) { Canary() }
    let error = #expect(throws: SpecificationError.self) { try MutantTrial(subject) }
    #expect(error?.description.contains("itself breaks \"nobody is ever inside\"") ?? false)
  }

  @Test("each is killed by what notices it first, or shown to be none, or survives")
  func killers() throws {
    let verdicts = try verdicts(meter)
    func result(_ name: String) -> String { verdicts[name].map { "\($0.result)" } ?? "no such mutant" }
    func killer(_ name: String) -> String {
      guard case .killed(let killer, _)? = verdicts[name]?.result else { return result(name) }
      return "\(killer)"
    }
    #expect(killer("no bound") == "bounded (R1)")
    #expect(verdicts["no bound"]?.isAsExpected == true)
    // It is the same machine, and so nothing can kill it: a mutant by hand that is none does not pass.
    #expect(verdicts["rewritten"]?.passes == false)
    #expect(result("rewritten").contains("the same next-state function"))
    #expect(killer("raise: check 1 dropped") == "bounded (R1)")
    #expect(killer("raise: assignment 1 dropped") == "never: full")
    #expect(killer("raise: equality 2 turned round") == "never: full")
    #expect(killer("lower: guard 1 dropped") == "bounded (R1)")
    #expect(killer("lower: comparison 1 off by one") == "bounded (R1)")
    #expect(result("glance: assignment 1 dropped").contains("the same behaviour in all"))
    #expect(result("glance: guard 1 dropped") == "survived(\"glance is possible elsewhere\")")
    #expect(result("glance: equality 1 turned round") == "survived(\"glance is possible elsewhere\")")
    // Ghosts are not the machine's.
    #expect(!verdicts.keys.contains("raise: assignment 2 dropped"))
  }

  @Test("a survivor with a written reason passes, and one without fails")
  func listed() throws {
    #expect(
      try !MutationReport(try MutantTrial(Subject("Meter", scopes: [.small], mutants: []) { Meter() })).passes
    )
    let reason = "whoever glances sees any value"
    let subject = Subject(
      "Meter", scopes: [.small], mutants: [],
      equivalents: [
        EquivalentMutant("glance: guard 1 dropped", because: reason),
        EquivalentMutant("glance: equality 1 turned round", because: reason),
      ]
    ) { Meter() }
    let report = try MutationReport(try MutantTrial(subject))
    #expect(report.passes, "\(report)")
    #expect(report.description.contains("equivalent (listed)"))
    let wrong = Subject(
      "Meter", scopes: [.small], mutants: [],
      equivalents: [EquivalentMutant("lower: guard 1 dropped", because: "no reason")]
    ) { Meter() }
    let verdict = try verdicts(wrong)["lower: guard 1 dropped"]
    #expect(verdict?.passes == false)
  }
}

@Suite("Counterexamples") struct CounterexampleTests {
  @Test("replay finds what exploration found, and nothing once it is mended")
  func replay() throws {
    let scope = Scope(name: "test", counts: ["Actor": 2])
    let steps: [Replay.Step] = [("draw", [0]), ("draw", [1]), ("enter", [0]), ("enter", [1])]
    #expect(
      try Replay(try OpenBakery().trace(), scope: scope).firstViolation(steps)
        == "one at a time, after step 4, enter")
    #expect(try Replay(try Bakery().trace(), scope: scope).firstViolation(steps) == nil)
    #expect(throws: SpecificationError.self) {
      try Replay(try Bakery().trace(), scope: scope).firstViolation([("dance", [])])
    }
  }

  @Test("a saved test replays the steps with the values found")
  func savedTest() throws {
    let specification = try OpenBakery().trace()
    let counterexample = try #require(try explore(OpenBakery()).counterexample)
    let text = try #require(counterexample.swiftTest(of: specification, making: "Bakery()"))
    #expect(text.contains("func bakeryOneAtATime() throws {"))
    #expect(text.contains("Replay(try Bakery().trace(), scope: scope)"))
    #expect(text.contains("(\"enter\", ["))
    #expect(text.contains("[\"Actor\": 3, \"Ticket\": 8]"))
  }

  @Test("JSON carries all of it")
  func json() throws {
    let counterexample = try #require(try explore(OpenBakery()).counterexample)
    let data = try JSONEncoder().encode(counterexample)
    #expect(try JSONDecoder().decode(Counterexample.self, from: data) == counterexample)
  }
}
