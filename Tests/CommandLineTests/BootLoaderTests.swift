// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

/// Disks that GRUB boots from in the domain: nothing of them is parsed on the host.
@Suite(
  "GRUB in a domain", .serialized,
  .enabled(if: Requirement.hasKVM, "no usable /dev/kvm"),
  .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"),
  .enabled(if: Requirement.mke2fs != nil, "the package e2fsprogs is not installed"))
struct BootLoaderTests {
  /// The key that goes down in a menu.
  private static let down = "\u{1b}[B"

  @Test("shows the disk's menu, and keys choose from it: each entry's kernel runs", .timeLimit(.minutes(3)))
  func menu() throws {
    var files: [String: [UInt8]] = [:]
    for name in ["first", "second"] {
      var kernel = TinyKernel()
      kernel.write("hello from the \(name) entry\n")
      kernel.shutDown(0)
      files[name] = kernel.file
    }
    files["boot/grub/grub.cfg"] = Array(
      "set timeout=600\nmenuentry one { linux /first }\nmenuentry two { linux /second }\n".utf8)
    for (keys, shown) in [("\r", "first"), (Self.down + "\r", "second")] {
      let session = try GuestSession(withDisk: true, files: files, arguments: ["--check"])
      try session.waitFor("automatically in")
      session.terminal.type(keys)
      #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))
      let errors = session.scratch.read("errors")
      #expect(errors.hasPrefix("(d1) hello from the \(shown) entry\n"), "\(errors)")
      #expect(errors.contains("lockstep: checked: Ring: ") && !errors.contains("not checked"))
    }
  }

  @Test("meets a menu that makes no sense, or calls itself, with a prompt", .timeLimit(.minutes(3)))
  func senselessMenu() throws {
    var noise: UInt64 = 1
    let bytes = (0..<4096).map { _ in
      noise = noise &* 6_364_136_223_846_793_005 &+ 1
      return UInt8(noise >> 56)
    }
    for text in [bytes, Array("function again { again; }\nagain\n".utf8)] {
      let session = try GuestSession(withDisk: true, files: ["boot/grub/grub.cfg": text])
      try session.waitForPrompt()
      #expect(try session.command("ls (xen/xvda)/").contains("hello.txt"))
      session.terminal.type("halt\r")
      #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))
    }
  }

  @Test(
    "crashes of a menu that reaches out of its domain, and says where", .timeLimit(.minutes(3)),
    arguments: ["write_dword 0xffff800000000000 1", "read_byte 0xffff804000000000"])
  func menuThatReachesOut(command: String) throws {
    // The machine-to-physical table, which guests may only read, and the monitor's slot behind it.
    let session = try GuestSession(withDisk: true, files: ["boot/grub/grub.cfg": Array("\(command)\n".utf8)])
    #expect(session.child.wait(seconds: GuestSession.patience) == .exited(1))
    let address = command.split(separator: " ")[1]
    let errors = session.scratch.read("errors")
    #expect(errors.hasPrefix("lockstep: domain grub crashed: exception 14, error 0x"), "\(errors)")
    #expect(errors.contains("at address \(address),"), "\(errors)")
    #expect(session.terminal.mode == session.original)
  }

  @Test("is ended from outside if its menu never ends", .timeLimit(.minutes(3)))
  func endlessMenu() throws {
    let menu = Array("while true; do true; done\n".utf8)
    let session = try GuestSession(withDisk: true, files: ["boot/grub/grub.cfg": menu])
    try session.waitFor("Reading (xen/xvda)/boot/grub/grub.cfg")
    session.terminal.type("\u{1d}")
    #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))
  }

  @Test("refuses a kernel that is cut off, or no kernel, and goes on", .timeLimit(.minutes(3)))
  func brokenKernels() throws {
    var kernel = TinyKernel()
    kernel.write("it runs\n")
    kernel.shutDown(0)
    let whole = kernel.file
    let session = try GuestSession(
      withDisk: true,
      files: [
        "half": Array(whole.prefix(whole.count / 2)), "head": Array(whole.prefix(64)),
        "none": [], "text": Array("no kernel".utf8), "whole": whole,
      ])
    try session.waitForPrompt()
    for name in ["half", "head", "none", "text"] {
      #expect(try session.command("linux (xen/xvda)/\(name)").contains("error"), "\(name)")
    }
    #expect(try !session.command("linux (xen/xvda)/whole").contains("error"))
    session.terminal.type("boot\r")
    #expect(session.child.wait(seconds: GuestSession.patience) == .exited(0))
    #expect(session.scratch.read("errors") == "(d1) it runs\n")
  }

  @Test("reads a damaged file system to no one's harm", .timeLimit(.minutes(3)), arguments: 0..<2)
  func damagedFileSystem(seed: Int) throws {
    let scratch = Scratch()
    let image = try GuestSession.makeDisk(
      scratch, ["boot/grub/grub.cfg": Array("echo the menu is read\n".utf8)])
    // The superblock stays in half of them, so that GRUB goes deeper into what is damaged.
    let start = seed % 2 == 0 ? 2048 : 1024
    let damage = """
      head -c $((4096 * \(seed + 1))) /dev/zero | tr '\\0' '\\\(seed == 0 ? 377 : 125)' |
        dd of=\(image) bs=\(start) seek=1 conv=notrunc status=none
      """
    #expect(Program.run("/bin/sh", ["-c", damage]).end == .exited(0))
    let session = try GuestSession(disk: image)
    try session.waitForPrompt()
    #expect(!session.terminal.text.contains("the menu is read"))
    session.terminal.type("ls (xen/xvda)/\r")
    session.terminal.type("halt\r")
    let end = session.child.wait(seconds: GuestSession.patience)
    #expect(end == .exited(0), "\(session.scratch.read("errors"))")
  }
}

@Suite(
  "Debian from its own disk", .serialized,
  .enabled(if: Requirement.hasKVM, "no usable /dev/kvm"),
  .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"),
  .enabled(if: Requirement.mke2fs != nil, "the package e2fsprogs is not installed"),
  .enabled(if: Requirement.kernelFolder != nil, "no kernel of linux-image-cloud-amd64: run .ci/hardware-kvm"),
  .enabled(if: Requirement.canMakeRAMDisk, "the packages busybox-static and cpio are not installed"))
struct DebianDiskTests {
  @Test("boots to a shell, keeps what is written, and boots its other entry", .timeLimit(.minutes(10)))
  func entries() throws {
    let scratch = Scratch()
    let image = "\(scratch.path)/debian.img"
    let made = Program.run(
      Program.lockstep,
      ["image", "build", "debian", image, "--package", try #require(Requirement.kernelFolder)],
      seconds: 200)
    #expect(made.end == .exited(0), "\(made.error)")
    #expect(made.output.contains(", Linux 6."))

    let shell = try GuestSession(disk: image, memory: 256, arguments: ["--check"])
    try shell.waitFor("automatically in")
    shell.terminal.type("\r")
    try shell.waitFor("debian# ", seconds: 200)
    shell.terminal.type("echo $((6 * 7)) it is | tee /kept; poweroff\r")
    #expect(shell.child.wait(seconds: 200) == .exited(0), "\(shell.terminal.text.suffix(800))")
    #expect(!shell.scratch.read("errors").contains("not checked"))
    #expect(shell.scratch.read("errors").contains("lockstep: checked: Grants: "))

    let single = try GuestSession(disk: image, memory: 256)
    try single.waitFor("automatically in")
    single.terminal.type("\u{1b}[B\r")
    try single.waitFor("from /dev/xvda ext4, ", seconds: 200)
    #expect(single.child.wait(seconds: 200) == .exited(0))

    let tools = ["PATH=/usr/sbin:/sbin"]
    let kept = Program.run("/usr/bin/env", tools + ["debugfs", "-R", "cat /kept", image])
    #expect(kept.output == "42 it is\n")
    let checked = Program.run("/usr/bin/env", tools + ["e2fsck", "-fn", image])
    #expect(checked.end == .exited(0), "\(checked.output)")
  }
}
