// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

@Suite("A walk by hand") struct WalkTests {
  private func walk(_ machine: Machine = Bakery()) throws -> Walk {
    try Walk(try machine.trace(), scope: .small)
  }

  @Test("shows the beginning: the state, what is possible there, and that all holds") func beginning() throws
  {
    let view = try walk().view(of: Walk.Path())
    #expect(view.trail.isEmpty)
    #expect(view.possible.map(\.call) == (0..<3).map { "draw(actor: actor\($0))" })
    #expect(view.state.first { $0.name == "places[actor0]" }?.value == "phase idle, ticket 0")
    #expect(view.state.allSatisfy { !$0.isChanged })
    #expect(view.claims.count { $0.isInvariant } == 3)
    #expect(view.claims.allSatisfy { $0.holds == $0.isInvariant })
  }

  @Test("shows what a step changes and answers, before it is taken and after") func step() throws {
    let walk = try walk()
    var path = Walk.Path(steps: [Walk.Step("draw", [1])])
    let before = try walk.view(of: path)
    let next = try #require(before.possible.first { $0.step == Walk.Step("enter", [1]) })
    #expect(next.call == "enter(actor: actor1) = inside")
    #expect(next.changes == ["places[actor1]: phase waiting → inside"])
    path.steps.append(next.step)
    let after = try walk.view(of: path)
    #expect(after.trail.last == next)
    #expect(after.state.filter(\.isChanged).map(\.name) == ["places[actor1]"])
    #expect(after.state.first { $0.name == "places[actor1]" }?.value == "phase inside, ticket 0")
  }

  @Test("says which invariant does not hold, and for what") func violation() throws {
    let steps = [
      Walk.Step("draw", [0]), Walk.Step("draw", [1]), Walk.Step("enter", [0]), Walk.Step("enter", [1]),
    ]
    let view = try walk(OpenBakery()).view(of: Walk.Path(steps: steps))
    let claim = try #require(view.claims.first { !$0.holds && $0.isInvariant })
    #expect(claim.name == "one at a time" && claim.rule == "R1")
    #expect(claim.indices == "x0 = actor0, x1 = actor1")
  }

  @Test("reaches by its steps just the states that an exploration finds") func reaches() throws {
    let walk = try walk()
    var found: Set<[String]> = []
    var waiting = [Walk.Path()]
    while let path = waiting.popLast() {
      let view = try walk.view(of: path)
      let state = view.state.map { "\($0.name): \($0.value)" }
      guard found.insert(state).inserted else { continue }
      waiting += view.possible.map { Walk.Path(steps: path.steps + [$0.step]) }
    }
    var options = ExplorationOptions()
    options.usesSymmetry = false
    #expect(found.count == (try Explorer(try Bakery().trace(), scope: .small, options: options).run()).states)
  }

  @Test("begins in each initial state that the assumptions allow") func starts() throws {
    let walk = try walk(Tangle())
    // Two limits; nobody or one of three is blessed.
    #expect(walk.startCount == 8)
    let states = try (0..<8).map { try walk.view(of: Walk.Path(start: $0)).state }
    #expect(Set(states).count == 8)
    #expect(throws: WalkError.self) { try walk.view(of: Walk.Path(start: 8)) }
    #expect(throws: WalkError.self) { try walk.view(of: Walk.Path(start: -1)) }
  }

  @Test("refuses steps that are not possible, not of the machine, or too many") func refuses() throws {
    let walk = try walk()
    for step in [
      Walk.Step("enter", [0]), Walk.Step("draw", [3]), Walk.Step("draw", []), Walk.Step("sleep", []),
      Walk.Step("draw", [.max]),
    ] {
      #expect(throws: WalkError.self, "\(step)") { try walk.view(of: Walk.Path(steps: [step])) }
    }
    let many = [Walk.Step](repeating: Walk.Step("draw", [0]), count: Walk.longest + 1)
    #expect(throws: WalkError("a path has at most 2000 steps, and this one 2001")) {
      try walk.view(of: Walk.Path(steps: many))
    }
  }

  @Test("as text is read as the same path, from every initial state") func text() throws {
    let walk = try walk(Tangle())
    for start in 0..<walk.startCount {
      var path = Walk.Path(start: start)
      for _ in 0..<3 {
        let view = try walk.view(of: path)
        #expect(try walk.path(from: view.text) == path)
        path.steps.append(try #require(view.possible.last).step)
      }
    }
  }

  @Test("reads what an exploration prints as a counterexample") func counterexample() throws {
    let specification = try OpenBakery().trace()
    let found = try #require(try Explorer(specification, scope: .small).run().counterexample)
    let walk = try Walk(specification, scope: .small)
    let path = try walk.path(from: "\(found)")
    #expect(path.steps.map(\.action) == found.steps.map(\.action))
    #expect(try walk.view(of: path).claims.contains { $0.isInvariant && !$0.holds })
  }

  @Test("reads calls alone, by name or number, and says of a line that it cannot read why") func calls()
    throws
  {
    let walk = try walk()
    let path = try walk.path(from: "draw(2)\nenter(actor: actor2) = inside\n")
    #expect(path == Walk.Path(steps: [Walk.Step("draw", [2]), Walk.Step("enter", [2])]))
    #expect(throws: WalkError("Bakery has no action sleep")) { try walk.path(from: "sleep(1)") }
    #expect(throws: WalkError("draw: actor7 is no value of actor")) { try walk.path(from: "draw(actor7)") }
    #expect(throws: WalkError("draw takes 1 arguments: draw()")) { try walk.path(from: "draw()") }
    #expect(throws: WalkError.self) { try walk.path(from: "0  initially\n   next: 3\n1  draw(0)") }
    #expect(throws: WalkError.self) { try walk.path(from: String(repeating: "x", count: 1 << 20 + 1)) }
  }
}
