// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Proofs
import Specs
import Testing

@Suite("Isolation specification") struct IsolationTests {
  @Test("it traces, and every rule names what enforces it") func traces() throws {
    let specification = try Isolation().trace()
    #expect(specification.actions.count == 19)
    #expect(specification.rules.map(\.number) == (1...6).map { "R\($0)" })
  }

  /// Isolation has a step of its own for each of these; a machine with another action that writes what others rely on
  /// would not be the one that was composed.
  @Test(
    "what machines rely on of one another is written by the steps that Isolation has, and by no other",
    arguments: [
      ("Shadow", "reach", ["acquire", "expel", "surrender"]),
      ("Grants", "frames", ["transfer", "assign", "free"]),
      ("Grants", "mappings", ["map", "mapIntoEntry", "unmap"]),
      (
        "Balloon", "frames.owner",
        ["relinquish", "increase", "populate", "decrease", "replace", "surrender"]
      ),
    ])
  func boundary(machine: String, variable: String, writers: [String]) throws {
    let subject = try #require(subjects.first { $0.name == machine })
    let specification = try subject.make().trace()
    let found = specification.actions.filter { action in
      action.next.keys.contains { index in
        let component = specification.components[index]
        return [component.variable, "\(component.variable).\(component.field)"].contains(variable)
      }
    }
    #expect(found.map(\.name) == writers)
  }

  /// Of Shadow's steps, only `fill` gives a processor anything, and that from a shadow; `surrender` gives and takes
  /// nothing. So what Isolation lets a processor use contains what Shadow does.
  @Test("a processor is given translations by fill alone") func fill() throws {
    let specification = try Shadow().trace()
    let writers = specification.actions.filter { action in
      action.next.keys.contains { specification.components[$0].variable == "cached" }
    }
    #expect(writers.map(\.name) == ["fill", "store"])
  }

  @Test("what it relies on is complained of where a machine does not prove it") func reliance() throws {
    let theory = Theory(
      subject: isolationSubject, theorems: [], lemmas: [], relies: [.init(on: "Grants", "all is well")])
    let nothing = Verification(
      machine: "Isolation", explored: [], counterexample: nil, theorems: [], canaryFound: true, solvers: [],
      seconds: 0)
    #expect(theory.complaints(about: nothing).count == 1)
    let own = try #require(theories.first { $0.subject.name == "Isolation" })
    #expect(!own.relies.isEmpty)
    #expect(!own.complaints(about: nothing).contains { $0.hasPrefix("it relies") })
  }

  /// The invariants beside it were written by hand, to make it inductive: a search finds as good ones, at a scope.
  @Test("its first theorem alone is made inductive by what a search finds, and a bug is found out")
  func strengthened() throws {
    func outcome(_ specification: Specification) throws -> Strengthener.Outcome {
      try Strengthener(specification, scope: isolationSubject.scopes[0], invariants: [0]).run()
    }
    guard case .found(let found) = try outcome(try Isolation().trace()) else {
      Issue.record("nothing was found")
      return
    }
    let second = try SecondSolver()
    #expect(!found.never.isEmpty && found.unconfirmed(by: second) == 0)

    let mutant = try #require(isolationSubject.mutants.first { $0.name == "writable" })
    guard case .violated = try outcome(try mutant.make().trace()) else {
      Issue.record("\(mutant.name) is not found out")
      return
    }
  }
}
