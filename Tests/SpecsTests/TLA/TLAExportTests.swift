// SPDX-License-Identifier: Apache-2.0

import Checker
import Foundation
import Logic
import Specs
import Testing

/// What was exported of a machine, beside the specification's own evaluator.
private struct Comparison {
  let layout: StateLayout
  let interpreter: Interpreter
  let simulator: Simulator
  let evaluator: TLAEvaluator
  let explorer: Explorer

  /// - Parameter tampering: what is done to the text first.
  init(_ subject: Subject, _ scope: Scope, tampering: (String) -> String = { $0 }) throws {
    let specification = try subject.make().trace()
    layout = try StateLayout(specification, scope: scope)
    interpreter = Interpreter(layout)
    simulator = Simulator(try ProgramSet(specification, scope: scope))
    evaluator = TLAEvaluator(
      try TLAModuleText(tampering(try TLAModule(specification, scope: scope).text)))
    var options = ExplorationOptions()
    options.maximumStates = 50_000
    options.usesSymmetry = false
    explorer = try Explorer(specification, scope: scope, options: options)
    _ = explorer.run()
  }

  var specification: Specification { layout.specification }

  /// A state as TLA+ has it: variables in their order.
  func translated(_ state: [UInt64]) -> [TLAValue] {
    layout.places.indices.compactMap { translated($0, state) }
  }

  /// A component as TLA+ has it; nil if it has none.
  private func translated(_ index: Int, _ state: [UInt64]) -> TLAValue? {
    guard let place = layout.places[index] else { return nil }
    let component = specification.components[index]
    if component.keys.isEmpty { return value(state[place.base], component.sort) }
    var table: [TLAValue: TLAValue] = [:]
    for offset in 0..<place.count {
      let keys = zip(zip(place.keyCounts, place.strides), component.keys).map { size, sort in
        value(UInt64(offset / size.1 % size.0), sort)
      }
      table[keys.count == 1 ? keys[0] : .tuple(keys)] = value(state[place.base + offset], component.sort)
    }
    return .function(table)
  }

  private func value(_ value: UInt64, _ sort: Sort) -> TLAValue {
    switch sort.kind {
    case .bit: .bool(value != 0)
    case .word, .identity: .number(Int(value))
    case .choice(let cases): .string(cases[Int(value)])
    }
  }

  /// The actions that can be taken at the scope, in the order of `Next`.
  var actions: [Int] {
    specification.actions.indices.filter { !layout.scope.excluded.contains(specification.actions[$0].name) }
  }

  /// What each step of an action changes: variables by their position among those that TLA+ has.
  private func changes(from state: [UInt64], by action: Int) -> Set<[Int: TLAValue]> {
    let present = layout.places.indices.filter { layout.places[$0] != nil }
    return Set(
      instances(of: action).compactMap { arguments in
        let outcome = interpreter.step(specification.actions[action], arguments, in: state)
        guard let after = outcome?.state else { return nil }
        var changes: [Int: TLAValue] = [:]
        for (position, index) in present.enumerated() {
          guard let place = layout.places[index] else { continue }
          let registers = place.base..<place.base + place.count
          if state[registers] != after[registers] { changes[position] = translated(index, after) }
        }
        return changes
      })
  }

  private func instances(of action: Int) -> [[UInt64]] {
    layout.scope.arguments(of: specification.actions[action])
  }

  /// A few states that an exploration finds in which an action is possible; none if it is rare.
  func states(with action: Int, count: Int, _ generator: inout some RandomNumberGenerator) -> [[UInt64]] {
    let instances = instances(of: action)
    var found: [[UInt64]] = []
    for _ in 0..<1000 where found.count < count {
      let state = explorer.state(Int.random(in: 0..<explorer.stateCount, using: &generator))
      guard simulator.load(state) else { continue }
      if instances.contains(where: { simulator.run(action, $0) }) { found.append(state) }
    }
    return found
  }

  /// Whether both lead to the same states by an action.
  func agree(at state: [UInt64], by action: Int) throws -> Bool {
    guard let part = actions.firstIndex(of: action) else { return false }
    return changes(from: state, by: action) == (try evaluator.successors(of: translated(state), by: part))
  }

  /// Any values: invariants are to fail here and there.
  func arbitrary(_ generator: inout some RandomNumberGenerator) -> [UInt64] {
    var state = layout.initialRegisters
    for place in layout.places.compactMap({ $0 }) {
      for register in place.base..<place.base + place.count where Bool.random(using: &generator) {
        state[register] = UInt64.random(in: 0...place.largest, using: &generator)
      }
    }
    return state
  }

  /// The claims, in the module's order after `Next`, with what the specification says of a state.
  func claims(in state: [UInt64]) -> [(name: String, holds: Bool)] {
    let invariants = specification.invariants.filter { $0.reading != .proofOnly }
    let truths =
      invariants.map { interpreter.counterexample(to: $0, in: state) == nil }
      + specification.witnesses.map { interpreter.holds($0, in: state) }
    let names = evaluator.module.order.map { evaluator.module.names[$0] }
    let after = names.drop { $0 != "Next" }.dropFirst().filter { !$0.hasPrefix("NeverSometimes") }
    return Array(zip(after, truths)).map { ($0.0, $0.1) }
  }
}

@Suite("Exported TLA+") struct TLAExportTests {
  @Test(
    "leads by each action to the same states, where it is possible, and judges states alike",
    arguments: subjects.map(\.name))
  func sameMeaning(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    var generator = Seeded(seed: 20_261_127)
    var compared: Set<Int> = []
    for scope in subject.scopes {
      let comparison = try Comparison(subject, scope)
      let first = comparison.translated(comparison.explorer.state(0))
      #expect(try comparison.evaluator.holds("Init", in: first))
      // Each action at the first scope at which it is possible: they have the same text at all.
      for action in comparison.actions where !compared.contains(action) {
        for state in comparison.states(with: action, count: 2, &generator) {
          compared.insert(action)
          #expect(
            try comparison.agree(at: state, by: action), "\(comparison.specification.actions[action].name)")
          #expect(try comparison.evaluator.holds("TypeOK", in: comparison.translated(state)))
        }
      }
      for _ in 0..<3 {
        let state = comparison.arbitrary(&generator)
        let translated = comparison.translated(state)
        for claim in comparison.claims(in: state) {
          #expect(try comparison.evaluator.holds(claim.name, in: translated) == claim.holds, "\(claim.name)")
        }
      }
    }
    #expect(compared.count == (try subject.make().trace().actions.count), "an action was not compared")
  }

  @Test(
    "with one thing changed leads elsewhere",
    arguments: [(" + ", " - "), ("(IF (", "(IF ~("), ("  /\\ (", "  /\\ ~(")])
  func tampered(from: String, to: String) throws {
    let subject = try #require(subjects.first { $0.name == "Ring" })
    var generator = Seeded(seed: 1)
    func tamper(_ text: String) -> String {
      guard let start = text.range(of: "Init ==") else { return text }
      return String(text[..<start.upperBound] + text[start.upperBound...].replacing(from, with: to))
    }
    var differs = false
    do {
      let comparison = try Comparison(subject, subject.scopes[0], tampering: tamper)
      for action in comparison.actions where !differs {
        for state in comparison.states(with: action, count: 2, &generator) where !differs {
          differs = try !comparison.agree(at: state, by: action)
        }
      }
    } catch is TLAError { differs = true }
    #expect(differs)
  }

  @Test("is refused where TLC could not count so far") func tooLarge() throws {
    let subject = try #require(subjects.first)
    #expect(throws: SpecificationError.self) {
      _ = try TLAModule(try subject.make().trace(), scope: .real)
    }
  }
}

/// The same numbers in every run.
private struct Seeded: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
