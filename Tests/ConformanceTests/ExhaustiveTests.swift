// SPDX-License-Identifier: Apache-2.0

import Conformance
import Testing

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
    // By scope: states between operations, all states, operations made.
    let expected = [(9318, 46894, 503_172), (2081, 18113, 79078), (3061, 13189, 104_074)]
    for (scope, counts) in zip(EventsExplorationScope.all, expected) {
      let report = EventsExploration(scope).run()
      #expect(report.holds, "\(report)")
      #expect(report.states == counts.0 && report.reachable == counts.1, "\(report)")
      #expect(report.transitions == counts.2, "\(report)")
    }
  }

  @Test("of rings of one slot: every state, every step")
  func rings() {
    let back = RingExploration(OptimisedBackSide.self, slots: 1, hostile: true).run(countsReachable: false)
    let front = RingExploration(OptimisedFrontSide.self, slots: 1, hostile: true).run(countsReachable: false)
    #expect(back.holds && back.states == 200_704, "\(back)")
    #expect(front.holds && front.states == 29_184, "\(front)")
  }

  @Test("of a dirty log: every state, every access")
  func dirtyLog() {
    // By scope: states that the log is driven to, all states, transitions.
    let expected = [(14178, 61810, 345_509), (20743, 49107, 506_409)]
    for (scope, counts) in zip(DirtyLogExplorationScope.all, expected) {
      let report = DirtyLogExploration(TappedDirtyLog.self, scope).run()
      #expect(report.holds, "\(report)")
      #expect(report.states == counts.0 && report.reachable == counts.1, "\(report)")
      #expect(report.transitions == counts.2, "\(report)")
    }
  }
}
