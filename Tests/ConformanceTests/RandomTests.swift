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

  @Test("a session keeps its runner for as many sequences as there are")
  func lasts() {
    let session = TrialSession(Trial("idle") { _ in TrialOutcome() })
    // Were the runner wrapped once more by every sequence, the last ones would overflow the stack.
    for _ in 0..<200_000 { _ = session.run([]) }
    #expect(session.run([]).divergence == nil)
  }

  private static let lasting = Trial.grantTables + Trial.eventPorts + Trial.shadows

  @Test("machines that stay begin anew with every sequence", arguments: Self.lasting.indices)
  func beginsAnew(index: Int) {
    // Long enough for many sequences that leave frames mapped, and ports open.
    let report = RandomDriver(Self.lasting[index], seed: 1, length: 256).run(operations: 5000)
    #expect(report.sequences > 10)
    #expect(report.failure == nil, "\(report.failure.map { "\($0.divergence)" } ?? "")")
  }
}
