// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

/// A domain that runs GRUB at a terminal, with a folder of its own for sockets.
private final class Controlled {
  let scratch = Scratch()
  let terminal = PseudoTerminal()
  let child: ChildProcess

  static let patience = 60

  init(name: String = "grub") throws {
    setenv("LOCKSTEP_SOCKETS", Self.sockets, 1)
    let file = scratch.write(
      "guest.cfg", "kernel = '\(Requirement.grub)'\nname = '\(name)'\nmemory = 128\n")
    child = ChildProcess(
      Program.lockstep, ["run", file], input: .file(path: terminal.path, flags: O_RDWR),
      output: .file(path: terminal.path, flags: O_RDWR),
      error: .file(path: "\(scratch.path)/errors", flags: O_WRONLY | O_CREAT))
    try #require(
      terminal.wait(seconds: Self.patience) { $0.hasSuffix("grub> ") },
      "no prompt; shown: \(terminal.text.suffix(500)); errors: \(scratch.read("errors"))")
  }

  /// One for all tests of this process: the environment is the process's.
  static let sockets: String = {
    var template = Array("/tmp/lockstep-sockets-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil)
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }()

  static func ask(_ arguments: String...) -> Program.Result { Program.run(Program.lockstep, arguments) }
}

@Suite(
  "A running domain", .serialized, .enabled(if: Requirement.hasKVM, "no usable /dev/kvm"),
  .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"))
struct ControlTests {
  @Test("is listed, and has a store to look at, change and watch", .timeLimit(.minutes(3)))
  func store() throws {
    let domain = try Controlled(name: "store")
    let list = Controlled.ask("list")
    #expect(list.end == .exited(0))
    #expect(list.output.contains("store  1   128  1      running"))
    #expect(Controlled.ask("list", "--json").output.contains(#""memory":128,"name":"store""#))

    #expect(Controlled.ask("xenstore", "read", "store", "name").output == "store\n")
    #expect(Controlled.ask("xenstore", "read", "store", "/local/domain/1/memory/target").output == "131072\n")
    #expect(
      Controlled.ask("xenstore", "ls", "store", "memory").output.contains(
        "/local/domain/1/memory/static-max = \"131072\"\n"))
    #expect(Controlled.ask("xenstore", "write", "store", "data/word", "a \"b\" ä").end == .exited(0))
    #expect(Controlled.ask("xenstore", "read", "store", "data/word").output == "a \"b\" ä\n")

    let watched = "\(domain.scratch.path)/watched"
    let watch = ChildProcess(
      Program.lockstep, ["xenstore", "watch", "store", "data"],
      input: .file(path: "/dev/null", flags: O_RDONLY),
      output: .file(path: watched, flags: O_WRONLY | O_CREAT),
      error: .file(path: "/dev/null", flags: O_WRONLY))
    func seen(_ text: String) -> Bool {
      for _ in 0..<500 {
        if Program.contents(watched).contains(text) { return true }
        usleep(10_000)
      }
      return false
    }
    #expect(seen("/local/domain/1/data = \"\"\n"))
    #expect(Controlled.ask("xenstore", "rm", "store", "data/word").end == .exited(0))
    #expect(seen("/local/domain/1/data/word = (none)\n"))
    let missing = Controlled.ask("xenstore", "read", "store", "data/word")
    #expect(missing.end == .exited(2))
    #expect(missing.error == "lockstep: /local/domain/1/data/word: there is no such node\n")
    #expect(Controlled.ask("xenstore", "read", "store", "a//b").end == .exited(2))

    #expect(Controlled.ask("shutdown", "store").end == .exited(0))
    #expect(Controlled.ask("xenstore", "read", "store", "control/shutdown").output == "poweroff\n")
    #expect(Controlled.ask("sysrq", "store", "s").end == .exited(0))
    #expect(Controlled.ask("xenstore", "read", "store", "control/sysrq").output == "s\n")
    #expect(Controlled.ask("sysrq", "store", "sync").end == .exited(2))

    #expect(Controlled.ask("destroy", "store").end == .exited(0))
    #expect(domain.child.wait(seconds: Controlled.patience) == .exited(0))
    #expect(watch.wait(seconds: Controlled.patience) == .exited(0))
    #expect(!Controlled.ask("list").output.contains("store"))
    let gone = Controlled.ask("destroy", "store")
    #expect(gone.end == .exited(2))
    #expect(gone.error == "lockstep: no domain store runs here; lockstep list shows those that do\n")
  }

  @Test("can be talked to from another terminal, which comes and goes", .timeLimit(.minutes(3)))
  func console() throws {
    let domain = try Controlled(name: "console")
    let second = PseudoTerminal()
    let original = second.mode
    func attach() -> ChildProcess {
      ChildProcess(
        Program.lockstep, ["console", "console"], input: .file(path: second.path, flags: O_RDWR),
        output: .file(path: second.path, flags: O_RDWR), error: .file(path: "/dev/null", flags: O_WRONLY))
    }
    let viewer = attach()
    for _ in 0..<500 where !second.mode.isRaw { usleep(10_000) }
    #expect(second.mode.isRaw)
    domain.terminal.clear()
    second.type("echo seen by both\r")
    for terminal in [second, domain.terminal] {
      #expect(terminal.wait(seconds: Controlled.patience) { $0.contains("\nseen by both\n") })
    }
    second.type("\u{1d}")
    #expect(viewer.wait(seconds: Controlled.patience) == .exited(0))
    #expect(second.mode == original)
    // Whoever was first is still there, and one may come again, through a reboot too.
    let again = attach()
    for _ in 0..<500 where !second.mode.isRaw { usleep(10_000) }
    domain.terminal.type("echo once more\r")
    #expect(second.wait(seconds: Controlled.patience) { $0.contains("\nonce more\n") })
    second.clear()
    second.type("reboot\r")
    #expect(second.wait(seconds: Controlled.patience) { $0.contains("GNU GRUB") && $0.hasSuffix("grub> ") })
    domain.terminal.type("halt\r")
    #expect(domain.child.wait(seconds: Controlled.patience) == .exited(0))
    #expect(again.wait(seconds: Controlled.patience) == .exited(0))
    #expect(second.mode == original)
  }

  @Test("stands still while it is paused, and shares its name without harm", .timeLimit(.minutes(3)))
  func pause() throws {
    let domain = try Controlled(name: "pause")
    let other = try Controlled(name: "pause")
    let names = Controlled.ask("list").output
    #expect(names.contains("pause ") && names.contains("pause-\(other.child.process) "))
    #expect(Controlled.ask("pause", "pause").end == .exited(0))
    #expect(Controlled.ask("list").output.contains("paused"))
    domain.terminal.clear()
    domain.terminal.type("echo held\r")
    #expect(!domain.terminal.wait(seconds: 2) { $0.contains("held") })
    #expect(Controlled.ask("unpause", "pause").end == .exited(0))
    #expect(domain.terminal.wait(seconds: Controlled.patience) { $0.contains("\nheld\n") })
    // A process that is killed leaves its socket, which the next of that name takes over.
    domain.child.send(SIGKILL)
    #expect(domain.child.wait(seconds: Controlled.patience) == .killed(SIGKILL))
    #expect(Controlled.ask("pause", "pause").end == .exited(2))
    let next = try Controlled(name: "pause")
    #expect(Controlled.ask("destroy", "pause").end == .exited(0))
    #expect(next.child.wait(seconds: Controlled.patience) == .exited(0))
    other.terminal.type("\u{1d}")
    #expect(other.child.wait(seconds: Controlled.patience) == .exited(0))
  }
}
