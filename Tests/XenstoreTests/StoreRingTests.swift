// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Synchronization
import Testing

@testable import Xenstore

/// A guest at the other end of a store ring.
private final class Guest {
  let page: UnsafeMutableRawPointer
  let end: OptimisedStreamRing
  let server: StoreRingServer
  let store: Store
  private var received: [UInt8] = []
  private var nextRequest: UInt32 = 0

  init(quota: StoreQuota = StoreQuota()) throws {
    page = .allocate(byteCount: frameSize, alignment: frameSize)
    page.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize)
    end = OptimisedStreamRing(page: page, layout: .xenstore, end: .guest)
    store = try StoreFixture(quota: quota).store
    let ring = OptimisedMachinery().makeStreamRing(page: page, layout: .xenstore)
    server = StoreRingServer(store: store, domain: DomainID(1), ring: ring) {}
  }

  deinit { page.deallocate() }

  /// Lets the server work until no byte moves in either direction.
  func settle() throws {
    repeat { _ = try server.work() } while try collect()
  }

  private func collect() throws -> Bool {
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = try buffer.withUnsafeMutableBytes { try end.read(into: $0) }
    received += buffer[..<count]
    return count > 0
  }

  func send(bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = try rest.withUnsafeBytes { try end.write($0) }
      rest = rest.dropFirst(count)
      try settle()
    }
  }

  /// Sends a request; returns the messages that come back, the reply first.
  @discardableResult
  func ask(_ type: StoreMessageType, _ text: String, transaction: UInt32 = 0) throws -> [StoreMessage] {
    nextRequest += 1
    let message = StoreMessage(
      type: type.rawValue, request: nextRequest, transaction: transaction, payload: Array(text.utf8))
    try send(bytes: message.bytes)
    try settle()
    let messages = takeMessages()
    #expect(messages.first?.request == nextRequest && messages.first?.transaction == transaction)
    return messages
  }

  /// The text of the reply, or the error's name.
  func answer(_ type: StoreMessageType, _ text: String, transaction: UInt32 = 0) throws -> String {
    let reply = try #require(try ask(type, text, transaction: transaction).first)
    return String(decoding: reply.payload, as: UTF8.self)
  }

  func takeMessages() -> [StoreMessage] {
    var messages: [StoreMessage] = []
    while received.count >= 16 {
      let words = received.withUnsafeBytes { bytes in
        (0..<4).map { bytes.load(fromByteOffset: $0 * 4, as: UInt32.self) }
      }
      let end = 16 + Int(words[3])
      guard received.count >= end else { break }
      messages.append(
        StoreMessage(
          type: words[0], request: words[1], transaction: words[2], payload: Array(received[16..<end])))
      received.removeFirst(end)
    }
    return messages
  }
}

@Suite("A guest's store ring")
struct StoreRingTests {
  @Test("carries each kind of request, and the answer that the ABI gives it")
  func requests() throws {
    let guest = try Guest()
    #expect(try guest.answer(.write, "a/b\0value") == "OK\0")
    #expect(try guest.answer(.read, "a/b\0") == "value")
    #expect(try guest.answer(.makeDirectory, "a/c\0") == "OK\0")
    #expect(try guest.answer(.makeDirectory, "a/c\0") == "OK\0")
    #expect(try guest.answer(.directory, "a\0") == "b\0c\0")
    #expect(try guest.answer(.getPermissions, "a\0") == "n1\0")
    #expect(try guest.answer(.setPermissions, "a\0n1\0r2\0") == "OK\0")
    #expect(try guest.answer(.getPermissions, "a\0") == "n1\0r2\0")
    #expect(try guest.answer(.getDomainPath, "7\0") == "/local/domain/7\0")
    #expect(try guest.answer(.getDomainPath, "32752\0") == "/local/domain/1\0")
    #expect(try guest.answer(.isDomainIntroduced, "9\0") == "F\0")
    #expect(try guest.answer(.remove, "a\0") == "OK\0")
    #expect(try guest.answer(.read, "a/b\0") == "ENOENT\0")
  }

  @Test("carries values of any bytes")
  func binary() throws {
    let guest = try Guest()
    let message = StoreMessage(
      type: StoreMessageType.write.rawValue, request: 1, transaction: 0,
      payload: Array("a\0".utf8) + [0, 255, 0])
    try guest.send(bytes: message.bytes)
    #expect(guest.takeMessages().map(\.payload) == [Array("OK\0".utf8)])
    #expect(try guest.ask(.read, "a\0").map(\.payload) == [[0, 255, 0]])
  }

  @Test("carries transactions")
  func transactions() throws {
    let guest = try Guest()
    let number = try #require(UInt32(try guest.answer(.transactionStart, "\0").dropLast()))
    #expect(try guest.answer(.write, "a\01", transaction: number) == "OK\0")
    #expect(try guest.answer(.transactionEnd, "X\0", transaction: number) == "EINVAL\0")
    #expect(try guest.answer(.transactionEnd, "T\0", transaction: number) == "OK\0")
    #expect(try guest.answer(.read, "a\0") == "1")
    #expect(try guest.answer(.transactionEnd, "T\0", transaction: number) == "ENOENT\0")
    #expect(try guest.answer(.read, "a\0", transaction: 12345) == "ENOENT\0")
  }

  @Test("carries watch events behind the answer that they follow")
  func watches() throws {
    let guest = try Guest()
    let first = try guest.ask(.watch, "device\0token\0")
    #expect(first.map(\.type) == [4, 15])
    #expect(first.last.map { String(decoding: $0.payload, as: UTF8.self) } == "device\0token\0")
    let second = try guest.ask(.write, "device/vbd\0x")
    #expect(second.map { String(decoding: $0.payload, as: UTF8.self) } == ["OK\0", "device/vbd\0token\0"])
    #expect(try guest.answer(.watch, "device\0token\0") == "EEXIST\0")
    #expect(try guest.answer(.unwatch, "device\0token\0") == "OK\0")
    #expect(try guest.ask(.write, "device/vbd\0y").count == 1)
    #expect(try guest.answer(.watch, "@releaseDomain\0t\0") == "EACCES\0")
    try guest.ask(.watch, "device\0token\0")
    #expect(try guest.answer(.resetWatches, "\0") == "OK\0")
    #expect(try guest.ask(.write, "device/vbd\0z").count == 1)
  }

  @Test("answers nonsense with the ABI's errors")
  func nonsense() throws {
    let guest = try Guest()
    #expect(try guest.answer(.read, "") == "EINVAL\0")
    #expect(try guest.answer(.read, "a") == "EINVAL\0")
    #expect(try guest.answer(.read, "a b\0") == "EINVAL\0")
    #expect(try guest.answer(.write, "a") == "EINVAL\0")
    #expect(try guest.answer(.watch, "a\0") == "EINVAL\0")
    #expect(try guest.answer(.setPermissions, "a\0") == "EINVAL\0")
    #expect(try guest.answer(.getDomainPath, "-1\0") == "EINVAL\0")
    #expect(try guest.answer(.introduce, "1\02\03\0") == "EACCES\0")
    #expect(try guest.answer(.control, "x\0") == "EACCES\0")
    #expect(try guest.answer(.watchEvent, "\0") == "ENOSYS\0")
    let unknown = StoreMessage(type: 4711, request: 5, transaction: 6, payload: [])
    try guest.send(bytes: unknown.bytes)
    let reply = try #require(guest.takeMessages().first)
    #expect(reply.type == 16 && reply.request == 5 && reply.transaction == 6)
  }

  @Test("tells long directories in parts")
  func parts() throws {
    let guest = try Guest()
    let names = (0..<300).map { "name-of-a-node-\(1000 + $0)" }
    for name in names { #expect(try guest.answer(.write, "many/\(name)\0") == "OK\0") }
    #expect(try guest.answer(.directory, "many\0") == "E2BIG\0")
    var all: [UInt8] = []
    var parts = 0
    while true {
      let reply = try #require(try guest.ask(.directoryPart, "many\0\(all.count)\0").first)
      let head = try #require(reply.payload.firstIndex(of: 0))
      let part = reply.payload[(head + 1)...]
      parts += 1
      let isLast = part.suffix(2) == [0, 0]
      all += isLast ? part.dropLast() : part
      if isLast { break }
    }
    #expect(parts == 2)
    #expect(String(decoding: all, as: UTF8.self) == names.map { $0 + "\0" }.joined())
    #expect(try guest.answer(.directoryPart, "many\01\0") == "EINVAL\0")
    #expect(try guest.answer(.directoryPart, "many\0999999\0") == "EINVAL\0")
  }

  @Test("of a guest that promises too long a message is given up, saying so")
  func tooLong() throws {
    let guest = try Guest()
    let header = StoreMessage(type: 2, request: 1, transaction: 0, payload: []).bytes.prefix(12)
    #expect(
      throws: StoreRingFailure(description: "its store ring holds a message of 4097 bytes; 4096 is the most")
    ) { try guest.send(bytes: header + [1, 16, 0, 0]) }
  }

  @Test("whose indices make no sense is given up, saying so")
  func corrupt() throws {
    let guest = try Guest()
    guest.page.storeBytes(of: 5000, toByteOffset: 2052, as: UInt32.self)
    #expect(throws: StoreRingFailure.self) { try guest.settle() }
  }

  @Test("of a guest that never reads fills up, and nothing grows without end")
  func deaf() throws {
    var quota = StoreQuota()
    quota.pendingEvents = 50
    let guest = try Guest(quota: quota)
    try guest.ask(.watch, "a\0t\0")
    let host = HostStore(guest.store)
    for round in 0..<3000 {
      host.write(.home(of: DomainID(1)) / "a/\(round % 200)", "\(round)")
      _ = try guest.server.work()
    }
    // The ring's 1 KiB, one batch behind it, and the queue's 50.
    try guest.settle()
    #expect(guest.takeMessages().count < 200)
    #expect(try guest.answer(.read, "a/7\0") == "2807")
  }

  @Test("takes random bytes without a trap", arguments: [1, 2, 3, 4, 5, 6])
  func random(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    let guest = try Guest()
    let words = [
      "a", "/", "/local/domain/1/a", "a/b", "T", "F", "1", "0", "n1", "b2", "@introduceDomain", "ä", "",
    ]
    for _ in 0..<2000 {
      let count = Int(random.next() % 4)
      let text = (0..<count).map { _ in words[Int(random.next() % UInt64(words.count))] + "\0" }.joined()
      let message = StoreMessage(
        type: UInt32(random.next() % 24), request: 1, transaction: UInt32(random.next() % 12),
        payload: Array(text.utf8) + (random.next() % 4 == 0 ? [UInt8(random.next() & 0xff)] : []))
      try guest.send(bytes: message.bytes)
      try guest.settle()
      #expect(guest.takeMessages().contains { $0.request == 1 })
    }
  }
}

/// Steele, Lea and Flood's generator: the same numbers for the same seed everywhere.
private struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}

@Suite("A service thread")
struct ServiceThreadTests {
  @Test("works once at its start and after each signal, and stops when told")
  func works() {
    let thread = ServiceThread(name: "test")
    let rounds = Atomic(0)
    let done = WakeUp()
    thread.start {
      if rounds.add(1, ordering: .relaxed).newValue < 3 { thread.signal() } else { done.raise() }
    }
    done.wait()
    thread.stop()
    #expect(rounds.load(ordering: .relaxed) == 3)
    thread.signal()
    thread.stop()
    #expect(rounds.load(ordering: .relaxed) == 3)
  }

  @Test("misses no signal of many senders")
  func manySenders() {
    let wakeUp = WakeUp()
    let count = Atomic(0)
    let seen = Atomic(0)
    let reader = ServiceThread(name: "reader")
    let done = WakeUp()
    reader.start { _, _ in
      while seen.load(ordering: .relaxed) < 4000 {
        wakeUp.wait()
        seen.store(count.load(ordering: .acquiring), ordering: .relaxed)
      }
      done.raise()
    }
    let senders = (0..<4).map { ServiceThread(name: "sender\($0)") }
    for sender in senders {
      sender.start { _, _ in
        for _ in 0..<1000 {
          count.add(1, ordering: .releasing)
          wakeUp.raise()
        }
      }
    }
    done.wait()
    for sender in senders { sender.stop() }
    reader.stop()
    #expect(seen.load(ordering: .relaxed) == 4000)
  }
}
