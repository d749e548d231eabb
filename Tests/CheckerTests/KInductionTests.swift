// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

@Suite("k-induction") struct KInductionTests {
  private func prove(_ machine: Machine, depth: Int) throws -> InductiveProof {
    var options = InductionOptions()
    options.depth = depth
    return Prover(InductiveProblem(try machine.trace()), options: options).proveTogether()
  }

  @Test("what needs two steps is proved with k = 2, and with no less") func twoSteps() throws {
    let alone = try prove(Ledge(), depth: 1)
    #expect(!alone.holds)
    let counterexample = try #require(alone.parts[0].counterexample)
    #expect(counterexample.origin == .arbitrary)
    #expect(counterexample.steps.map(\.action) == ["fall"])
    #expect(counterexample.initial.values[Cell("place")] == 1)

    let both = try prove(Ledge(), depth: 2)
    #expect(both.holds)
    #expect(both.parts.map(\.k) == [2])
  }

  @Test("what is false is proved with no k, and refuted in the first states") func falseClaims() throws {
    let found = try prove(LooseLedge(), depth: 3)
    #expect(!found.holds)
  }

  @Test("invariants with different ks are proved together") func together() throws {
    let found = try prove(CountingLedge(), depth: 2)
    #expect(found.holds)
    #expect(found.parts.map(\.k) == [2, 1])
  }
}

private enum Height: ChoiceSort { case meadow, ledge, gorge }

/// Nobody gets onto the ledge, so nobody falls from it; that a fall begins there takes one step back to see.
private class Ledge: Machine {
  @Var var place: Choice<Height>
  @Var var walked: BV<8>

  func walk() {
    require(place == .meadow)
    walked += 1
  }
  func fall() {
    require(place == .ledge)
    place = Choice(.gorge)
  }
  override var actions: [Action] { [action("walk()", walk), action("fall()", fall)] }
  override var invariants: [Invariant] {
    [invariant("nobody lies in the gorge") { self.place != .gorge }]
  }
}

/// The third step leads onto the ledge.
private final class LooseLedge: Ledge {
  override func walk() {
    super.walk()
    when(walked == 3) { place = Choice(.ledge) }
  }
}

/// Another claim beside, for which one step is enough.
private final class CountingLedge: Ledge {
  @Var var steps: BV<8>
  override func walk() {
    super.walk()
    steps += 1
  }
  override var invariants: [Invariant] {
    super.invariants + [invariant("steps are counted") { self.steps == self.walked }]
  }
}
