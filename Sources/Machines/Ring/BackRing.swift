// SPDX-License-Identifier: Apache-2.0
//
// The back end's side of a request/response ring. Its own two indices live here, never in shared memory, where
// the peer could change them; the peer's one index is validated each time it is read.

import Interfaces

/// The indices that a back end keeps to itself; all run freely and wrap at 2³².
///
/// Always `responsesPublished ≤ responsesPut ≤ requestsTaken ≤ requestsKnown ≤ responsesPut + slots`.
public struct BackRingIndices: Sendable, Hashable {
  /// The next request to take.
  public var requestsTaken: UInt32
  /// The peer's producer as last read and found valid. Until `requestsTaken` has caught up with it, it is not
  /// read again: one shared load a batch.
  public var requestsKnown: UInt32
  /// The next slot for a response.
  public var responsesPut: UInt32
  /// The responses that the peer has been shown.
  public var responsesPublished: UInt32

  /// No request outstanding at `index`.
  public init(quiescentAt index: UInt32) {
    requestsTaken = index
    requestsKnown = index
    responsesPut = index
    responsesPublished = index
  }
}

/// The back end's side of a ring, over any memory. `OptimisedBackRing` is the one over a shared page.
public struct BackRingCore<Memory: RingMemory> {
  public let memory: Memory
  @usableFromInline var own: BackRingIndices

  /// The private indices, for comparison with a specification.
  @inlinable public var indices: BackRingIndices { own }

  /// Attaches to a ring, new or left behind by an earlier back end: requests without a response are taken again.
  @inlinable
  public init(attachingTo memory: Memory) {
    self.memory = memory
    own = BackRingIndices(quiescentAt: memory.load(.responseProducer))
  }

  /// See `BackRing.takeRequest`.
  @inlinable
  public mutating func takeRequest(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    guard try hasRequest() else { return false }
    memory.copySlotOut(own.requestsTaken, into: slot)
    own.requestsTaken &+= 1
    return true
  }

  /// See `BackRing.putResponse`.
  @inlinable
  public mutating func putResponse(_ slot: UnsafeRawBufferPointer) {
    precondition(own.responsesPut != own.requestsTaken, "a response without a request")
    memory.copySlotIn(own.responsesPut, from: slot)
    own.responsesPut &+= 1
  }

  /// See `BackRing.pushResponses`.
  @inlinable
  public mutating func pushResponses() -> Bool {
    let old = own.responsesPublished
    own.responsesPublished = own.responsesPut
    return memory.publish(.responseProducer, from: old, to: own.responsesPut, event: .responseEvent)
  }

  /// See `BackRing.finalCheckForRequests`.
  @inlinable
  public mutating func finalCheckForRequests() throws(RingError) -> Bool {
    if try hasRequest() { return true }
    memory.store(.requestEvent, own.requestsTaken &+ 1)
    memory.fullFence()
    return try hasRequest()
  }

  /// Whether there is a request to take; reads the peer's producer only when all known ones are taken.
  @inlinable
  mutating func hasRequest() throws(RingError) -> Bool {
    if own.requestsTaken != own.requestsKnown { return true }
    let producer = memory.load(.requestProducer)
    // The slots not free for new requests hold requests taken and not yet answered. A producer behind
    // `requestsTaken` wraps to a huge difference, and fails too.
    let unanswered = own.requestsTaken &- own.responsesPut
    guard producer &- own.requestsTaken <= memory.slotCount &- unanswered else {
      throw .producerOutOfRange(producer: producer, consumer: own.requestsTaken, size: memory.slotCount)
    }
    own.requestsKnown = producer
    return producer != own.requestsTaken
  }
}

/// The back end's side of a ring in a shared page.
public final class OptimisedBackRing: BackRing {
  private var core: BackRingCore<SharedRingMemory>

  /// Attaches to the ring in `page`; for the limits see `SharedRingMemory`.
  public init(page: UnsafeMutableRawPointer, slotCount: Int, slotSize: Int) {
    core = BackRingCore(
      attachingTo: SharedRingMemory(page: page, slotCount: slotCount, slotSize: slotSize))
  }

  public var slotCount: Int { Int(core.memory.slotCount) }
  public var slotSize: Int { core.memory.slotSize }

  public func takeRequest(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    try core.takeRequest(into: slot)
  }

  public func putResponse(_ slot: UnsafeRawBufferPointer) { core.putResponse(slot) }

  public func pushResponses() -> Bool { core.pushResponses() }

  public func finalCheckForRequests() throws(RingError) -> Bool { try core.finalCheckForRequests() }
}
