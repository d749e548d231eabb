// SPDX-License-Identifier: Apache-2.0

import Conformance
import Testing

/// Counts at the smaller scopes: `lockstep conform`, which `.ci/run` runs too, does all.
@Suite("Exhaustive conformance") struct ExhaustiveTests {
  @Test("of byte streams: every state, every step")
  func streams() {
    for (hostile, readerStates, writerStates) in [(true, 608, 928), (false, 2201, 2201)] {
      let reader = StreamExploration(OptimisedStreamReader.self, size: 2, hostile: hostile).run()
      let writer = StreamExploration(OptimisedStreamWriter.self, size: 2, hostile: hostile).run()
      for (report, states) in [(reader, readerStates), (writer, writerStates)] {
        #expect(report.holds, "\(report)")
        #expect(report.states == states && report.reachable == states, "\(report)")
      }
    }
  }

  @Test("of event channels: every state between operations, every operation")
  func eventChannels() {
    // By scope, but for the largest: states between operations, all states, operations made.
    let expected = [(2081, 18113, 79078), (3061, 13189, 104_074)]
    for (scope, counts) in zip(EventsExplorationScope.all.dropFirst(), expected) {
      let report = EventsExploration(scope).run()
      #expect(report.holds, "\(report)")
      #expect(report.states == counts.0 && report.reachable == counts.1, "\(report)")
      #expect(report.transitions == counts.2, "\(report)")
    }
  }

  @Test("of the front end of rings of one slot: every state, every step")
  func rings() {
    let front = RingExploration(OptimisedFrontSide.self, slots: 1, hostile: true).run(countsReachable: false)
    #expect(front.holds && front.states == 29_184, "\(front)")
  }

  @Test("of a dirty log: every state, every access")
  func dirtyLog() {
    // By scope, the first: states that the log is driven to, all states, transitions.
    let expected = [(14178, 61810, 345_509)]
    for (scope, counts) in zip(DirtyLogExplorationScope.all, expected) {
      let report = DirtyLogExploration(TappedDirtyLog.self, scope).run()
      #expect(report.holds, "\(report)")
      #expect(report.states == counts.0 && report.reachable == counts.1, "\(report)")
      #expect(report.transitions == counts.2, "\(report)")
    }
  }
}
