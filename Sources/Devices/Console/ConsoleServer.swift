// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces

/// Moves bytes between a guest's console ring and two file descriptors. Belongs to one thread.
///
/// The guest is never kept waiting by a slow reader of its output: its ring is always emptied, and what nobody takes
/// is kept up to `outputLimit`, then lost, which the reader is told.
final class ConsoleServer {
  /// What a round is to wait for.
  struct Interest {
    var input: Bool
    var output: Bool
    /// Do not wait at all: the guest may have written more.
    var isBusy = false
  }

  private let ring: any StreamRing
  private let input: Int32?
  private let output: Int32
  /// The byte that ends the session, Ctrl-]; nil if input is no terminal: then all bytes are the guest's.
  private let escape: UInt8?
  private var toGuest: [UInt8] = []
  private var fromGuest: [UInt8] = []
  private var lost = 0
  private var inputEnded = false
  private var outputEnded = false
  /// The last round ended before the ring was empty.
  private var isBusy = false

  /// Bytes of output kept for a reader that does not read.
  static let outputLimit = 1 << 20
  /// Bytes written at a time: as many as a pipe takes at once when `poll` says that it takes any.
  private static let chunk = 4096
  /// Reads of the ring in one round: a guest that writes without end does not keep the user from ending the session.
  private static let readsPerRound = 64

  init(ring: any StreamRing, input: Int32?, output: Int32, escape: UInt8?) {
    self.ring = ring
    self.input = input
    self.output = output
    self.escape = escape
  }

  var interest: Interest {
    Interest(
      input: input != nil && !inputEnded && toGuest.isEmpty, output: !fromGuest.isEmpty && !outputEnded,
      isBusy: isBusy)
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
      keep(bytes)
    }
    isBusy = true
    return moved
  }

  private func keep(_ bytes: [UInt8]) {
    if outputEnded { return }
    if fromGuest.count + bytes.count > Self.outputLimit {
      lost += bytes.count
    } else {
      announceLoss()
      fromGuest += bytes
    }
  }

  private func announceLoss() {
    guard lost > 0 else { return }
    fromGuest += Array("\r\n[\(lost) bytes of console output lost: nobody read them]\r\n".utf8)
    lost = 0
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

  /// Reads input; `poll` has said that there is some, or that it has ended.
  /// - Returns: true if the user asks for the session's end.
  func readInput() -> Bool {
    guard let input else { return false }
    var buffer = [UInt8](repeating: 0, count: 512)
    let count = read(input, &buffer, buffer.count)
    if count < 0 && (errno == EINTR || errno == EAGAIN) { return false }
    guard count > 0 else {
      inputEnded = true
      return false
    }
    let bytes = buffer[..<count]
    guard let escape, let end = bytes.firstIndex(of: escape) else {
      toGuest += bytes
      return false
    }
    toGuest += bytes[..<end]
    return true
  }

  /// Writes output; `poll` has said that there is room.
  func writeOutput() {
    let count = fromGuest.withUnsafeBytes { write(output, $0.baseAddress, min($0.count, Self.chunk)) }
    if count > 0 {
      fromGuest.removeFirst(count)
      if fromGuest.isEmpty { announceLoss() }
    } else if count < 0 && errno != EINTR && errno != EAGAIN {
      outputEnded = true
      fromGuest = []
    }
  }
}
