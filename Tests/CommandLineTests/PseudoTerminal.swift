// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A terminal whose keyboard and screen are the test.
final class PseudoTerminal {
  /// The path that a program opens.
  let path: String
  private let master: Int32
  /// Kept open, so that the terminal's mode outlives the program.
  private let slave: Int32
  private var shown: [UInt8] = []

  init() {
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    precondition(master >= 0)
    var unlocked: Int32 = 0
    var number: Int32 = 0
    // TIOCSPTLCK and TIOCGPTN, which Swift does not import.
    precondition(ioctl(master, 0x4004_5431, &unlocked) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
    path = "/dev/pts/\(number)"
    slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
    precondition(slave >= 0)
  }

  deinit {
    close(slave)
    close(master)
  }

  /// What `stty` would show.
  struct Mode: Equatable {
    var input: tcflag_t
    var output: tcflag_t
    var control: tcflag_t
    var local: tcflag_t

    /// Keys come one by one, and are not shown by the terminal itself.
    var isRaw: Bool { local & tcflag_t(ICANON | ECHO | ISIG) == 0 }
  }

  var mode: Mode {
    var mode = termios()
    precondition(tcgetattr(slave, &mode) == 0)
    return Mode(input: mode.c_iflag, output: mode.c_oflag, control: mode.c_cflag, local: mode.c_lflag)
  }

  func type(_ text: String) {
    let bytes = Array(text.utf8)
    precondition(write(master, bytes, bytes.count) == bytes.count)
  }

  /// All that has been shown so far, without the sequences that move the cursor.
  var text: String { Self.plain(shown) }

  /// Waits until a condition holds for what has been shown, looking again whenever more comes.
  func wait(seconds: Int, until isDone: (String) -> Bool) -> Bool {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    let end = now.tv_sec + seconds
    var buffer = [UInt8](repeating: 0, count: 65536)
    while !isDone(text) {
      clock_gettime(CLOCK_MONOTONIC, &now)
      guard now.tv_sec < end else { return false }
      var waiting = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, 200) > 0 else { continue }
      let count = read(master, &buffer, buffer.count)
      if count > 0 { shown += buffer[..<count] }
    }
    return true
  }

  /// Forgets what has been shown.
  func clear() { shown = [] }

  /// Text without escape sequences (`ESC [ … letter`) and carriage returns.
  private static func plain(_ bytes: [UInt8]) -> String {
    var kept: [UInt8] = []
    var rest = bytes[...]
    while let byte = rest.popFirst() {
      if byte == 0x1b, rest.first == UInt8(ascii: "[") {
        rest = rest.dropFirst().drop { !(0x40...0x7e).contains($0) }.dropFirst()
      } else if byte != UInt8(ascii: "\r") {
        kept.append(byte)
      }
    }
    return String(decoding: kept, as: UTF8.self)
  }
}
