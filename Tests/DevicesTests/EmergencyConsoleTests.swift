// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Testing

@testable import Devices

@Suite("An emergency console")
struct EmergencyConsoleTests {
  /// What the log has when a guest has written and the console has been closed.
  private func log(_ pieces: [[UInt8]]) throws -> String {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { close(ends[0]) }
    let console = EmergencyConsole(of: DomainID(3), output: ends[1])
    for piece in pieces { console.write(piece) }
    console.close()
    close(ends[1])
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(ends[0], &buffer, buffer.count)
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test("shows lines behind the domain's number, the last one too")
  func lines() throws {
    #expect(
      try log([Array("one\ntw".utf8), Array("o\r\n".utf8), Array("three".utf8)])
        == "(d3) one\n(d3) two\n(d3) three\n")
    #expect(try log([[], [0, 0]]) == "")
  }

  @Test("lets no control characters through, and breaks endless lines")
  func control() throws {
    #expect(try log([Array("\u{1b}[2Jx\u{7f}\ty\n".utf8)]) == "(d3) [2Jx\ty\n")
    let long = [UInt8](repeating: UInt8(ascii: "a"), count: EmergencyConsole.longestLine + 1)
    #expect(try log([long]).split(separator: "\n").map(\.count) == [EmergencyConsole.longestLine + 5, 6])
  }

  @Test("keeps a bounded part of what is written when nobody reads the log")
  func flood() throws {
    // As lockstep does: a reader that goes away is no reason to die.
    signal(SIGPIPE, SIG_IGN)
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let console = EmergencyConsole(of: DomainID(3), output: ends[1])
    let line = [UInt8](repeating: UInt8(ascii: "a"), count: 511) + [UInt8(ascii: "\n")]
    // More than the pipe and the console hold; a write that waited would hang the test.
    for _ in 0..<2000 { console.write(line) }
    close(ends[0])
    console.close()
    close(ends[1])
  }
}
