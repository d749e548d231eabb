// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Specs
import Testing

@Suite("Machine code") struct NativeAgreementTests {
  @Test(
    "takes the actions that the interpreter takes, of every machine and mutant",
    arguments: subjects.map(\.name))
  func actions(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    var random = SystemRandomNumberGenerator()
    for specification in try [subject.make().trace()] + subject.mutants.map({ try $0.make().trace() }) {
      for (scope, unrollLimit) in [(Scope.small, 64), (subject.scopes[0], 1)] {
        let native = Simulator(try ProgramSet(specification, scope: scope, unrollLimit: unrollLimit))
        let interpreted = Simulator(
          try ProgramSet(specification, scope: scope, unrollLimit: unrollLimit, isNative: false))
        for _ in 0..<300 {
          let state = randomState(native.layout, &random)
          try #require(native.load(state) && interpreted.load(state))
          for (action, declared) in specification.actions.enumerated() {
            let arguments = declared.parameters.map {
              UInt64.random(in: 0...(scope.count(of: $0.sort) &- 1), using: &random)
            }
            let isPossible = native.run(action, arguments)
            #expect(interpreted.run(action, arguments) == isPossible, "\(declared.name)")
            #expect(native.results == interpreted.results, "\(declared.name)")
            native.commit()
            interpreted.commit()
            #expect(native.state == interpreted.state, "\(declared.name)")
          }
        }
      }
    }
  }

  private func randomState(_ layout: StateLayout, _ random: inout some RandomNumberGenerator) -> [UInt64] {
    layout.places.compactMap { $0 }.flatMap { place in
      (0..<place.count).map { _ in UInt64.random(in: 0...place.largest, using: &random) }
    }
  }

  @Test("explores as the interpreter does, in the same order", arguments: ["Stream", "Grants"])
  func exploration(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    var options = ExplorationOptions()
    options.isNative = false
    let specification = try subject.make().trace()
    let native = try Explorer(specification, scope: subject.scopes[0])
    let interpreted = try Explorer(specification, scope: subject.scopes[0], options: options)
    let (first, second) = (native.run(), interpreted.run())
    #expect(first.transitions == second.transitions)
    #expect(first.taken == second.taken)
    #expect(first.states == second.states)
    for number in 0..<min(native.stateCount, interpreted.stateCount) {
      #expect(native.state(number) == interpreted.state(number))
    }
  }
}
