// SPDX-License-Identifier: Apache-2.0

import Logic
import Specs

/// Actions a second that a specification takes, the way in which the oracle of conformance has it take them:
/// arguments set, guards and results worked out, changes made.
let specificationBenchmarks = [
  actions("Ring", counts: ["Index": 1 << 8]),
  actions(
    "Grants",
    counts: ["Domain": 2, "Reference": 2, "Handle": 2, "Frame": 4, "PinCount": 1 << 7, "UseCount": 1 << 12]),
]

private func actions(_ machine: String, counts: [String: UInt64]) -> Benchmark {
  Benchmark(
    name: "actions/\(machine)",
    what: "possible actions taken by the specification, recorded random walks over all",
    unit: "actions/s", required: 5_000_000
  ) {
    let specification = try chosenSubjects([machine])[0].specification(mutant: nil)
    let programs = try ProgramSet(specification, scope: Scope(name: "bench", counts: counts))
    let walks = try RandomWalks(programs, steps: 100_000, seed: 1)
    return try bestRate { try walks.replay(times: 10) }
  }
}

/// Sequences of actions, each possible where it stands, drawn at random beforehand so that replaying them spends its
/// time on the specification alone.
struct RandomWalks {
  /// Steps after which a walk ends, before it comes to where little is possible.
  private static let length = 256

  private struct Walk {
    let beginning: [UInt64]
    var stepCount = 0
  }

  private let simulator: Simulator
  private var walks: [Walk] = []
  private var actions: [Int] = []
  /// Arguments of all steps, one after another.
  private var arguments: [UInt64] = []
  private let argumentCounts: [Int]
  private var choices: Choices

  /// - Throws: if an action of the specification is never possible.
  init(_ programs: ProgramSet, steps: Int, seed: UInt64) throws {
    simulator = Simulator(programs)
    choices = Choices(state: seed)
    let specification = programs.layout.specification
    argumentCounts = specification.actions.map(\.parameters.count)
    while actions.count < steps {
      walks.append(Walk(beginning: try begin()))
      // Some draws are of actions that are not possible; where none is, the walk ends.
      for _ in 0..<2 * Self.length where walks[walks.count - 1].stepCount < Self.length { step() }
    }
    for (index, action) in specification.actions.enumerated() where !actions.contains(index) {
      throw CouldNotRun("\(specification.name): no step of the walks is of \(action.name)")
    }
  }

  /// Draws an initial state that satisfies the assumptions.
  private mutating func begin() throws -> [UInt64] {
    let layout = simulator.layout
    let interpreter = Interpreter(layout)
    for _ in 0..<10_000 {
      var state = layout.initialRegisters
      for (component, place) in zip(layout.specification.components, layout.places) {
        guard let place, component.initial == .any else { continue }
        for register in place.base..<place.base + place.count {
          state[register] = choices.next(below: layout.scope.count(of: component.sort))
        }
      }
      let isInitial = layout.specification.assumptions.allSatisfy {
        interpreter.counterexample(to: $0, in: state) == nil
      }
      guard isInitial, simulator.load(state) else { continue }
      return state
    }
    throw CouldNotRun("\(layout.specification.name): no initial state was drawn")
  }

  /// Draws actions evenly. Of an action's arguments some that change the state are preferred, so that the walk is not
  /// one of refusals; every third step takes what comes.
  private mutating func step() {
    let layout = simulator.layout
    let action = Int(choices.next(below: UInt64(layout.specification.actions.count)))
    let counts = layout.specification.actions[action].parameters.map { layout.scope.count(of: $0.sort) }
    var found: [UInt64]?
    for _ in 0..<16 {
      let tuple = counts.map { choices.next(below: $0) }
      guard simulator.run(action, tuple) else { continue }
      found = tuple
      if actions.count % 3 == 0 || !simulator.pendingChanges.isEmpty { break }
    }
    guard let found, simulator.run(action, found) else { return }
    simulator.commit()
    actions.append(action)
    arguments += found
    walks[walks.count - 1].stepCount += 1
  }

  /// Takes the walks from their beginnings, again and again.
  /// - Returns: how many actions were taken: every one, or it throws.
  func replay(times: Int) throws -> Int {
    for _ in 0..<times {
      var (step, next) = (0, 0)
      for walk in walks {
        _ = simulator.load(walk.beginning)
        for action in actions[step..<step + walk.stepCount] {
          for argument in 0..<argumentCounts[action] {
            simulator.setArgument(argument, to: arguments[next])
            next += 1
          }
          guard simulator.run(action) else { throw CouldNotRun("a recorded action is not possible any more") }
          simulator.commit()
        }
        step += walk.stepCount
      }
    }
    return times * actions.count
  }

  /// SplitMix64.
  private struct Choices {
    var state: UInt64
    mutating func next(below count: UInt64) -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var value = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
      value ^= value >> 31
      return count == 0 ? value : value % count
    }
  }
}
