// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

/// Exploration as anybody would write it: sets and queues of arrays, actions by the interpreter.
struct PlainExploration: Equatable {
  var states = 0
  var transitions = 0
  var depth = 0
  var deadlocks = 0

  init(_ specification: Specification, _ scope: Scope) throws {
    let layout = try StateLayout(specification, scope: scope)
    let interpreter = Interpreter(layout)
    var level = initialStates(layout).filter { state in
      specification.assumptions.allSatisfy { interpreter.counterexample(to: $0, in: state) == nil }
    }
    var seen = Set(level)
    while !level.isEmpty {
      var next: [[UInt64]] = []
      for state in level {
        var possible = 0
        for action in specification.actions {
          for arguments in tuples(action.parameters.map { scope.count(of: $0.sort) }) {
            guard let outcome = interpreter.step(action, arguments, in: state) else { continue }
            possible += 1
            if seen.insert(outcome.state).inserted { next.append(outcome.state) }
          }
        }
        transitions += possible
        if possible == 0 { deadlocks += 1 }
      }
      level = next
      if !level.isEmpty { depth += 1 }
    }
    states = seen.count
  }

  init(_ exploration: Exploration) {
    states = exploration.states
    transitions = exploration.transitions
    depth = exploration.depth
    deadlocks = exploration.deadlocks
  }
}

func tuples(_ counts: [UInt64]) -> [[UInt64]] {
  counts.reduce([[]]) { tuples, count in tuples.flatMap { tuple in (0..<count).map { tuple + [$0] } } }
}

private func initialStates(_ layout: StateLayout) -> [[UInt64]] {
  var states = [layout.initialRegisters]
  for (component, place) in zip(layout.specification.components, layout.places)
  where component.initial == .any {
    guard let place else { continue }
    for register in place.base..<place.base + place.count {
      states = states.flatMap { state in
        (0...place.largest).map { value in
          var state = state
          state[register] = value
          return state
        }
      }
    }
  }
  return states
}

func explore(
  _ machine: Machine, actors: UInt64 = 3, symmetry: Bool = false, tickets: UInt64 = 8,
  _ change: (inout ExplorationOptions) -> Void = { _ in }
) throws -> Exploration {
  var options = ExplorationOptions()
  options.usesSymmetry = symmetry
  change(&options)
  let scope = Scope(name: "test", counts: ["Actor": actors, "Ticket": tickets])
  return try Explorer(try machine.trace(), scope: scope, options: options).run()
}

@Suite("Exploration") struct ExploreTests {
  @Test("finds exactly the states, transitions and depth that a plain exploration finds")
  func agreesWithPlain() throws {
    for (machine, actors) in [(Bakery(), 2), (Bakery(), 3), (Tangle(), 3), (Tangle(), 2)]
      as [(Machine, UInt64)]
    {
      let specification = try machine.trace()
      let scope = Scope(name: "test", counts: ["Actor": actors, "Ticket": 8])
      let plain = try PlainExploration(specification, scope)
      let found = try explore(machine, actors: actors)
      guard case .complete = found.outcome else {
        Issue.record("\(found.outcome)")
        continue
      }
      #expect(PlainExploration(found) == plain)
    }
  }

  @Test("leaving out what is redundant changes no state, depth or count", arguments: [false, true])
  func redundancy(symmetry: Bool) throws {
    for (machine, actors) in [(Bakery(), 2), (Bakery(), 3), (Tangle(), 3), (Tangle(), 2)]
      as [(Machine, UInt64)]
    {
      let fewer = try explore(machine, actors: actors, symmetry: symmetry)
      let all = try explore(machine, actors: actors, symmetry: symmetry) { $0.leavesOutRedundant = false }
      #expect(PlainExploration(fewer) == PlainExploration(all))
      #expect(fewer.taken <= all.taken)
    }
  }

  @Test("counts are as pinned")
  func pinned() throws {
    let found = try explore(Bakery())
    #expect(found.holds)
    #expect(found.states == 248)
    #expect(found.transitions == 456)
    #expect(found.depth == 25)
  }

  @Test("names that nothing tells apart are exchanged, and verdicts stay")
  func symmetry() throws {
    for actors in [2, 3, 4] as [UInt64] {
      let plain = try explore(Bakery(), actors: actors)
      let reduced = try explore(Bakery(), actors: actors, symmetry: true)
      #expect(reduced.usesSymmetry)
      #expect(reduced.holds && plain.holds)
      #expect(reduced.depth == plain.depth)
      #expect(reduced.states < plain.states)
      // Each orbit has at most n! members.
      #expect(reduced.states * (1...Int(actors)).reduce(1, *) >= plain.states)
    }
    // Tangle's pointer begins at actor 0: only the others can be exchanged.
    let plain = try explore(Tangle(), actors: 4)
    let reduced = try explore(Tangle(), actors: 4, symmetry: true)
    #expect(reduced.states < plain.states && reduced.states * 6 >= plain.states)
    #expect(reduced.deadlocks > 0)
  }

  @Test("the canary, a false invariant, is found", arguments: [false, true])
  func canary(symmetry: Bool) throws {
    let found = try explore(Canary(), symmetry: symmetry)
    let counterexample = try #require(found.counterexample)
    #expect(!found.holds)
    #expect(counterexample.violation.name == "nobody is ever inside")
    #expect(counterexample.steps.map(\.action) == ["draw", "enter"])
    #expect(counterexample.steps.last?.results.map(\.text) == ["inside"])
  }

  @Test("a counterexample is a shortest one, and says what is wrong and where", arguments: [false, true])
  func shortest(symmetry: Bool) throws {
    let counterexample = try #require(try explore(OpenBakery(), symmetry: symmetry).counterexample)
    #expect(counterexample.steps.count == 4)
    #expect(counterexample.violation.rule == "R1")
    let text = "\(counterexample)"
    #expect(text.contains("Bakery at scope test: counterexample, 4 steps"))
    #expect(text.contains("violated: one at a time for x0 = actor"))
    #expect(text.contains("rule: R1 One actor is inside at a time."))
    #expect(text.contains("ExploreMachines.swift:"))
    #expect(text.contains("phase waiting → inside"))
  }

  @Test("a witness that is not reached is no success")
  func witnesses() throws {
    let found = try explore(Tangle())
    #expect(!found.holds)
    #expect(found.witnesses.map(\.isReached) == [false])
    #expect(try explore(Bakery()).witnesses.map(\.isReached) == [true])
  }

  @Test("a deadlock is counted, and is a violation where that is asked for")
  func deadlock() throws {
    #expect(try explore(Tangle()).deadlocks > 0)
    let found = try explore(Tangle()) { $0.forbidsDeadlock = true }
    #expect(found.counterexample?.violation.kind == .deadlock)
    #expect(found.counterexample?.steps.count == 3)
  }

  @Test("the memory bound ends it clearly")
  func memory() throws {
    let found = try explore(Bakery(), actors: 4) { $0.memoryLimit = 34 << 10 }
    guard case .outOfMemory = found.outcome else {
      Issue.record("\(found.outcome)")
      return
    }
    #expect(!found.holds)
    #expect(found.states > 100)
  }

  @Test("a bound on depth stops there")
  func depth() throws {
    let found = try explore(Bakery()) { $0.maximumDepth = 3 }
    #expect(found.depth == 3)
    #expect(found.states < 50)
  }

  @Test("too large a scope is a clear error")
  func tooLarge() throws {
    #expect {
      try Explorer(
        try Tangle().trace(), scope: Scope(name: "wide", counts: ["Actor": 1 << 8, "Ticket": 1 << 16]))
    } throws: {
      "\($0)".contains("too many to explore")
    }
  }
}
