// SPDX-License-Identifier: Apache-2.0

import Conformance
import Testing

@Suite("Random conformance") struct RandomTests {
  @Test("the optimised machines do what the specifications say", arguments: 0..<Trial.all.count)
  func agrees(index: Int) {
    let report = RandomDriver(Trial.all[index], seed: 7).run(operations: 2000)
    #expect(report.operations >= 2000)
    #expect(report.failure == nil, "\(report.failure.map { "\($0.divergence)" } ?? "")")
  }

  @Test("a trial that diverges is found and shrunk to what matters")
  func shrinks() {
    // Diverges where a sequence has a 7 somewhere after a 3.
    let trial = Trial("planted") { bytes in
      var outcome = TrialOutcome()
      outcome.operations = bytes.count
      if let first = bytes.firstIndex(of: 3), bytes[first...].contains(7) {
        outcome.divergence = Divergence(machine: "planted", step: "7", reason: "a 7 after a 3")
      }
      return outcome
    }
    let failure = RandomDriver(trial, seed: 1).run(operations: 1_000_000).failure
    #expect(failure?.bytes == [3, 7])
  }
}
