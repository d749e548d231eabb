// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Specs
import Testing

/// Balloon and SelfBalloon are explored here; they are not among the subjects until their proofs close.
@Suite("Balloon specification") struct BalloonTests {
  private static let subjects: [String: Subject] = [
    "Balloon": balloonSubject, "SelfBalloon": selfBalloonSubject,
  ]

  @Test(
    "has exactly the states it had, and no rule is broken in any",
    arguments: [
      ("Balloon", 0, 49516, 2_143_328), ("Balloon", 1, 5164, 178_376), ("SelfBalloon", 0, 116_362, 2_953_404),
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
}
