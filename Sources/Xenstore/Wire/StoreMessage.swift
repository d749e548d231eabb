// SPDX-License-Identifier: Apache-2.0

/// The kinds of messages. Source: xen/include/public/io/xs_wire.h.
enum StoreMessageType: UInt32, Sendable, CaseIterable {
  case control = 0
  case directory = 1
  case read = 2
  case getPermissions = 3
  case watch = 4
  case unwatch = 5
  case transactionStart = 6
  case transactionEnd = 7
  case introduce = 8
  case release = 9
  case getDomainPath = 10
  case write = 11
  case makeDirectory = 12
  case remove = 13
  case setPermissions = 14
  case watchEvent = 15
  case error = 16
  case isDomainIntroduced = 17
  case resume = 18
  case setTarget = 19
  case resetWatches = 21
  case directoryPart = 22
}

/// A message: a header of four 32-bit words, and up to 4096 bytes.
struct StoreMessage: Sendable, Hashable {
  /// The raw kind: a guest may send any number.
  var type: UInt32
  /// The request's number; its reply carries the same.
  var request: UInt32
  /// The transaction; 0 for none.
  var transaction: UInt32
  var payload: [UInt8]

  static let headerSize = 16
  static let maximumPayload = 4096

  /// The message's bytes on the wire.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.headerSize + payload.count)
    for word in [type, request, transaction, UInt32(payload.count)] {
      withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
    }
    return bytes + payload
  }

  /// The payload cut at its zero bytes; what follows the last one too.
  var fields: [ArraySlice<UInt8>] {
    payload.split(separator: 0, omittingEmptySubsequences: false)
  }

  /// An answer of the same kind.
  func reply(_ payload: [UInt8]) -> StoreMessage {
    StoreMessage(type: type, request: request, transaction: transaction, payload: payload)
  }

  func reply(error: StoreError) -> StoreMessage {
    StoreMessage(
      type: StoreMessageType.error.rawValue, request: request, transaction: transaction,
      payload: Array(error.rawValue.utf8) + [0])
  }

  init(type: UInt32, request: UInt32, transaction: UInt32, payload: [UInt8]) {
    self.type = type
    self.request = request
    self.transaction = transaction
    self.payload = payload
  }

  init(event: StoreEvent) {
    let payload = Array(event.path.utf8) + [0] + Array(event.token.utf8) + [0]
    self.init(type: StoreMessageType.watchEvent.rawValue, request: 0, transaction: 0, payload: payload)
  }
}

/// Puts messages together from bytes as they come.
struct StoreMessageReader: Sendable {
  /// A header that promises more than a payload may have: the guest is lost, for where would the next one begin?
  struct TooLong: Error, Sendable, Hashable {
    var length: UInt32
  }

  private var buffer: [UInt8] = []

  /// How many bytes the message that comes next still lacks, as far as is known; at least 1.
  var missing: Int {
    get throws(TooLong) {
      guard buffer.count >= StoreMessage.headerSize else { return StoreMessage.headerSize - buffer.count }
      return StoreMessage.headerSize + (try payloadSize) - buffer.count
    }
  }

  private var payloadSize: Int {
    get throws(TooLong) {
      let length = word(3)
      guard length <= UInt32(StoreMessage.maximumPayload) else { throw TooLong(length: length) }
      return Int(length)
    }
  }

  private func word(_ index: Int) -> UInt32 {
    buffer.withUnsafeBytes {
      UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
    }
  }

  /// Takes bytes that follow, no more than `missing` asked for; returns the message if it is complete.
  mutating func take(_ bytes: UnsafeRawBufferPointer) throws(TooLong) -> StoreMessage? {
    buffer.append(contentsOf: bytes)
    guard buffer.count >= StoreMessage.headerSize, buffer.count >= StoreMessage.headerSize + (try payloadSize)
    else {
      return nil
    }
    defer { buffer.removeAll(keepingCapacity: true) }
    return StoreMessage(
      type: word(0), request: word(1), transaction: word(2),
      payload: Array(buffer.dropFirst(StoreMessage.headerSize)))
  }
}
