// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Moves bytes between a guest's console ring and those who talk to it. Belongs to one thread.
///
/// The guest's ring is always emptied; what it says goes to every end, and what any end types goes to it.
final class ConsoleServer {
  private let ring: any StreamRing
  private(set) var ends: [ConsoleEnd]
  private var toGuest: [UInt8] = []
  /// The last round ended before the ring was empty: do not wait, the guest may have written more.
  private(set) var isBusy = false

  /// Bytes read from the ring at a time.
  private static let chunk = 4096
  /// Reads of the ring in one round: a guest that writes without end does not keep the user from ending the session.
  private static let readsPerRound = 64

  init(ring: any StreamRing, _ end: ConsoleEnd) {
    self.ring = ring
    ends = [end]
  }

  /// Whether input is to be read: one at a time waits for the guest to take it.
  var acceptsInput: Bool { toGuest.isEmpty }

  func add(_ end: ConsoleEnd) { ends.append(end) }

  /// Takes out those who have gone, and returns them.
  func removeGone() -> [ConsoleEnd] {
    let gone = ends.filter(\.isGone)
    ends.removeAll(where: \.isGone)
    return gone
  }

  /// Moves what can be moved between ring and buffers.
  /// - Returns: whether the guest is to be notified.
  func exchange() throws(RingError) -> Bool {
    let read = try drain()
    let written = try feed()
    return read || written
  }

  private func drain() throws(RingError) -> Bool {
    let ring = ring
    var moved = false
    isBusy = false
    for _ in 0..<Self.readsPerRound {
      let bytes = try withUnsafeTemporaryAllocation(byteCount: Self.chunk, alignment: 1) { buffer in
        Result { () throws(RingError) in
          let count = try ring.read(into: buffer)
          return Array(buffer[..<count])
        }
      }.get()
      if bytes.isEmpty { return moved }
      moved = true
      for end in ends { end.keep(bytes) }
    }
    isBusy = true
    return moved
  }

  private func feed() throws(RingError) -> Bool {
    guard !toGuest.isEmpty else { return false }
    let ring = ring
    let count = try toGuest.withUnsafeBytes { bytes in
      Result { () throws(RingError) in try ring.write(bytes) }
    }.get()
    toGuest.removeFirst(count)
    return count > 0
  }

  /// Reads an end's input; `poll` has said that there is some, or that it has ended.
  /// - Returns: true if the user asks for the session's end.
  func readInput(of end: ConsoleEnd) -> Bool {
    let (bytes, isEnd) = end.readInput()
    toGuest += bytes
    return isEnd
  }
}
