// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Specs
import Testing

@Suite("A sort of one value") struct OneValueTests {
  @Test(
    "is explored within its one value, as the interpreter has it, or is refused in one line",
    arguments: subjects.map(\.name))
  func everySort(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    let specification = try subject.make().trace()
    var explored = 0
    for sort in sorts(of: specification) {
      var counts = subject.scopes[0].counts
      counts[sort.name] = 1
      do {
        try explore(specification, Scope(name: "\(sort.name)=1", counts: counts))
        explored += 1
      } catch let error as SpecificationError {
        #expect(!error.description.contains("\n") && error.description.contains("\(sort.name)"))
        switch sort.kind {
        case .word: Issue.record("\(sort.name): a word of one value is a word: \(error)")
        case .bit, .choice, .identity: break
        }
      }
    }
    #expect(explored > 0)
  }

  private func sorts(of specification: Specification) -> Set<Sort> {
    Set(
      specification.components.flatMap { [$0.sort] + $0.keys }
        + specification.actions.flatMap { $0.parameters.map(\.sort) })
  }

  private func explore(_ specification: Specification, _ scope: Scope) throws {
    var options = ExplorationOptions()
    options.maximumStates = 1000
    let explorer = try Explorer(specification, scope: scope, options: options)
    _ = explorer.run()
    let simulator = Simulator(try ProgramSet(specification, scope: scope))
    let interpreter = Interpreter(simulator.layout)
    for number in stride(from: 0, to: explorer.stateCount, by: max(1, explorer.stateCount / 10)) {
      let state = explorer.state(number)
      try #require(simulator.load(state), "\(scope.name): a value that its sort has not")
      for action in specification.actions.indices {
        for arguments in scope.arguments(of: specification.actions[action]).prefix(30) {
          let outcome = interpreter.step(specification.actions[action], arguments, in: state)
          #expect(simulator.run(action, arguments) == (outcome != nil))
          guard let outcome else { continue }
          #expect(simulator.results == outcome.results)
          simulator.commit()
          #expect(simulator.state == outcome.state, "\(scope.name): \(specification.actions[action].name)")
          #expect(simulator.load(outcome.state), "\(scope.name): a value that its sort has not")
          _ = simulator.load(state)
        }
      }
    }
  }
}
