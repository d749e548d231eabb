// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

/// A page with a ring whose slots hold one `UInt32` in front; freed with the last use.
final class RingPage: @unchecked Sendable {
  let bytes = UnsafeMutableRawPointer.allocate(byteCount: frameSize, alignment: frameSize)
  let memory: SharedRingMemory

  /// An empty ring whose indices all stand at `start`, so that wrap-around can be reached.
  init(slotCount: Int, slotSize: Int = 4, start: UInt32 = 0) {
    memory = SharedRingMemory(page: bytes, slotCount: slotCount, slotSize: slotSize)
    memory.initialise()
    memory.store(.requestProducer, start)
    memory.store(.responseProducer, start)
    memory.store(.requestEvent, start &+ 1)
    memory.store(.responseEvent, start &+ 1)
  }

  deinit { bytes.deallocate() }

  func back() -> OptimisedBackRing {
    OptimisedBackRing(page: bytes, slotCount: Int(memory.slotCount), slotSize: memory.slotSize)
  }

  func front() -> OptimisedFrontRing {
    OptimisedFrontRing(page: bytes, slotCount: Int(memory.slotCount), slotSize: memory.slotSize)
  }
}

extension BackRing {
  func take() throws(RingError) -> UInt32? {
    var value: UInt32 = 0
    let taken = try read(into: &value) { buffer throws(RingError) in try takeRequest(into: buffer) }
    return taken ? value : nil
  }

  func put(_ value: UInt32) {
    withUnsafeBytes(of: value) { putResponse($0) }
  }
}

extension FrontRing {
  func take() throws(RingError) -> UInt32? {
    var value: UInt32 = 0
    let taken = try read(into: &value) { buffer throws(RingError) in try takeResponse(into: buffer) }
    return taken ? value : nil
  }

  func put(_ value: UInt32) {
    withUnsafeBytes(of: value) { putRequest($0) }
  }
}

/// Lets `body` fill a value's bytes, and throws what it throws.
private func read(
  into value: inout UInt32, _ body: (UnsafeMutableRawBufferPointer) throws(RingError) -> Bool
) throws(RingError) -> Bool {
  try withUnsafeMutableBytes(of: &value) { (buffer) throws(RingError) in try body(buffer) }
}

/// Slot counts to try, and starting points around the places where indices wrap.
private let slotCounts = [1, 2, 4, 8, 32]
private let starts: [UInt32] = [0, 1, .max, .max - 3, .max - 31, 1 << 31, (1 << 31) - 1]

@Suite("Request/response rings")
struct RingTests {
  @Test("Requests and responses pass in order, across the wrap of the indices", arguments: slotCounts, starts)
  func passInOrder(slots: Int, start: UInt32) throws {
    let page = RingPage(slotCount: slots, start: start)
    let (front, back) = (page.front(), page.back())
    var sent: UInt32 = 0
    var answered: UInt32 = 0
    for round in 1...3 * slots {
      for _ in 0..<max(1, round % (slots + 1)) where !front.isFull {
        front.put(sent)
        sent += 1
      }
      _ = front.pushRequests()
      while let request = try back.take() { back.put(request ^ 0xffff) }
      _ = back.pushResponses()
      while let response = try front.take() {
        #expect(response == answered ^ 0xffff)
        answered += 1
      }
    }
    #expect(sent == answered)
    #expect(sent >= 3 * slots)
  }

  @Test("Nothing is seen before it is pushed")
  func unseenBeforePush() throws {
    let page = RingPage(slotCount: 4)
    let (front, back) = (page.front(), page.back())
    front.put(7)
    #expect(try back.take() == nil)
    #expect(front.pushRequests())
    #expect(try back.take() == 7)
    back.put(8)
    #expect(try front.take() == nil)
    #expect(back.pushResponses())
    #expect(try front.take() == 8)
  }

  @Test("A front end has as many requests outstanding as slots, no more", arguments: slotCounts)
  func fullness(slots: Int) throws {
    let page = RingPage(slotCount: slots)
    let (front, back) = (page.front(), page.back())
    for value in 0..<slots {
      #expect(!front.isFull)
      front.put(UInt32(value))
    }
    #expect(front.isFull)
    _ = front.pushRequests()
    _ = try back.take()
    back.put(0)
    _ = back.pushResponses()
    #expect(front.isFull)
    #expect(try front.take() == 0)
    #expect(!front.isFull)
  }

  @Test("An event is asked for by the final check, and given once")
  func eventsHeldOff() throws {
    let page = RingPage(slotCount: 8)
    let (front, back) = (page.front(), page.back())
    front.put(1)
    #expect(front.pushRequests())
    front.put(2)
    #expect(!front.pushRequests(), "the back end is awake and asked for nothing")
    #expect(try back.take() == 1)
    #expect(try back.finalCheckForRequests(), "request 2 is there")
    #expect(try back.take() == 2)
    #expect(try !back.finalCheckForRequests())
    front.put(3)
    front.put(4)
    #expect(front.pushRequests())
    #expect(!front.pushRequests(), "nothing new")
  }

  @Test("A reconnecting back end goes on at the first unanswered request")
  func reconnect() throws {
    let page = RingPage(slotCount: 4, start: .max)
    let front = page.front()
    let first = page.back()
    for value: UInt32 in 1...3 { front.put(value) }
    _ = front.pushRequests()
    #expect(try first.take() == 1)
    first.put(1)
    _ = first.pushResponses()
    #expect(try first.take() == 2)
    let second = page.back()
    #expect(try second.take() == 2)
    #expect(try second.take() == 3)
    #expect(try second.take() == nil)
  }

  @Test("A slot size that is no multiple of 8 copies whole slots", arguments: [4, 12, 16, 108, 112])
  func slotSizes(size: Int) throws {
    let page = RingPage(slotCount: 32, slotSize: size)
    let (front, back) = (page.front(), page.back())
    let sent = (0..<size).map { UInt8(truncatingIfNeeded: $0 + 1) }
    var received = [UInt8](repeating: 0, count: size)
    for _ in 0..<2 { sent.withUnsafeBytes { front.putRequest($0) } }
    _ = front.pushRequests()
    for _ in 0..<2 {
      received = [UInt8](repeating: 0, count: size)
      #expect(try received.withUnsafeMutableBytes { try back.takeRequest(into: $0) })
      #expect(received == sent)
    }
  }
}

@Suite("Rings with a hostile peer")
struct HostileRingTests {
  /// For each state of a back end and each producer that a peer may claim, exactly those claims are believed that
  /// lie between what was taken and what the slots hold.
  @Test("A back end believes no producer beyond the ring", arguments: [1, 2, 4, 8], starts)
  func requestProducer(slots: Int, start: UInt32) throws {
    for taken in 0...slots {
      for answered in 0...taken {
        for claim in claims(around: start, slots: slots) {
          let page = RingPage(slotCount: slots, start: start)
          let back = page.back()
          page.memory.store(.requestProducer, start &+ UInt32(taken))
          for _ in 0..<taken { _ = try back.take() }
          for _ in 0..<answered { back.put(0) }
          page.memory.store(.requestProducer, claim)
          let ahead = Int(Int32(bitPattern: claim &- start))
          let error = RingError.producerOutOfRange(
            producer: claim, consumer: start &+ UInt32(taken), size: UInt32(slots))
          if ahead >= taken && ahead <= answered + slots {
            #expect(try (back.take() != nil) == (ahead > taken))
          } else {
            #expect(throws: error) { try back.take() }
            #expect(throws: error) { try back.finalCheckForRequests() }
          }
        }
      }
    }
  }

  @Test(
    "A front end believes no response to a request that it has not published", arguments: [1, 2, 4, 8], starts
  )
  func responseProducer(slots: Int, start: UInt32) throws {
    for published in 0...slots {
      for claim in claims(around: start, slots: slots) {
        let page = RingPage(slotCount: slots, start: start)
        let front = page.front()
        for _ in 0..<published { front.put(0) }
        _ = front.pushRequests()
        if !front.isFull { front.put(0) }
        page.memory.store(.responseProducer, claim)
        if claim &- start <= UInt32(published) {
          #expect(try (front.take() != nil) == (claim != start))
        } else {
          let error = RingError.producerOutOfRange(producer: claim, consumer: start, size: UInt32(slots))
          #expect(throws: error) { try front.take() }
          #expect(throws: error) { try front.finalCheckForResponses() }
        }
      }
    }
  }

  @Test("Own indices overwritten in shared memory change nothing")
  func ownIndicesArePrivate() throws {
    let page = RingPage(slotCount: 4)
    let (front, back) = (page.front(), page.back())
    front.put(1)
    _ = front.pushRequests()
    page.memory.store(.responseProducer, 77)
    #expect(try back.take() == 1)
    back.put(2)
    #expect(back.pushResponses())
    #expect(page.memory.load(.responseProducer) == 1)
    #expect(try front.take() == 2)
  }

  @Test("A batch that is known is taken without a second look at the producer")
  func oneLoadABatch() throws {
    let page = RingPage(slotCount: 4)
    let (front, back) = (page.front(), page.back())
    for value: UInt32 in 1...3 { front.put(value) }
    _ = front.pushRequests()
    #expect(try back.take() == 1)
    page.memory.store(.requestProducer, 1000)
    #expect(try back.take() == 2)
    #expect(try back.take() == 3)
    #expect(throws: RingError.self) { try back.take() }
  }

  private func claims(around start: UInt32, slots: Int) -> [UInt32] {
    (-2...2 * slots + 2).map { start &+ UInt32(bitPattern: Int32($0)) }
      + [start &+ (1 << 31), start &- (1 << 31) &+ 1]
  }
}
