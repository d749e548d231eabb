// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@Suite("The sandbox around a guest")
struct SandboxTests {
  private static let refused = "Operation not permitted"

  private func probe(_ arguments: String...) -> Program.Result {
    Program.run(Program.lockstep, ["sandbox-probe"] + arguments)
  }

  @Test("leaves threads, and no files, sockets, processes, code, signals to others, or terminals")
  func withoutNetwork() {
    let result = probe(
      "thread", "read", "write", "inet", "unix", "spawn", "code", "signal", "terminal", "thread")
    let no = Self.refused
    #expect(
      result.output
        == "thread: done\nread: \(no)\nwrite: \(no)\ninet: \(no)\nunix: \(no)\nspawn: \(no)\ncode: \(no)\n"
        + "signal: \(no)\nterminal: \(no)\nthread: done\n")
    #expect(result.end == .exited(0) && result.error == "")
  }

  @Test("leaves a guest with user-mode networking IPv4, and files to be read")
  func withNetwork() {
    let result = probe("--network", "read", "write", "inet", "unix", "spawn")
    let no = Self.refused
    #expect(result.output == "read: done\nwrite: \(no)\ninet: done\nunix: \(no)\nspawn: \(no)\n")
  }

  @Test(
    "ends the process that would run a program, in each of its threads, and says so",
    arguments: ["exec", "execEarlier"])
  func intrusion(attempt: String) {
    let result = probe(attempt)
    #expect(result.end == .exited(128 + SIGSYS))
    #expect(
      result.error
        == "lockstep: stopped: system call 059 was tried, which no part of lockstep needs: "
        + "somebody may have broken out of the guest\n")
  }

  @Test("is what refuses all that: without it, it is done")
  func withoutSandbox() {
    let result = probe("--no-sandbox", "read", "write", "inet", "unix", "spawn", "code", "signal")
    #expect(
      result.output
        == "read: done\nwrite: done\ninet: done\nunix: done\nspawn: done\ncode: done\nsignal: done\n")
    #expect(probe("--no-sandbox", "exec").end == .exited(0))
  }
}
