// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

/// Actors before a door without tickets: whoever waits may enter when nobody is inside.
private class Door: Machine {
  @Var var phases: Table<Choice<Phase>, Actor>

  func come(actor: Actor) {
    require(phases[actor] == .idle)
    phases[actor] = Choice(.waiting)
  }
  func enter(actor: Actor) {
    require(phases[actor] == .waiting)
    requireAll { (other: Actor) in self.phases[other] != .inside }
    phases[actor] = Choice(.inside)
  }
  func leave(actor: Actor) {
    require(phases[actor] == .inside)
    phases[actor] = Choice(.idle)
  }

  var fair: [Fairness] { ["enter", "leave"] }
  override var name: String { "Door" }
  override var actions: [Action] {
    [action("come(actor:)", come), action("enter(actor:)", enter), action("leave(actor:)", leave)]
  }
  override var liveness: [LeadsTo] {
    [
      leadsTo("who waits enters", fair: fair) { (a: Actor) in
        (from: self.phases[a] == .waiting, to: self.phases[a] == .inside)
      }
    ]
  }
}

private final class DoorThatMayStayShut: Door {
  override var fair: [Fairness] { ["leave"] }
}
/// Whoever comes finds nobody.
private class DoorForOne: Door {
  override func come(actor: Actor) {
    super.come(actor: actor)
    requireAll { (other: Actor) in other == actor || self.phases[other] == .idle }
  }
}
/// Nobody need enter but actor 0.
private final class DoorForOneOfThem: DoorForOne {
  override var fair: [Fairness] {
    ["leave", fair("enter") { (a: Actor) in a == Actor(0) }]
  }
}
private final class DoorForOthers: DoorForOne {
  override var fair: [Fairness] {
    [fair("enter") { (_: Ticket) in true }]
  }
}
private final class DoorWithoutHandle: Door {
  override var fair: [Fairness] { ["open"] }
}
/// Who waits is inside already, by definition: nothing is asked for.
private final class DoorOfNothing: Door {
  override var liveness: [LeadsTo] {
    [
      leadsTo("nothing is asked", fair: fair) { (a: Actor) in
        (from: self.phases[a] == .waiting, to: self.phases[a] == .waiting)
      }
    ]
  }
}

/// The queue of tickets, of which every ticket is called.
private final class FairBakery: Bakery {
  override var liveness: [LeadsTo] {
    [
      leadsTo("who waits enters", fair: ["enter", "leave"]) { (a: Actor) in
        (from: self.places[a].phase == .waiting, to: self.places[a].phase == .inside)
      }
    ]
  }
}

@Suite("Liveness") struct LivenessTests {
  private func result(of machine: Machine) throws -> LivenessResult {
    let check = try LivenessCheck(try machine.trace(), scope: .small)
    return try #require(check.results().first)
  }

  @Test("holds where each step that must not be put off leads on")
  func holds() throws {
    let result = try result(of: FairBakery())
    #expect(result.counterexample == nil, "\(result.counterexample?.description ?? "")")
    #expect(result.beginnings > 0)
    #expect(result.needsFairness)
    #expect(result.holds)
    #expect(try self.result(of: DoorForOne()).holds)
  }

  @Test("sees every state and every step: renamings count")
  func states() throws {
    var options = ExplorationOptions()
    options.usesSymmetry = false
    let found = try Explorer(try FairBakery().trace(), scope: .small, options: options).run()
    #expect(try LivenessCheck(try FairBakery().trace(), scope: .small).states == found.states)
  }

  @Test("fails where others overtake for ever, though every step is taken that stays possible")
  func overtaken() throws {
    let result = try result(of: Door())
    #expect(!result.holds)
    let counterexample = try #require(result.counterexample)
    #expect(counterexample.violation.kind == .liveness)
    #expect((counterexample.violation.endless ?? 0) > 1)
    #expect(counterexample.description.contains("goes on in"))
    #expect(counterexample.description.contains("violated: who waits enters for x0 = actor"))
  }

  @Test("fails where a run may stand still, by the shortest way")
  func standsStill() throws {
    let counterexample = try #require(try result(of: DoorThatMayStayShut()).counterexample)
    #expect(counterexample.steps.map(\.action) == ["come"])
  }

  @Test("asks a step to be taken only where its condition holds")
  func conditions() throws {
    let counterexample = try #require(try result(of: DoorForOneOfThem()).counterexample)
    #expect(counterexample.steps.map(\.action) == ["come"])
    #expect(counterexample.steps[0].arguments[0].value != 0)
    #expect(
      throws: SpecificationError(
        "Door: \"who waits enters\" is fair to enter where something holds of other arguments")
    ) {
      try DoorForOthers().trace()
    }
  }

  @Test("is no claim where nothing is asked for")
  func vacuous() throws {
    let result = try result(of: DoorOfNothing())
    #expect(result.counterexample == nil)
    #expect(!result.holds)
  }

  @Test("names an action that there is not")
  func unknownAction() {
    #expect(throws: SpecificationError("Door: \"who waits enters\" is fair to open, which is no action")) {
      try DoorWithoutHandle().trace()
    }
  }
}
