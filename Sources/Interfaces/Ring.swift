// SPDX-License-Identifier: Apache-2.0
//
// Shared rings. Two protocols of the ABI:
//   request/response rings (io/ring.h): a page with four free-running 32-bit indices and a power of two of
//   slots, each holding a request or the response to it;
//   byte streams (io/console.h, io/xs_wire.h): two byte rings with producer and consumer both shared.
// The other side is hostile: whatever it stores is checked, and each request is read once.

/// What is wrong with a ring whose shared part makes no sense. The peer wrote it: the ring is dead, nobody else.
public enum RingError: Error, Sendable, Hashable {
  /// The peer's producer index claims more than the ring holds (XSA-39).
  case producerOutOfRange(producer: UInt32, consumer: UInt32, size: UInt32)
  /// The peer's consumer index of a byte stream is beyond what was produced.
  case consumerOutOfRange(consumer: UInt32, producer: UInt32, size: UInt32)
}

/// The four shared words of a request/response ring, by their byte offset in the page.
/// Source: io/ring.h, DEFINE_RING_TYPES; slots begin at byte 64.
public enum RingWord: Int, Sendable, CaseIterable {
  case requestProducer = 0
  case requestEvent = 4
  case responseProducer = 8
  case responseEvent = 12

  /// Where the slots begin.
  public static let slotsOffset = 64
}

/// The back end's side of a request/response ring.
public protocol BackRing: AnyObject {
  /// Slots in the ring: a power of two.
  var slotCount: Int { get }
  /// Bytes in a slot.
  var slotSize: Int { get }

  /// Copies the next request out, once, and consumes it.
  /// - Returns: false if there is none, or if responses still to be pushed leave no room for one more.
  func takeRequest(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool

  /// Writes a response into the next slot; the peer does not see it before `pushResponses`.
  /// - Precondition: fewer responses than requests were taken.
  func putResponse(_ slot: UnsafeRawBufferPointer)

  /// Publishes the responses put since the last push.
  /// - Returns: whether the peer asked for an event.
  func pushResponses() -> Bool

  /// Asks for an event at the next request, then looks once more.
  /// - Returns: true if there is a request after all: do not sleep.
  func finalCheckForRequests() throws(RingError) -> Bool
}

/// The front end's side of a request/response ring.
public protocol FrontRing: AnyObject {
  var slotCount: Int { get }
  var slotSize: Int { get }

  /// Whether `putRequest` has no slot: as many requests outstanding as the ring has slots.
  var isFull: Bool { get }

  /// Writes a request into the next slot; the peer does not see it before `pushRequests`.
  /// - Precondition: not `isFull`.
  func putRequest(_ slot: UnsafeRawBufferPointer)

  /// Publishes the requests put since the last push.
  /// - Returns: whether the peer asked for an event.
  func pushRequests() -> Bool

  /// Copies the next response out, once, and consumes it. Returns false if there is none.
  func takeResponse(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool

  /// Asks for an event at the next response, then looks once more.
  /// - Returns: true if there is a response after all: do not sleep.
  func finalCheckForResponses() throws(RingError) -> Bool
}

/// One end of a pair of byte streams (console, xenstore).
public protocol StreamRing: AnyObject {
  /// Reads up to `buffer.count` bytes from the peer and consumes them; returns how many.
  /// The peer is to be notified if it is more than 0.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int

  /// Writes as many bytes as there is room for; returns how many. The peer is to be notified if it is more than 0.
  func write(_ buffer: UnsafeRawBufferPointer) throws(RingError) -> Int
}

/// Where the parts of a pair of byte streams lie in their page.
public struct StreamRingLayout: Sendable, Hashable {
  /// One direction: its bytes, and its two indices.
  public struct Direction: Sendable, Hashable {
    /// Byte offset of the data; `size` is a power of two.
    public var data: Int
    public var size: Int
    /// Byte offsets of the 32-bit indices.
    public var consumer: Int
    public var producer: Int

    public init(data: Int, size: Int, consumer: Int, producer: Int) {
      self.data = data
      self.size = size
      self.consumer = consumer
      self.producer = producer
    }
  }

  /// From back end (or store) to guest.
  public var toGuest: Direction
  /// From guest to back end (or store).
  public var fromGuest: Direction

  public init(toGuest: Direction, fromGuest: Direction) {
    self.toGuest = toGuest
    self.fromGuest = fromGuest
  }

  /// `struct xencons_interface`: in[1024], out[2048], in_cons, in_prod, out_cons, out_prod.
  public static let console = StreamRingLayout(
    toGuest: Direction(data: 0, size: 1024, consumer: 3072, producer: 3076),
    fromGuest: Direction(data: 1024, size: 2048, consumer: 3080, producer: 3084))

  /// `struct xenstore_domain_interface`: req[1024], rsp[1024], req_cons, req_prod, rsp_cons, rsp_prod.
  public static let xenstore = StreamRingLayout(
    toGuest: Direction(data: 1024, size: 1024, consumer: 2056, producer: 2060),
    fromGuest: Direction(data: 0, size: 1024, consumer: 2048, producer: 2052))
}
