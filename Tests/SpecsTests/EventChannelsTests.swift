// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Specs
import Testing

@Suite("Event channels specification") struct EventChannelsTests {
  @Test("it traces, and every rule names what enforces it") func traces() throws {
    let specification = try EventChannels().trace()
    #expect(specification.actions.count == 36)
    #expect(specification.rules.map(\.number) == (1...11).map { "R\($0)" })
  }

  @Test("every wake-up comes in the end, under weak fairness") func liveness() throws {
    let specification = try EventChannels().trace()
    let results = try LivenessCheck(specification, scope: eventChannelsSubject.livenessScope).results()
    #expect(results.count == 5)
    for result in results { #expect(result.holds, "\(result.name): \(result.reason ?? "")") }
  }

  @Test(
    "bugs that lose a wake-up are seen as runs that never come to it",
    arguments: ["XSA-358", "XSA-343", "masked kick", "up-call first"])
  func lostWakeUps(name: String) throws {
    let mutant = try #require(eventChannelsSubject.mutants.first { $0.name == name })
    let results = try LivenessCheck(
      try mutant.make().trace(), scope: eventChannelsSubject.livenessScope
    ).results()
    #expect(results.contains { $0.counterexample?.violation.kind == .liveness })
  }
}
