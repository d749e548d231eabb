// SPDX-License-Identifier: Apache-2.0

import Logic
import Testing

enum DomainSort: IdentitySort {
  static let sort = Sort.identity("Domain", realBits: 15, scopeCount: 2)
}
typealias Domain = ID<DomainSort>

enum Light: ChoiceSort { case red, green }

struct Lamp: Record {
  var light = Choice(Light.red)
  var owner = Domain(0)
  var changes = BV<8>(0)
  static var fields: [Field<Lamp>] { [Field(\.light), Field(\.owner), Field(\.changes)] }
}

/// A small machine that uses every part of the language.
class Lamps: Machine {
  @Var var lamps: Table<Lamp, Domain>
  @Var var total: BV<8> = 3
  @Ghost var switched: Table<Bit, Domain>

  func toggle(lamp: Domain, by: Domain) -> Choice<Light> {
    require(lamps[lamp].changes < 4, "R1")
    lamps[lamp].owner = by
    when(lamps[lamp].light == .red) {
      lamps[lamp].light = Choice(.green)
      total += 1
    } else: {
      lamps[lamp].light = Choice(.red)
    }
    lamps[lamp].changes += 1
    switched[lamp] = true
    return lamps[lamp].light
  }

  func reset() {
    lamps.update { _, old in choose(old.changes > 2, Lamp(), old) }
  }

  override var actions: [Action] { [action("toggle(lamp:by:)", toggle), action("reset()", reset)] }
  override var invariants: [Invariant] {
    [invariant("few changes", "R1") { (d: Domain) in self.lamps[d].changes <= 4 }]
  }
  override var witnesses: [Witness] {
    [sometimes("somebody else's lamp") { (d: Domain) in self.lamps[d].owner != d }]
  }
  override var rules: [Rule] { [Rule("R1", "A lamp changes at most four times.", by: "few changes")] }
}

@Suite("Tracing") struct TracingTests {
  @Test("a body is traced once, and its sizes come from the scope")
  func traceAndElaborate() throws {
    let specification = try Lamps().trace()
    #expect(
      specification.components.map(\.name) == [
        "lamps.light", "lamps.owner", "lamps.changes", "total", "switched",
      ])
    let toggle = specification.actions[0]
    #expect(toggle.parameters.map(\.name) == ["lamp", "by"])
    #expect(toggle.assignments == ["lamps", "lamps", "total", "lamps", "lamps", "switched"])

    let real = Elaborator(specification, scope: .real)
    let arguments = toggle.parameters.map { real.symbol($0.name, $0.sort) }
    let after = SuccessorState(real, after: toggle, arguments: arguments, from: BaseState(real))
    #expect(real[arguments[0]].width == 15)
    // The owner of the toggled lamp is the toggler, by β-reduction alone.
    #expect(after.entry(1, [arguments[0]]) == arguments[1])
    #expect(after.entry(4, [arguments[0]]) == real.yes)
    let other = real.symbol("other", Domain.sort)
    #expect(after.entry(4, [other]) != real.yes)
  }

  @Test("equal terms are one term, and constants fold")
  func folding() throws {
    let e = Elaborator(try Lamps().trace(), scope: .small)
    let x = e.symbol("x", BV<8>.sort)
    let y = e.symbol("y", BV<8>.sort)
    #expect(e.arithmetic(.add, x, y) == e.arithmetic(.add, y, x))
    #expect(e.arithmetic(.subtract, x, x) == e.constant(0, BV<8>.sort))
    #expect(
      e.arithmetic(.add, e.constant(255, BV<8>.sort), e.constant(2, BV<8>.sort)) == e.constant(1, BV<8>.sort))
    #expect(e.not(e.not(e.lessThan(x, y))) == e.lessThan(x, y))
    #expect(e.and(e.lessThan(x, y), e.not(e.lessThan(x, y))) == e.no)
  }

  @Test("a bulk update is worked out entry by entry")
  func bulkUpdate() throws {
    let specification = try Lamps().trace()
    let e = Elaborator(specification, scope: .small)
    let before = InitialState(e)
    let reset = SuccessorState(e, after: specification.actions[1], arguments: [], from: before)
    #expect(reset.entry(2, [e.constant(1, Domain.sort)]) == e.constant(0, BV<8>.sort))
  }
}

/// A machine whose state depends on a ghost.
final class Leak: Machine {
  @Var var state: BV<8>
  @Ghost var history: BV<8>
  override var actions: [Action] { [action("leak()") { self.state = self.history }] }
}

final class Twins: Machine {
  @Var var state: BV<8>
  override var actions: [Action] {
    [action("step()") { self.state += 1 }, action("step()") { self.state += 2 }]
  }
}

@Suite("Misuse is a clear error") struct MisuseTests {
  @Test("state that depends on a ghost") func ghost() {
    #expect { try Leak().trace() } throws: {
      "\($0)" == "Leak: the new state of leak depends on the ghost history"
    }
  }
  @Test("two actions of one name") func twins() {
    #expect { try Twins().trace() } throws: { "\($0)" == "Twins: two actions are called \"step\"" }
  }
}
