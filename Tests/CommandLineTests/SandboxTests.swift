// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@Suite("The sandbox around a guest")
struct SandboxTests {
  private static let refused = "Operation not permitted"
  /// What Landlock says.
  private static let denied = "Permission denied"

  /// Whether the system lets a process have all of it.
  private static let isWhole = Program.run(Program.lockstep, ["sandbox-probe"]).error == ""

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
    #expect(result.end == .exited(0) && (result.error == "" || !Self.isWhole))
  }

  @Test(
    "leaves a guest with user-mode networking IPv4, and of files its host's name servers",
    .enabled(if: isWhole, "this system has no user namespaces or no Landlock"))
  func withNetwork() {
    let scratch = Scratch()
    let result = probe(
      "--file", scratch.write("file", ""), "--network", "read", "resolver", "write", "remove", "inet",
      "datagram", "unix", "spawn")
    let (no, denied) = (Self.refused, Self.denied)
    #expect(
      result.output
        == "read: \(denied)\nresolver: done\nwrite: \(no)\nremove: \(denied)\ninet: done\ndatagram: done\n"
        + "unix: \(no)\nspawn: \(no)\n")
    withExtendedLifetime(scratch) {}
  }

  @Test(
    "has its files guarded by Landlock, and its network by a namespace, whatever the filter of system calls lets through",
    .enabled(if: isWhole, "this system has no user namespaces or no Landlock"))
  func isolation() {
    let scratch = Scratch()
    let attempts = [
      "--file", scratch.write("file", ""), "read", "resolver", "write", "remove", "inet", "datagram",
    ]
    func shown(_ arguments: String...) -> String {
      Program.run(Program.lockstep, ["sandbox-probe"] + arguments + attempts).output
    }
    let (no, denied) = (Self.refused, Self.denied)
    #expect(
      shown("--no-seccomp")
        == "read: \(denied)\nresolver: \(denied)\nwrite: \(denied)\nremove: \(denied)\ninet: done\n"
        + "datagram: Network is unreachable\n")
    // The filter alone.
    #expect(
      shown("--no-isolation", "--network")
        == "read: done\nresolver: done\nwrite: \(no)\nremove: done\ninet: done\ndatagram: done\n")
    withExtendedLifetime(scratch) {}
  }

  /// Each kind of namespace in which all threads of a process are without this one.
  private func ownNamespaces(_ process: pid_t) -> Set<String> {
    let kinds = ["user", "mnt", "ipc", "uts", "cgroup", "net"]
    func links(_ process: String, _ kind: String) -> Set<Substring> {
      let lines = Program.run("/bin/sh", ["-c", "readlink /proc/\(process)/task/*/ns/\(kind)"]).output
      return Set(lines.split(separator: "\n"))
    }
    return Set(kinds.filter { links("\(process)", $0).isDisjoint(with: links("\(getpid())", $0)) })
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
    if Self.isWhole {
      // User-mode networking is the host's.
      #expect(ownNamespaces(confined.child.process) == ["user", "mnt", "ipc", "uts", "cgroup"])
      let status = Program.contents("/proc/\(confined.child.process)/status")
      #expect(status.contains("CapEff:\t0000000000000000\n"))
    }
    let free = try GuestSession(arguments: ["--no-sandbox"])
    try free.waitForPrompt()
    #expect(confinement(free.child.process) == ["NoNewPrivs: 0", "Seccomp: 0"])
    #expect(ownNamespaces(free.child.process) == [])
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
    let scratch = Scratch()
    let result = probe(
      "--file", scratch.write("file", ""), "--no-seccomp", "--no-isolation", "read", "write", "remove",
      "inet", "unix", "spawn", "code", "signal")
    #expect(
      result.output
        == "read: done\nwrite: done\nremove: done\ninet: done\nunix: done\nspawn: done\ncode: done\nsignal: done\n"
    )
    withExtendedLifetime(scratch) {}
    #expect(probe("--no-seccomp", "--no-isolation", "exec").end == .exited(0))
  }
}
