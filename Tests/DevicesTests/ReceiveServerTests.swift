// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Interfaces
import Machines
import Testing

@testable import Devices

private struct Bench {
  let guest = FakeGuest()
  let frontEnd: FakeNetworkFrontEnd
  let server: ReceiveServer

  init() {
    frontEnd = FakeNetworkFrontEnd(guest)
    for frame in 10..<40 { guest.grant(frame) }
    server = ReceiveServer(
      ring: frontEnd.makeRing(FakeNetworkFrontEnd.receiveFrame, slotSize: 8),
      grants: HostGrants(guest, of: FakeGuest.domain))
  }

  func add(_ byte: UInt8, count: Int) {
    Array(repeating: byte, count: count).withUnsafeBytes { server.add($0) }
  }

  /// Has the server work; returns how many events it sent.
  func work() throws -> Int {
    var events = 0
    try server.work { events += 1 }
    #expect(guest.mappedFrames == [])
    return events
  }
}

@Suite("What a guest receives")
struct ReceiveServerTests {
  @Test("lies at the beginning of the page that it has offered, and is said to be valid")
  func receives() throws {
    let bench = Bench()
    bench.frontEnd.offer(10, identifier: 3)
    bench.add(0xee, count: 1514)
    #expect(try bench.work() == 1)
    #expect(try bench.frontEnd.takeReceived() == .init(identifier: 3, offset: 0, flags: 1, status: 1514))
    #expect(bench.guest.page(10)[0] == 0xee && bench.guest.page(10)[1513] == 0xee)
    #expect(bench.guest.page(10)[1514] == 0)
    #expect(try bench.work() == 0)
  }

  @Test("waits for pages, and the next one offered raises an event")
  func waits() throws {
    let bench = Bench()
    for byte in 1...3 { bench.add(UInt8(byte), count: 100) }
    #expect(try bench.work() == 0)
    #expect(bench.frontEnd.offer(10))
    #expect(!bench.frontEnd.offer(11))
    #expect(try bench.work() == 1 && bench.server.waitingCount == 1)
    #expect(bench.guest.page(10)[0] == 1 && bench.guest.page(11)[0] == 2)
    #expect(bench.frontEnd.offer(12))
    _ = try bench.work()
    #expect(bench.guest.page(12)[0] == 3 && bench.server.waitingCount == 0)
  }

  @Test(
    "is lost where its page cannot be written, and the next is not", arguments: [60, 50, .max] as [UInt32])
  func refused(reference: UInt32) throws {
    let bench = Bench()
    bench.guest.grant(50, readOnly: true)
    bench.frontEnd.offer(reference, identifier: 1)
    bench.frontEnd.offer(10, identifier: 2)
    bench.add(1, count: 100)
    bench.add(2, count: 200)
    #expect(try bench.work() == 1)
    #expect(try bench.frontEnd.takeReceived() == .init(identifier: 1, offset: 0, flags: 0, status: -1))
    #expect(try bench.frontEnd.takeReceived() == .init(identifier: 2, offset: 0, flags: 1, status: 200))
    #expect(bench.guest.page(10)[0] == 2 && bench.guest.page(50)[0] == 0)
  }

  @Test("is a whole page at most, and 512 frames wait for pages at most")
  func limits() throws {
    let bench = Bench()
    bench.add(1, count: 4097)
    #expect(bench.server.waitingCount == 0)
    bench.add(1, count: 4096)
    for _ in 0..<600 { bench.add(2, count: 14) }
    #expect(bench.server.waitingCount == 512)
    for round in 0..<3 {
      for index in 0..<256 { bench.frontEnd.offer(10 + UInt32(index % 30)) }
      _ = try bench.work()
      var sizes: [Int16] = []
      while let received = try bench.frontEnd.takeReceived() { sizes.append(received.status) }
      #expect(sizes.count == (round < 2 ? 256 : 0) && (round > 0 || sizes[0] == 4096))
    }
  }

  @Test("is given up on a ring whose producer makes no sense")
  func corrupt() throws {
    let bench = Bench()
    bench.add(1, count: 100)
    bench.guest.page(FakeNetworkFrontEnd.receiveFrame).storeBytes(of: .max, toByteOffset: 0, as: UInt32.self)
    #expect(throws: RingError.producerOutOfRange(producer: .max, consumer: 0, size: 256)) {
      try bench.server.work {}
    }
  }
}
