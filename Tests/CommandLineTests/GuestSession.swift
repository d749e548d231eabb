// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

/// Debian's GRUB for Xen in a domain, at a terminal.
final class GuestSession {
  let scratch = Scratch()
  let terminal = PseudoTerminal()
  let original: PseudoTerminal.Mode
  let child: ChildProcess

  /// Seconds that anything here may take; the machine may be slow and shared.
  static let patience = 60

  /// - Parameters:
  ///   - withDisk: gives the domain an ext4 disk with `hello.txt` on it.
  ///   - files: further files on that disk, by path.
  ///   - disk: an image that is its disk instead.
  init(
    withDisk: Bool = false, files: [String: [UInt8]] = [:], disk: String? = nil, memory: Int = 128,
    configuration: String = "", arguments: [String] = []
  ) throws {
    original = terminal.mode
    var text = "kernel = '\(Requirement.grub)'\nname = 'grub'\nmemory = \(memory)\n\(configuration)\n"
    if let image = try withDisk ? Self.makeDisk(scratch, files) : disk {
      text += "disk = ['\(image),raw,xvda,rw']\n"
    }
    let file = scratch.write("grub.cfg", text)
    child = ChildProcess(
      Program.lockstep, ["run", file] + arguments, input: .file(path: terminal.path, flags: O_RDWR),
      output: .file(path: terminal.path, flags: O_RDWR),
      error: .file(path: "\(scratch.path)/errors", flags: O_WRONLY | O_CREAT))
  }

  /// An ext4 image with `hello.txt` and more on it.
  static func makeDisk(_ scratch: Scratch, _ files: [String: [UInt8]]) throws -> String {
    let mke2fs = try #require(Requirement.mke2fs)
    #expect(mkdir("\(scratch.path)/files", 0o700) == 0)
    scratch.write("files/hello.txt", "Good morning from a disk.\n")
    for (path, content) in files {
      let folder = "\(scratch.path)/files/\(path)".split(separator: "/").dropLast().joined(separator: "/")
      #expect(Program.run("/bin/mkdir", ["-p", "/\(folder)"]).end == .exited(0))
      scratch.write("files/\(path)", content)
    }
    let image = "\(scratch.path)/disk.img"
    let made = Program.run(mke2fs, ["-q", "-t", "ext4", "-d", "\(scratch.path)/files", image, "8M"])
    #expect(made.end == .exited(0), "\(made.error)")
    return image
  }

  /// Waits for a prompt with nothing behind it.
  func waitForPrompt() throws {
    try #require(
      terminal.wait(seconds: Self.patience) { $0.hasSuffix("grub> ") },
      "no prompt; shown: \(terminal.text.suffix(500)); errors: \(scratch.read("errors"))")
  }

  /// Waits for some text.
  func waitFor(_ text: String, seconds: Int = patience) throws {
    try #require(
      terminal.wait(seconds: seconds) { $0.contains(text) },
      "\(text) is not shown, but \(terminal.text.suffix(800)); errors: \(scratch.read("errors"))")
  }

  /// Types a command, and returns what is shown from then to the next prompt.
  func command(_ text: String) throws -> String {
    terminal.clear()
    terminal.type(text + "\r")
    try #require(
      terminal.wait(seconds: Self.patience) { $0.contains("\n") && $0.hasSuffix("grub> ") },
      "no answer to \(text); shown: \(terminal.text.suffix(500)); errors: \(scratch.read("errors"))")
    return terminal.text
  }
}
