// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Specs
import Testing

/// Balloon is explored here; it is not among the subjects until the proofs of its sums close.
@Suite("Balloon specification") struct BalloonTests {
  private static let subjects: [String: Subject] = [
    "Balloon": balloonSubject
  ]

  @Test(
    "has exactly the states it had, and no rule is broken in any",
    arguments: [
      ("Balloon", 0, 49412, 2_125_668), ("Balloon", 1, 5164, 178_376),
    ])
  func pinnedCounts(name: String, scope: Int, states: Int, transitions: Int) throws {
    let subject = try #require(Self.subjects[name])
    let found = try Explorer(try subject.make().trace(), scope: subject.scopes[scope]).run()
    #expect(
      scope == 0 ? found.holds : found.isComplete,
      "\(found.counterexample?.description ?? "a witness is not reached")")
    #expect(found.states == states)
    #expect(found.transitions == transitions)
  }

  @Test("breaks a rule with each bug that was real", arguments: balloonSubject.mutants.map(\.name))
  func mutants(name: String) throws {
    let mutant = try #require(balloonSubject.mutants.first { $0.name == name })
    let found = try balloonSubject.scopes.lazy.compactMap { scope in
      try Explorer(try mutant.make().trace(), scope: scope).run().counterexample
    }.first
    #expect(found != nil, "\(name) breaks no rule")
  }
}
