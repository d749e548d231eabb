// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@Suite(
  "A guest in lockstep run", .serialized,
  .enabled(if: Requirement.hasKVM, "no usable /dev/kvm"),
  .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"))
struct RunGuestTests {
  @Test(
    "can be talked to: GRUB helps, lists its disks, reads a file and halts", .timeLimit(.minutes(5)),
    .enabled(if: Requirement.mke2fs != nil, "the package e2fsprogs is not installed"))
  func grub() throws {
    let session = try GuestSession(withDisk: true)
    try session.waitForPrompt()
    #expect(session.terminal.mode.isRaw)
    #expect(session.terminal.text.contains("GNU GRUB"))
    let help = try session.command("help")
    #expect(help.contains("chainloader") || help.contains("halt"))
    #expect(try session.command("ls").contains("(xen/xvda)"))
    let listing = try session.command("ls (xen/xvda)/")
    #expect(listing.contains("hello.txt") && listing.contains("lost+found/"))
    #expect(try session.command("cat (xen/xvda)/hello.txt").contains("Good morning from a disk."))
    #expect(try session.command("cat (xen/xvda)/none.txt").contains("not found"))
    session.terminal.type("halt\r")
    #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))
    #expect(session.scratch.read("errors") == "")
    #expect(session.terminal.mode == session.original)
  }

  @Test(
    "runs beside its specifications, and its trace holds without it", .timeLimit(.minutes(5)),
    .enabled(if: Requirement.mke2fs != nil, "the package e2fsprogs is not installed"))
  func checked() throws {
    let traces = Scratch()
    let trace = "\(traces.path)/trace"
    let session = try GuestSession(withDisk: true, arguments: ["--check", "--trace", trace])
    try session.waitForPrompt()
    #expect(try session.command("ls (xen/xvda)/").contains("hello.txt"))
    #expect(try session.command("cat (xen/xvda)/hello.txt").contains("Good morning from a disk."))
    session.terminal.type("halt\r")
    #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))
    let errors = session.scratch.read("errors").split(separator: "\n")
    for machine in ["EventChannels", "Grants", "Ring", "Shadow", "Stream"] {
      #expect(
        errors.contains { $0.hasPrefix("lockstep: checked: \(machine): ") && !$0.contains(" 0 operations") })
    }
    #expect(errors.count == 6 && !session.scratch.read("errors").contains("not checked"))

    let replay = Program.run(Program.lockstep, ["replay", trace], seconds: GuestSession.patience)
    #expect(replay.end == .exited(0) && replay.output.contains("steps, each the specification's"))
    // A look of the disk's back end found a request, and is said to have found none.
    let changed = "\(traces.path)/changed"
    let edit =
      "n=$(grep -n '^\\[[0-9]*,3,1,1]$' \(trace) | head -n 1 | cut -d: -f1); "
      + "sed \"${n}s/1]$/0]/\" \(trace) > \(changed); echo $n"
    let line = Program.run("/bin/sh", ["-c", edit]).output.prefix { $0.isNumber }
    let broken = Program.run(Program.lockstep, ["replay", changed], seconds: GuestSession.patience)
    #expect(!line.isEmpty && broken.end == .exited(1))
    #expect(broken.output.contains("\(changed):\(line): step "))
  }

  @Test(
    "can hand over to another: GRUB loads a kernel from its disk, and that one runs", .timeLimit(.minutes(5)),
    .enabled(if: Requirement.mke2fs != nil, "the package e2fsprogs is not installed"))
  func chainLoad() throws {
    var kernel = TinyKernel()
    kernel.write("hello from the second kernel\n")
    kernel.shutDown(0)
    let session = try GuestSession(withDisk: true, files: ["tiny": kernel.file], arguments: ["--check"])
    try session.waitForPrompt()
    #expect(try !session.command("linux (xen/xvda)/tiny").contains("error"))
    session.terminal.type("boot\r")
    #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))
    #expect(session.scratch.read("errors").hasPrefix("(d1) hello from the second kernel\n"))
    #expect(session.terminal.mode == session.original)
  }

  @Test("can be left with Ctrl-], and the terminal is as it was", .timeLimit(.minutes(3)))
  func leave() throws {
    let session = try GuestSession()
    try session.waitForPrompt()
    session.terminal.type("\u{1d}")
    #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))
    #expect(session.terminal.mode == session.original)
  }

  @Test(
    "ends in good order when the process is asked to, and the terminal is as it was", .timeLimit(.minutes(3)),
    arguments: [SIGTERM, SIGHUP, SIGINT])
  func signals(number: Int32) throws {
    let session = try GuestSession()
    try session.waitForPrompt()
    #expect(session.terminal.mode.isRaw)
    session.child.send(number)
    #expect(session.child.wait(seconds: GuestSession.patience) == .killed(number))
    #expect(session.terminal.mode == session.original)
    #expect(session.scratch.read("errors") == "")
  }

  @Test("leaves the terminal as it was even when the process dies of a fault", .timeLimit(.minutes(3)))
  func fault() throws {
    let session = try GuestSession()
    try session.waitForPrompt()
    session.child.send(SIGSEGV)
    #expect(session.child.wait(seconds: GuestSession.patience) == .killed(SIGSEGV))
    #expect(session.terminal.mode == session.original)
  }

  @Test("costs little while it waits for a key, and answers one at once", .timeLimit(.minutes(3)))
  func idle() throws {
    let session = try GuestSession()
    try session.waitForPrompt()
    sleep(1)
    let before = session.child.processorTime
    sleep(4)
    let used = session.child.processorTime - before
    #expect(used < 1, "\(used) s of processor time in 4 s at the prompt")
    session.terminal.clear()
    session.terminal.type("x")
    #expect(session.terminal.wait(seconds: 1) { $0.contains("x") })
  }

  @Test("starts again when it reboots, or ends, as it is configured", .timeLimit(.minutes(3)))
  func reboot() throws {
    let session = try GuestSession()
    try session.waitForPrompt()
    session.terminal.clear()
    session.terminal.type("reboot\r")
    #expect(
      session.terminal.wait(seconds: GuestSession.patience) {
        $0.contains("GNU GRUB") && $0.hasSuffix("grub> ")
      })
    #expect(session.scratch.read("errors") == "lockstep: domain grub asks for a reboot; it starts again\n")
    session.terminal.type("\u{1d}")
    #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))

    let once = try GuestSession(configuration: "on_reboot = 'destroy'")
    try once.waitForPrompt()
    once.terminal.type("reboot\r")
    #expect(once.child.wait(seconds: GuestSession.patience) == .exited(0))
  }

  @Test("can be a filter: commands on a pipe, its console on another", .timeLimit(.minutes(3)))
  func pipes() {
    let scratch = Scratch()
    let file = scratch.write("grub.cfg", "kernel = '\(Requirement.grub)'\nfrobnicate = 1\n")
    let commands = scratch.write("commands", "echo one two\nhalt\n")
    let result = Program.run(
      Program.lockstep, ["run", "--stats", file], input: commands, seconds: GuestSession.patience)
    #expect(result.end == .exited(0))
    #expect(result.output.contains("one two"))
    #expect(result.error.contains("guest.cfg") == false)
    #expect(result.error.hasPrefix("lockstep: warning: \(file):2:1: unknown key 'frobnicate' has no effect"))
    #expect(result.error.contains("hypercall"))
  }
}
