// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Specs
import Testing

/// What exploration finds of each machine at its everyday scope. A change of a specification changes these; a change
/// of an engine must not.
private let pinned: [String: [(states: Int, transitions: Int, depth: Int)]] = [
  "Ring": [(1_288_202, 8_944_439, 137)],
  "Stream": [(5199, 21173, 60)],
  "EventChannels": [
    (44245, 646_054, 29), (113_859, 2_744_020, 24), (135_745, 1_345_333, 46), (53865, 394_692, 38),
    (403, 6733, 16),
  ],
  "Shadow": [
    (103_262, 998_758, 42), (5688, 72654, 19), (5515, 67882, 20), (3045, 60609, 12), (2010, 26889, 19),
    (10285, 273_909, 26), (832, 4368, 16),
  ],
  "Balloon": [(49412, 2_125_668, 17), (5164, 178_376, 19), (392, 8716, 9), (234, 6256, 9)],
  "SelfBalloon": [(39524, 728_104, 13)],
  "DirtyLog": [(49107, 615_993, 30), (197_212, 1_725_013, 40), (11798, 108_258, 26)],
  "Isolation": [(75160, 1_349_114, 27), (8537, 145_576, 24)],
  "Grants": [(68356, 5_707_696, 14), (2876, 251_516, 13)],
]

@Suite("Every machine") struct EngineTests {
  @Test(
    "has exactly the states it had, whether what is redundant is left out or not, and no rule is broken in any",
    arguments: subjects.map(\.name))
  func pinnedCounts(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    let expected = try #require(pinned[name])
    #expect(subject.scopes.count == expected.count)
    var all = ExplorationOptions()
    all.leavesOutRedundant = false
    for (number, scope) in subject.scopes.enumerated() where number < expected.count {
      let specification = try subject.make().trace()
      let some = try Explorer(specification, scope: scope)
      let every = try Explorer(specification, scope: scope, options: all)
      let (fewer, found) = (some.run(), every.run())
      #expect(
        number == 0 ? fewer.holds : fewer.isComplete,
        "\(fewer.counterexample?.description ?? "a witness is not reached")")
      for exploration in [fewer, found] {
        #expect(exploration.states == expected[number].states)
        #expect(exploration.transitions == expected[number].transitions)
        #expect(exploration.depth == expected[number].depth)
      }
      #expect(fewer.deadlocks == found.deadlocks)
      #expect(fewer.witnesses.map(\.isReached) == found.witnesses.map(\.isReached))
      #expect(fewer.taken < found.taken)
      if found.states < 100_000 {
        let states = Set((0..<every.stateCount).map(every.state))
        #expect(Set((0..<some.stateCount).map(some.state)) == states)
      }
    }
  }

  @Test(
    "has its bugs at the same depth whether what is redundant is left out or not",
    arguments: subjects.map(\.name))
  func redundancy(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    var all = ExplorationOptions()
    all.leavesOutRedundant = false
    for mutant in subject.mutants {
      let specification = try mutant.make().trace()
      let fewer = try Explorer(specification, scope: subject.scopes[0]).run()
      let found = try Explorer(specification, scope: subject.scopes[0], options: all).run()
      #expect(fewer.counterexample?.steps.count == found.counterexample?.steps.count, "\(mutant.name)")
    }
  }

  /// Two of them: `lockstep verify` does all, and this is that it can be done from a test.
  @Test(
    "is proved at real size by both solvers, and the canary is found", arguments: ["Stream", "DirtyLog"])
  func verified(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    var verifier = Verifier()
    verifier.second = try SecondSolver()
    let verification = try #require(try verifier.verify([subject]).first).verification
    #expect(verification.holds)
    #expect(verification.canaryFound)
    #expect(verification.unconfirmed == 0)
    for theorem in verification.theorems where theorem.method == .exploration {
      #expect(theorem.obligations == 0, "\(theorem.invariant) has obligations that are not proved")
    }
  }

  @Test("refutes by induction each mutant that exploration refutes", arguments: subjects.map(\.name))
  func enginesAgree(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    var options = InductionOptions()
    // A claim that can be proved takes milliseconds.
    options.timeout = 500
    for mutant in subject.mutants {
      let specification = try mutant.make().trace()
      let problem = InductiveProblem(specification)
      let prover = Prover(problem, options: options)
      let claims = try brokenClaims(problem, subject.scopes) ?? problem.claims
      #expect(prover.firstUnproved(claims) != nil, "\(mutant.name) is proved, and is a bug")
    }
  }

  /// What the last step of exploration's shortest counterexample shows to be false: every state before it satisfies
  /// all invariants, so that no proof of these claims may close. Nil where exploration finds no broken invariant, or
  /// one that induction leaves to it.
  private func brokenClaims(_ problem: InductiveProblem, _ scopes: [Scope]) throws -> [Claim]? {
    let specification = problem.specification
    for scope in scopes {
      guard
        let found = try Explorer(specification, scope: scope, options: Self.near).run().counterexample,
        found.violation.kind == .invariant
      else { continue }
      let last = specification.actions.firstIndex { $0.name == found.steps.last?.action }
      let claims = problem.claims.filter {
        specification.invariants[$0.invariant].name == found.violation.name
          && $0.actions == (last.map { [$0] } ?? [])
      }
      return claims.isEmpty ? nil : claims
    }
    return nil
  }

  /// Bugs that lie deeper are left to `lockstep mutants`.
  private static var near: ExplorationOptions {
    var options = ExplorationOptions()
    options.maximumStates = 50_000
    return options
  }

  /// Steps up to which runs are examined by the solver here, for a bug that is there and for one that is not: more takes
  /// minutes.
  private static let (depth, vainDepth) = (4, 2)

  @Test(
    "has no short run that breaks a rule; its mutants have those that exploration finds",
    arguments: subjects.map(\.name))
  func boundedAgrees(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    let scope = subject.scopes[0]
    var options = BoundedOptions()
    options.depth = Self.vainDepth
    let original = try BoundedChecker(try subject.make().trace(), scope: scope, options: options).run()
    #expect(original.depth == Self.vainDepth && original.counterexample == nil, "\(original.outcome)")
    for mutant in subject.mutants {
      let specification = try mutant.make().trace()
      var limits = ExplorationOptions()
      limits.maximumDepth = Self.depth
      let explored = try Explorer(specification, scope: scope, options: limits).run().counterexample
      options.depth = explored == nil ? Self.vainDepth : Self.depth
      let bounded = try BoundedChecker(specification, scope: scope, options: options).run()
      if case .unknown(let reason) = bounded.outcome { Issue.record("\(mutant.name): \(reason)") }
      #expect(bounded.counterexample?.steps.count == explored?.steps.count, "\(mutant.name)")
    }
  }
}
