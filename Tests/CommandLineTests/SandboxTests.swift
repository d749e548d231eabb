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
      "thread", "read", "write", "inet", "unix", "spawn", "code", "signal", "terminal", "ringEntry", "thread")
    let no = Self.refused
    #expect(
      result.output
        == "thread: done\nread: \(no)\nwrite: \(no)\ninet: \(no)\nunix: \(no)\nspawn: \(no)\ncode: \(no)\n"
        + "signal: \(no)\nterminal: \(no)\nringEntry: \(no)\nthread: done\n")
    #expect(result.end == .exited(0) && result.error == "")
  }

  @Test("leaves a guest with user-mode networking IPv4, and files to be read")
  func withNetwork() {
    let result = probe("--network", "read", "write", "inet", "unix", "spawn")
    let no = Self.refused
    #expect(result.output == "read: done\nwrite: \(no)\ninet: done\nunix: \(no)\nspawn: \(no)\n")
  }

  @Test(
    "ends the process that would run a program, in each of its threads, or make an io_uring, and says so",
    arguments: [("exec", "059"), ("execEarlier", "059"), ("ring", "425"), ("ringChange", "427")])
  func intrusion(attempt: String, call: String) {
    let result = probe(attempt)
    #expect(result.end == .exited(128 + SIGSYS))
    #expect(
      result.error
        == "lockstep: stopped: system call \(call) was tried, which no part of lockstep needs: "
        + "somebody may have broken out of the guest\n")
  }

  /// What the system says of a process's threads: Seccomp is 2 for a filter.
  private func confinement(_ process: pid_t) -> Set<String> {
    let lines = Program.run(
      "/bin/sh", ["-c", "grep -hE '^(Seccomp|NoNewPrivs):' /proc/\(process)/task/*/status"])
    return Set(lines.output.split(separator: "\n").map { String($0).replacing("\t", with: " ") })
  }

  @Test(
    "is around all threads of a guest, unless it is left out with a warning", .timeLimit(.minutes(3)),
    .enabled(if: Requirement.hasKVM, "no usable /dev/kvm"),
    .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"))
  func guest() throws {
    let confined = try GuestSession(configuration: "vif = ['']")
    try confined.waitForPrompt()
    #expect(confinement(confined.child.process) == ["NoNewPrivs: 1", "Seccomp: 2"])
    let free = try GuestSession(arguments: ["--no-sandbox"])
    try free.waitForPrompt()
    #expect(confinement(free.child.process) == ["NoNewPrivs: 0", "Seccomp: 0"])
    // In good order, so that their sockets go with them.
    for session in [confined, free] {
      session.child.send(SIGTERM)
      #expect(session.child.wait(seconds: GuestSession.patience) == .killed(SIGTERM))
    }
    #expect(
      free.scratch.read("errors")
        == "lockstep: warning: --no-sandbox: whoever breaks out of the guest may do all that you may\n")
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
