// SPDX-License-Identifier: Apache-2.0
//
// Both ends of a ring on threads of their own. Each sleeps, for real, as soon as its final check finds nothing; a
// wake-up lost by either leaves both asleep, which the time limit on a sleep reports.

import Glibc
import Interfaces
import Machines
import Synchronization
import Testing

/// A sleep and wake-up as an event channel gives them: sticky, without a count.
final class Doorbell: Sendable {
  private let reader: CInt
  private let writer: CInt

  init() {
    var ends: [CInt] = [-1, -1]
    precondition(pipe(&ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0)
    (reader, writer) = (ends[0], ends[1])
  }

  deinit {
    close(reader)
    close(writer)
  }

  /// A pipe that is full has rung already.
  func ring() { _ = Glibc.write(writer, [1], 1) }

  /// - Returns: false if nobody rang for ten seconds.
  func wait() -> Bool {
    var poll = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
    guard Glibc.poll(&poll, 1, 10_000) == 1 else { return false }
    var drained = [UInt8](repeating: 0, count: 64)
    return Glibc.read(reader, &drained, drained.count) > 0
  }
}

/// Runs a body on a thread of its own, and waits for it to end when asked.
final class TestThread: Sendable {
  private let thread: pthread_t

  init(_ body: @escaping @Sendable () -> Void) {
    let boxed = Unmanaged.passRetained(Box(body))
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, boxed.toOpaque())
    self.thread = thread
  }

  func join() { pthread_join(thread, nil) }

  private final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}

@Suite("Rings under stress")
struct RingStressTests {
  @Test("No wake-up is lost between two threads", arguments: [1, 2, 8])
  func noLostWakeUp(slots: Int) throws {
    let total: UInt32 = 200_000
    let page = RingPage(slotCount: slots, start: .max - 1000)
    let (toBack, toFront) = (Doorbell(), Doorbell())
    // The front end attaches first, as in life: it reads the request producer, which it then moves.
    let front = page.front()

    let failures = Failures()
    let backThread = TestThread { failures.catching { try serve(page, total, toBack, toFront, failures) } }
    var (sent, received) = (UInt32(0), UInt32(0))
    while received < total {
      while sent < total, !front.isFull {
        front.put(sent)
        sent += 1
      }
      if front.pushRequests() { toBack.ring() }
      while let response = try front.take() {
        if response != received &* 3 { failures.add("response \(received) is \(response)") }
        received += 1
      }
      let mustSleep = received < total && (front.isFull || sent == total)
      if mustSleep, try !front.finalCheckForResponses(), !toFront.wait() {
        failures.add("the front end sleeps for ever at \(received)")
        break
      }
    }
    toBack.ring()
    backThread.join()
    #expect(failures.all == [])
  }

  /// The back end's thread.
  private func serve(
    _ page: RingPage, _ total: UInt32, _ wake: Doorbell, _ peer: Doorbell, _ failures: Failures
  ) throws {
    let back = OptimisedBackRing(
      page: page.bytes, slotCount: Int(page.memory.slotCount), slotSize: page.memory.slotSize)
    var served: UInt32 = 0
    while served < total {
      while let request = try back.take() {
        if request != served { failures.add("request \(served) is \(request)") }
        back.put(request &* 3)
        served += 1
      }
      if back.pushResponses() { peer.ring() }
      if served < total, try !back.finalCheckForRequests(), !wake.wait() {
        return failures.add("the back end sleeps for ever at \(served)")
      }
    }
  }

  @Test("Streams between two threads lose and invent nothing")
  func streams() throws {
    let total = 4_000_000
    let page = StreamPage(.console, start: .max - 5000)
    let writer = TestThread {
      let guest = page.end(.guest)
      var sent = 0
      while sent < total {
        let bytes = (0..<min(total - sent, 777)).map { UInt8((sent + $0) % 251) }
        guard let written = try? guest.write(bytes) else { return }
        sent += written
        if written == 0 { sched_yield() }
      }
    }
    let host = page.end(.host)
    var received = 0
    var wrong = 0
    while received < total {
      let bytes = try host.read(1000)
      for byte in bytes {
        if byte != UInt8(received % 251) { wrong += 1 }
        received += 1
      }
      if bytes.isEmpty { sched_yield() }
    }
    writer.join()
    #expect(wrong == 0)
  }
}

/// Complaints of several threads.
final class Failures: Sendable {
  private let complaints = Mutex<[String]>([])
  var all: [String] { complaints.withLock { $0 } }

  func add(_ complaint: String) { complaints.withLock { if $0.count < 10 { $0.append(complaint) } } }

  func catching(_ body: () throws -> Void) {
    do { try body() } catch { add("\(error)") }
  }
}
