// SPDX-License-Identifier: Apache-2.0

import Glibc

/// One side of a conversation with a guest: the terminal that it was started at, or one that was attached since.
/// Belongs to the console's thread.
///
/// The guest is never kept waiting by a slow reader: what nobody takes is kept up to `outputLimit`, then lost, which the
/// reader is told.
final class ConsoleEnd {
  private let input: Int32?
  private let output: Int32
  /// The byte that ends the session, Ctrl-]; nil if input is no terminal: then all bytes are the guest's.
  private let escape: UInt8?
  /// Whether it goes when its other side does, and is then to be closed.
  let isAttached: Bool
  private var fromGuest: [UInt8] = []
  private var lost = 0
  private var inputEnded = false
  private var outputEnded = false

  /// Bytes of output kept for a reader that does not read.
  static let outputLimit = 1 << 20
  /// Bytes written at a time: as many as a pipe takes at once when `poll` says that it takes any.
  private static let chunk = 4096

  init(input: Int32?, output: Int32, escape: UInt8?) {
    self.input = input
    self.output = output
    self.escape = escape
    isAttached = false
  }

  /// A terminal that was attached, by its socket.
  init(attached socket: Int32) {
    input = socket
    output = socket
    escape = nil
    isAttached = true
  }

  /// The socket of one that was attached.
  var descriptor: Int32 { output }

  /// Where to wait for input; nil if none comes.
  var wantedInput: Int32? { inputEnded ? nil : input }
  /// Where to wait until output can be written; nil if there is none.
  var wantedOutput: Int32? { fromGuest.isEmpty || outputEnded ? nil : output }
  /// Its other side has gone.
  var isGone: Bool { isAttached && (inputEnded || outputEnded) }

  /// Takes what the guest has written.
  func keep(_ bytes: [UInt8]) {
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

  /// Reads input; `poll` has said that there is some, or that it has ended.
  /// - Returns: what the guest is to get, and whether the user asks for the session's end.
  func readInput() -> (bytes: [UInt8], isEnd: Bool) {
    guard let input else { return ([], false) }
    var buffer = [UInt8](repeating: 0, count: 512)
    let count = read(input, &buffer, buffer.count)
    if count < 0 && (errno == EINTR || errno == EAGAIN) { return ([], false) }
    guard count > 0 else {
      inputEnded = true
      return ([], false)
    }
    let bytes = buffer[..<count]
    guard let escape, let end = bytes.firstIndex(of: escape) else { return (Array(bytes), false) }
    return (Array(bytes[..<end]), true)
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
