// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Machines
import Testing

@testable import Devices

/// A console between a guest's ring and two pipes.
private final class Bench {
  let page: UnsafeMutableRawPointer
  let guest: OptimisedStreamRing
  let server: ConsoleServer
  let end: ConsoleEnd
  /// What the user types goes in here; what the guest says comes out there.
  private(set) var keyboard: Int32
  private(set) var screen: Int32
  private let ends: (Int32, Int32)

  init(escape: UInt8? = ConsoleStreams.controlBracket) {
    page = .allocate(byteCount: frameSize, alignment: frameSize)
    page.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize)
    guest = OptimisedStreamRing(page: page, layout: .console, end: .guest)
    var input: [Int32] = [0, 0]
    var output: [Int32] = [0, 0]
    precondition(pipe(&input) == 0 && pipe(&output) == 0)
    keyboard = input[1]
    screen = output[0]
    ends = (input[0], output[1])
    end = ConsoleEnd(input: input[0], output: output[1], escape: escape)
    server = ConsoleServer(
      ring: OptimisedMachinery().makeStreamRing(page: page, layout: .console), end)
  }

  deinit {
    page.deallocate()
    for descriptor in [keyboard, screen, ends.0, ends.1] where descriptor >= 0 { close(descriptor) }
  }

  func type(_ text: String) {
    let bytes = Array(text.utf8)
    precondition(write(keyboard, bytes, bytes.count) == bytes.count)
  }

  /// Whether a read of the input would return at once.
  var hasInput: Bool {
    var waiting = pollfd(fd: ends.0, events: Int16(POLLIN), revents: 0)
    return poll(&waiting, 1, 0) > 0
  }

  /// Whether the console waits for what is typed.
  var wantsInput: Bool { server.acceptsInput && end.wantedInput != nil }

  func hangUp() {
    close(keyboard)
    keyboard = -1
  }

  func closeScreen() {
    close(screen)
    screen = -1
  }

  func guestWrites(_ bytes: [UInt8]) throws -> Int { try bytes.withUnsafeBytes { try guest.write($0) } }

  func guestReads() throws -> String {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = try buffer.withUnsafeMutableBytes { try guest.read(into: $0) }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }

  func shown() -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65536)
    var waiting = pollfd(fd: screen, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, 0) > 0 else { return [] }
    let count = read(screen, &buffer, buffer.count)
    return Array(buffer.prefix(max(0, count)))
  }
}

@Suite("A console")
struct ConsoleServerTests {
  @Test("shows what the guest writes, byte for byte")
  func output() throws {
    let bench = Bench()
    let text = (0..<2000).map { UInt8(truncatingIfNeeded: $0) }
    #expect(try bench.guestWrites(text) == 2000)
    #expect(try bench.server.exchange())
    var shown: [UInt8] = []
    while (bench.end.wantedOutput != nil) {
      bench.end.writeOutput()
      shown += bench.shown()
    }
    #expect(shown == text)
    #expect(try !bench.server.exchange())
  }

  @Test("gives the guest what is typed, also when its ring is full for a while")
  func input() throws {
    let bench = Bench()
    let line = String(repeating: "0123456789abcde\r", count: 128)
    bench.type(line)
    var received = ""
    // The ring holds 1024 bytes, and 512 wait behind it: what was typed beyond that stays where it is.
    for _ in 0..<4 where bench.wantsInput {
      #expect(!bench.server.readInput(of: bench.end))
      _ = try bench.server.exchange()
    }
    #expect(!bench.wantsInput && bench.hasInput)
    while received.count < line.count {
      received += try bench.guestReads()
      _ = try bench.server.exchange()
      if bench.wantsInput && bench.hasInput { _ = bench.server.readInput(of: bench.end) }
    }
    #expect(received == line)
  }

  @Test("ends at Ctrl-], which with all behind it is not for the guest")
  func escape() throws {
    let bench = Bench()
    bench.type("ab\u{1d}cd")
    #expect(bench.server.readInput(of: bench.end))
    _ = try bench.server.exchange()
    #expect(try bench.guestReads() == "ab")
  }

  @Test("gives the guest each byte if its input is no terminal, and goes on when that ends")
  func pipe() throws {
    let bench = Bench(escape: nil)
    bench.type("a\u{1d}b")
    bench.hangUp()
    #expect(!bench.server.readInput(of: bench.end))
    _ = try bench.server.exchange()
    #expect(try bench.guestReads() == "a\u{1d}b")
    #expect(bench.wantsInput)
    #expect(!bench.server.readInput(of: bench.end))
    #expect(!bench.wantsInput)
    _ = try bench.guestWrites(Array("still here".utf8))
    #expect(try bench.server.exchange() && (bench.end.wantedOutput != nil))
  }

  @Test("never keeps the guest waiting for a reader, and tells the reader what it has missed")
  func slowReader() throws {
    let bench = Bench()
    let chunk = [UInt8](repeating: UInt8(ascii: "x"), count: 2048)
    for _ in 0..<600 {
      #expect(try bench.guestWrites(chunk) == 2048)
      #expect(try bench.server.exchange())
    }
    var shown: [UInt8] = []
    while (bench.end.wantedOutput != nil) {
      bench.end.writeOutput()
      shown += bench.shown()
    }
    let lost = 600 * 2048 - ConsoleEnd.outputLimit
    let message = "\r\n[\(lost) bytes of console output lost: nobody read them]\r\n"
    #expect(shown.count == ConsoleEnd.outputLimit + message.utf8.count)
    #expect(String(decoding: shown.suffix(message.utf8.count), as: UTF8.self) == message)
  }

  @Test("goes on for the guest when its reader is gone")
  func brokenPipe() throws {
    signal(SIGPIPE, SIG_IGN)
    let bench = Bench()
    bench.closeScreen()
    for _ in 0..<10 {
      #expect(try bench.guestWrites([1, 2, 3]) == 3)
      #expect(try bench.server.exchange())
      if (bench.end.wantedOutput != nil) { bench.end.writeOutput() }
    }
    #expect(!(bench.end.wantedOutput != nil))
  }

  @Test("gives a ring up whose indices make no sense", arguments: [3076, 3084])
  func corrupt(offset: Int) throws {
    let bench = Bench()
    bench.type("k")
    _ = bench.server.readInput(of: bench.end)
    if offset == 3084 {
      bench.page.storeBytes(of: 2049, toByteOffset: offset, as: UInt32.self)
    } else {
      // The guest's consumer index, beyond anything produced.
      bench.page.storeBytes(of: 9, toByteOffset: 3072, as: UInt32.self)
    }
    #expect(throws: RingError.self) { try bench.server.exchange() }
  }
}
