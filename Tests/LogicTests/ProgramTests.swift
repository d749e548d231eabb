// SPDX-License-Identifier: Apache-2.0

import Logic
import Testing

enum SlotSort: WordSort {
  static let sort = Sort.word("Slot", realBits: 16, scopeBits: 2)
}
typealias Slot = Word<SlotSort>

struct Seat: Record {
  var taken = Bit(false)
  var by = Domain(0)
  var light = Choice(Light.green)
  static var fields: [Field<Seat>] { [Field(\.taken), Field(\.by), Field(\.light)] }
}

/// A machine made to be awkward for an evaluator: swaps, stores over bulk updates, bulk updates under conditions.
final class Awkward: Machine {
  @Var var seats: Table<Seat, Pair<Domain, Slot>>
  @Var var other: Table<Seat, Pair<Domain, Slot>>
  @Var var x: BV<8> = 1
  @Var var y: BV<8> = 250
  @Var var flag: Bit
  @Ghost var history: Table<BV<8>, Domain>

  func swap() {
    let old = x
    x = y
    y = old
    flag = !flag
    when(flag) { seats[Domain(1), 0].by = Domain(0) }
  }

  func sit(domain: Domain, slot: Slot) -> Choice<Light> {
    require(!seats[domain, slot].taken || flag)
    when(x < y) {
      seats[domain, slot].taken = true
      when(flag) {
        seats[domain, slot + 1] = seats[domain, slot]
        x += 3
      } else: {
        seats[domain, slot].by = domain
      }
      history[domain] += x
    } else: {
      seats[domain, slot].light = Choice(.red)
      y -= 1
    }
    return choose(x < y, seats[domain, slot].light, other[domain, slot].light)
  }

  func clear(domain: Domain) {
    requireAll { (slot: Slot) in !(self.seats[domain, slot].taken && self.other[domain, slot].taken) }
    when(flag) {
      seats.update { owner, slot, old in choose(owner == domain && slot != 3, Seat(), old) }
    } else: {
      seats[domain, Slot(resizing: x)].by = seats[domain, Slot(resizing: y)].by
    }
    seats[domain, 2].light = other[domain, 2].light
    other.update { owner, slot, old in choose(old.by == owner, self.seats[owner, slot], old) }
  }

  func copy() {
    let old = other
    other = seats
    seats = old
    x = Word(resizing: Slot(resizing: x ^ y)) | (y & 0xF0)
  }

  override var actions: [Action] {
    [
      action("swap()", swap), action("sit(domain:slot:)", sit), action("clear(domain:)", clear),
      action("copy()", copy),
    ]
  }
}

/// A small generator of reproducible numbers.
struct Dice: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state ^ (state >> 33)) &* 0xff51_afd7_ed55_8ccd
  }
}

@Suite("The fast evaluator") struct ProgramTests {
  /// Takes random actions from random states on both, and compares after every step.
  func compare(_ machine: Machine, counts: [String: UInt64], unrollLimit: Int, steps: Int) throws -> Int {
    let specification = try machine.trace()
    let scope = Scope(name: "test", counts: counts)
    let programs = try ProgramSet(specification, scope: scope, unrollLimit: unrollLimit)
    let simulator = Simulator(programs)
    let interpreter = Interpreter(programs.layout)
    var dice = Dice(state: 7)
    var taken = 0
    for step in 0..<steps {
      if step % 20 == 0 { #expect(simulator.load(randomState(programs.layout, &dice))) }
      let index = Int.random(in: 0..<specification.actions.count, using: &dice)
      let action = specification.actions[index]
      let arguments = action.parameters.map { UInt64.random(in: 0..<scope.count(of: $0.sort), using: &dice) }
      let before = simulator.state
      let expected = interpreter.step(action, arguments, in: before)
      let isPossible = simulator.run(index, arguments)
      try #require(isPossible == (expected != nil))
      guard let expected else { continue }
      taken += 1
      let results = simulator.results
      let changes = simulator.pendingChanges
      simulator.commit()
      try #require(results == expected.results)
      try #require(
        simulator.state == expected.state,
        "\(action.name)\(arguments): \(programs.layout.differences(expected.state, simulator.state))")
      let announced = changes.map(\.register)
      try #require(announced == before.indices.filter { before[$0] != expected.state[$0] })
    }
    return taken
  }

  func randomState(_ layout: StateLayout, _ dice: inout Dice) -> [UInt64] {
    layout.places.flatMap { place -> [UInt64] in
      guard let place else { return [] }
      return (0..<place.count).map { _ in .random(in: 0...place.largest, using: &dice) }
    }
  }

  @Test("does what the interpreter does, step by step", arguments: [64, 0], [2, 3, 5] as [UInt64])
  func agreement(unrollLimit: Int, domains: UInt64) throws {
    let taken = try compare(Awkward(), counts: ["Domain": domains], unrollLimit: unrollLimit, steps: 1200)
    #expect(taken > 600)
    #expect(try compare(Lamps(), counts: ["Domain": domains], unrollLimit: unrollLimit, steps: 400) > 100)
  }

  @Test("an argument that is no value of its sort is refused")
  func outOfRange() throws {
    let programs = try ProgramSet(try Lamps().trace(), scope: Scope(name: "three", counts: ["Domain": 3]))
    let simulator = Simulator(programs)
    #expect(simulator.run(0, [2, 2]))
    #expect(!simulator.run(0, [3, 0]))
    #expect(!simulator.set(1, [0], to: 3))
    #expect(!simulator.set(1, [3], to: 0))
    #expect(!simulator.load([UInt64](repeating: 9, count: programs.layout.count)))
  }

  @Test("a state is described, and its changes, with names")
  func text() throws {
    let programs = try ProgramSet(try Lamps().trace(), scope: .small)
    let simulator = Simulator(programs)
    #expect(simulator.run(0, [1, 0]))
    #expect(
      programs.layout.describe(simulator.pendingChanges) == [
        "lamps[domain1]: light red → green, changes 0 → 1", "total: 3 → 4", "switched[domain1]: false → true",
      ])
    simulator.commit()
    #expect(
      programs.layout.describe(simulator.state)[1] == "lamps[domain1]: light green, owner domain0, changes 1")
  }

  @Test("a name that the scope does not have is a clear error")
  func names() throws {
    #expect {
      try StateLayout(try Awkward().trace(), scope: Scope(name: "one", counts: ["Domain": 1]))
    } throws: {
      "\($0)" == "Awkward names domain1, and Domain has 1 values at scope one"
    }
    #expect {
      try StateLayout(try Awkward().trace(), scope: Scope(name: "odd", counts: ["Slot": 3]))
    } throws: {
      "\($0)" == "Slot: a word has 2ⁿ values, and scope odd says 3"
    }
  }
}
