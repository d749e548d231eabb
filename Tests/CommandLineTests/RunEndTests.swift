// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@Suite(
  "How a guest ends in lockstep run", .serialized, .enabled(if: Requirement.hasKVM, "no usable /dev/kvm"))
struct RunEndTests {
  /// Runs a kernel at a terminal; the terminal must be as it was in the end.
  private func run(_ configuration: String = "", compressed: Bool = false, _ make: (inout TinyKernel) -> Void)
    -> (end: ChildProcess.End?, errors: String)
  {
    let scratch = Scratch()
    let terminal = PseudoTerminal()
    let original = terminal.mode
    var kernel = TinyKernel()
    make(&kernel)
    var path = scratch.write("kernel", kernel.file)
    if compressed {
      #expect(Program.run("/usr/bin/env", ["gzip", path]).end == .exited(0))
      path += ".gz"
    }
    let file = scratch.write("guest.cfg", "kernel = '\(path)'\nname = 'tiny'\nmemory = 8\n\(configuration)\n")
    let child = ChildProcess(
      Program.lockstep, ["run", file], input: .file(path: terminal.path, flags: O_RDWR),
      output: .file(path: terminal.path, flags: O_RDWR),
      error: .file(path: "\(scratch.path)/errors", flags: O_WRONLY | O_CREAT))
    let end = child.wait(seconds: 60)
    #expect(terminal.mode == original)
    return (end, scratch.read("errors"))
  }

  @Test("in good order, its emergency console among the errors")
  func poweroff() {
    let (end, errors) = run { kernel in
      kernel.write("one\ntwo \u{1b}[2Jthree")
      kernel.shutDown(0)
    }
    #expect(end == .exited(0))
    #expect(errors == "(d1) one\n(d1) two [2Jthree\n")
  }

  @Test("as well when its kernel is compressed")
  func compressed() {
    #expect(run(compressed: true) { $0.shutDown(0) }.end == .exited(0))
  }

  @Test("only when it is asked to, with standard streams of its own if the caller has closed them")
  func closedStreams() throws {
    let scratch = Scratch()
    var kernel = TinyKernel()
    kernel.spin()
    let path = scratch.write("kernel", kernel.file)
    let file = scratch.write("guest.cfg", "kernel = '\(path)'\nmemory = 8\n")
    let null = ChildProcess.Stream.file(path: "/dev/null", flags: O_RDWR)
    let child = ChildProcess(
      "/bin/sh", ["-c", "exec \"$@\" <&- >&- 2>&-", "sh", Program.lockstep, "run", file], input: null,
      output: null,
      error: null)
    #expect(child.wait(seconds: 1) == nil)
    // Anything else there, a disk's image or a pipe of lockstep's own, would get what the guest shows.
    for number in 0...2 {
      let link = Program.run("/bin/readlink", ["/proc/\(child.process)/fd/\(number)"])
      #expect(link.output == "/dev/null\n")
    }
    child.send(SIGTERM)
    #expect(child.wait(seconds: 60) == .killed(SIGTERM))
  }

  @Test("in a crash, with exit status 1, the cause and its registers")
  func crash() {
    let (end, errors) = run { kernel in
      kernel.storeNowhere()
      kernel.spin()
    }
    #expect(end == .exited(1))
    #expect(
      errors.hasPrefix(
        "lockstep: domain tiny crashed: exception 14, error 0x2 at address 0x700000000000, and the guest has no handler"
      ))
    #expect(errors.contains("rip 0000000000100000"))
    let said = run { $0.shutDown(3) }
    #expect(said.end == .exited(1) && said.errors.contains("the guest says that it crashed"))
    let unknown = run { $0.shutDown(99) }
    #expect(unknown.end == .exited(1) && unknown.errors.contains("reason 99"))
  }

  @Test("in a crash that names the ring which it has corrupted")
  func rings() {
    let (store, console): (UInt32, UInt32) = (0x1000, 0x2000)
    let (storePort, consolePort): (UInt8, UInt8) = (64, 80)
    func expectCrash(_ reason: String, _ port: UInt8, _ words: [(UInt32, UInt32)]) {
      let (end, errors) = run { kernel in
        for (offset, value) in words { kernel.store(value, behindStartInfo: offset) }
        kernel.send(portInStartInfo: port)
        kernel.spin()
      }
      #expect(end == .exited(1))
      #expect(errors.hasPrefix("lockstep: domain tiny crashed: \(reason)"), "\(errors)")
    }
    // out_prod; req_prod; then a header that promises more than a message may have.
    expectCrash("its console ring is corrupt", consolePort, [(console + 3084, 0x7fff_ffff)])
    expectCrash("its store ring is corrupt", storePort, [(store + 2052, 0xffff_ffff)])
    expectCrash(
      "its store ring holds a message of 4294967295 bytes", storePort,
      [(store, 2), (store + 12, 0xffff_ffff), (store + 2052, 16)])
  }

  @Test("in a crash over and over, restarted only so often", .timeLimit(.minutes(2)))
  func restarts() {
    let (end, errors) = run("on_crash = 'restart'") { $0.shutDown(3) }
    #expect(end == .exited(1))
    #expect(errors.split(separator: "\n").filter { $0.hasSuffix("it starts again") }.count == 5)
  }
}
