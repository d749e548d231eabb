// SPDX-License-Identifier: Apache-2.0

import Checker
import Foundation
import Logic
import Testing

/// Counts up to a limit: simple enough to be proved.
private final class Counter: Machine {
  @Var var count: Ticket
  func up() {
    require(count < 5)
    count += 1
  }
  override var name: String { "Counter" }
  override var actions: [Action] { [action("up()", up)] }
  override var invariants: [Invariant] { [invariant("ends at the limit") { self.count < 6 }] }
  override var witnesses: [Witness] { [sometimes("is at the limit") { self.count == 5 }] }
}

@Suite("Machines that are proved are remembered whole") struct ProvedFilesTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path

  private func verify(program: String = "/proc/self/exe") throws -> Verifier.Result {
    var verifier = Verifier()
    verifier.proved = ProvedFiles(folder: folder)
    verifier.program = ProgramIdentity(path: program)
    let subject = Subject("Counter", scopes: [.small], mutants: [], make: { Counter() })
    return try #require(try verifier.verify([subject]).first)
  }

  @Test("by the same program alone, and not where the file is damaged") func remembered() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let first = try verify()
    let count = first.obligations.count
    #expect(count > 0 && first.verification.times.remembered == 0)

    let second = try verify()
    #expect(second.verification.times.remembered == count)
    #expect(second.certificate == first.certificate && second.verification.holds)
    #expect(second.obligations.map(\.hash) == first.obligations.map(\.hash))

    #expect(try verify(program: #filePath).verification.times.remembered == 0, "another program")
    #expect(try verify(program: #filePath).verification.times.remembered == count)

    let path = folder + "/Counter.json"
    var data = try #require(FileManager.default.contents(atPath: path))
    data[data.count / 2] ^= 1
    try data.write(to: URL(fileURLWithPath: path))
    #expect(try verify(program: #filePath).verification.times.remembered == 0, "a damaged file")
  }

  @Test("and their questions can be made anew") func anew() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    _ = try verify()
    let problem = InductiveProblem(try Counter().trace())
    for obligation in try verify().obligations {
      let made = problem.question(about: obligation.claim, rounds: obligation.rounds)
      #expect(made.obligation.hash == obligation.hash && ContentHash(of: made.text) == obligation.hash)
    }
  }
}
