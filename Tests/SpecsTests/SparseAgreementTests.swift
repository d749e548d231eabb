// SPDX-License-Identifier: Apache-2.0

import Logic
import Specs
import Testing

@Suite("The sparse evaluator") struct SparseAgreementTests {
  @Test(
    "takes the actions that the fast one takes, of every machine that it can evaluate",
    arguments: subjects.map(\.name))
  func actions(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    var random = SystemRandomNumberGenerator()
    for specification in try [subject.make().trace()]
      + subject.mutants.prefix(2).map({ try $0.make().trace() })
    {
      for scope in subject.scopes.prefix(2) {
        // Loops of the fast one are narrowed by the same searches, and so compared with what is written out.
        let fast = Simulator(try ProgramSet(specification, scope: scope))
        let looped = Simulator(try ProgramSet(specification, scope: scope, unrollLimit: 1))
        let sparse = SparseSimulator(try SparsePrograms(specification, scope: scope))
        for round in 0..<32 {
          try load(round, fast, sparse, &random)
          try #require(looped.load(fast.state))
          for (action, declared) in specification.actions.enumerated() {
            let arguments = declared.parameters.map {
              UInt64.random(in: 0...(scope.count(of: $0.sort) &- 1), using: &random)
            }
            let isPossible = fast.run(action, arguments)
            #expect(sparse.run(action, arguments) == isPossible, "\(declared.name)")
            #expect(looped.run(action, arguments) == isPossible, "\(declared.name)")
            guard isPossible else { continue }
            #expect(sparse.results == fast.results, "\(declared.name)")
            fast.commit()
            sparse.commit()
            looped.commit()
            #expect(looped.state == fast.state, "\(declared.name)")
            try #require(state(sparse, fast.layout) == fast.state, "\(declared.name)")
          }
        }
      }
    }
  }

  /// Puts both in one state: of the rounds some are nearly empty, so that guards over all keys hold, too.
  private func load(
    _ round: Int, _ fast: Simulator, _ sparse: SparseSimulator, _ random: inout some RandomNumberGenerator
  ) throws {
    fast.reset()
    var registers = fast.state
    for place in fast.layout.places.compactMap({ $0 }) {
      for register in place.base..<place.base + place.count
      where Int.random(in: 0...3, using: &random) <= round % 4 {
        registers[register] = UInt64.random(in: 0...place.largest, using: &random)
      }
    }
    try #require(fast.load(registers))
    for register in registers.indices {
      let (component, keys) = fast.layout.owner(of: register)
      #expect(sparse.set(component, keys, to: registers[register]))
    }
  }

  private func state(_ sparse: SparseSimulator, _ layout: StateLayout) -> [UInt64] {
    (0..<layout.count).map { register in
      let (component, keys) = layout.owner(of: register)
      return sparse[component, sparse.pack(component, keys)]
    }
  }
}
