// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// Why a guest's store ring cannot be served any longer, in one line: what the guest did.
struct StoreRingFailure: Error, Sendable, Hashable, CustomStringConvertible {
  var description: String
}

/// Events on their way to a guest: any thread adds, the ring's thread takes.
final class StoreEventQueue: Sendable {
  private struct Pending {
    var order: [StoreEvent] = []
    var members: Set<StoreEvent> = []
  }
  private let limit: Int
  private let pending = Mutex(Pending())

  init(limit: Int) { self.limit = limit }

  /// Adds an event, unless the same still waits: the guest will look after that one. A guest that does not read
  /// loses those beyond the limit.
  func add(_ event: StoreEvent) {
    pending.withLock { pending in
      guard pending.order.count < limit, pending.members.insert(event).inserted else { return }
      pending.order.append(event)
    }
  }

  /// All that wait, oldest first.
  func takeAll() -> [StoreEvent] {
    pending.withLock { pending in
      defer { pending = Pending() }
      return pending.order
    }
  }
}

/// Moves messages between a guest's store ring and the store. Belongs to one thread.
final class StoreRingServer {
  private let session: StoreSession
  private let events: StoreEventQueue
  private let ring: any StreamRing
  private var reader = StoreMessageReader()
  /// Bytes that the ring has no room for yet.
  private var output: [UInt8] = []
  private var written = 0

  /// While so many bytes wait, no request is read: a guest that does not read is not answered either.
  private static let outputLimit = 16 << 10

  /// - Parameter wake: called from any thread when there is a new event.
  init(store: Store, domain: DomainID, ring: any StreamRing, wake: @escaping @Sendable () -> Void) {
    let events = StoreEventQueue(limit: store.quota.pendingEvents)
    self.events = events
    self.ring = ring
    session = StoreSession(store: store, domain: domain) { event in
      events.add(event)
      wake()
    }
  }

  /// Serves all there is to serve.
  /// - Returns: whether the guest is to be notified.
  func work() throws(StoreRingFailure) -> Bool {
    var moved = false
    while true {
      let received = try receive()
      if written == output.count {
        output.removeAll(keepingCapacity: true)
        written = 0
        for event in events.takeAll() { output += StoreMessage(event: event).bytes }
      }
      let sent = try send()
      guard received || sent else { return moved }
      moved = true
    }
  }

  /// Ends the guest's watches and transactions.
  func close() { session.store.disconnect(session.client) }

  /// Takes one message, or a part of one.
  private func receive() throws(StoreRingFailure) -> Bool {
    guard output.count - written < Self.outputLimit else { return false }
    do {
      let missing = try reader.missing
      let ring = ring
      let message: (count: Int, message: StoreMessage?) = try withUnsafeTemporaryAllocation(
        byteCount: missing, alignment: 1
      ) { buffer in
        let count = try ring.read(into: buffer)
        return (count, try reader.take(UnsafeRawBufferPointer(rebasing: buffer[..<count])))
      }
      if let request = message.message { output += session.handle(request).bytes }
      return message.count > 0
    } catch let error as StoreMessageReader.TooLong {
      throw StoreRingFailure(
        description: "its store ring holds a message of \(error.length) bytes; "
          + "\(StoreMessage.maximumPayload) is the most")
    } catch {
      throw Self.failure(error)
    }
  }

  private func send() throws(StoreRingFailure) -> Bool {
    guard written < output.count else { return false }
    do {
      let count = try output.withUnsafeBytes {
        try ring.write(UnsafeRawBufferPointer(rebasing: $0[written...]))
      }
      written += count
      return count > 0
    } catch {
      throw Self.failure(error)
    }
  }

  private static func failure(_ error: any Error) -> StoreRingFailure {
    StoreRingFailure(description: "its store ring is corrupt: \(error)")
  }
}
