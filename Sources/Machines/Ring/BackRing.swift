// SPDX-License-Identifier: Apache-2.0
//
// The back end's side of a request/response ring. Its own two indices live here, never in shared memory, where
// the peer could change them; the peer's one index is validated each time it is read.

import Interfaces

/// The back end's side of a ring, over any memory. `OptimisedBackRing` is the one over a shared page.
public struct BackRingCore<Memory: RingMemory> {
  public let memory: Memory
  @usableFromInline var own: RingIndices

  /// The private indices, for comparison with a specification.
  @inlinable public var indices: RingIndices { own }

  /// Attaches to a ring, new or left behind by an earlier back end: requests without a response are taken again.
  @inlinable
  public init(attachingTo memory: Memory) {
    self.memory = memory
    own = RingIndices(quiescentAt: memory.load(.responseProducer))
  }

  /// Goes on where a core with these indices left off.
  @inlinable
  public init(memory: Memory, indices: RingIndices) {
    self.memory = memory
    own = indices
  }

  /// See `BackRing.takeRequest`.
  @inlinable
  public mutating func takeRequest(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    guard try hasRequest() else { return false }
    memory.copySlotOut(own.taken, into: slot)
    own.taken &+= 1
    return true
  }

  /// See `BackRing.putResponse`.
  @inlinable
  public mutating func putResponse(_ slot: UnsafeRawBufferPointer) {
    precondition(own.put != own.taken, "a response without a request")
    memory.copySlotIn(own.put, from: slot)
    own.put &+= 1
  }

  /// See `BackRing.pushResponses`.
  @inlinable
  public mutating func pushResponses() -> Bool {
    let old = own.published
    own.published = own.put
    return memory.publish(.responseProducer, from: old, to: own.put, event: .responseEvent)
  }

  /// See `BackRing.finalCheckForRequests`.
  @inlinable
  public mutating func finalCheckForRequests() throws(RingError) -> Bool {
    if try hasRequest() { return true }
    memory.store(.requestEvent, own.taken &+ 1)
    memory.fullFence()
    return try hasRequest()
  }

  /// Whether there is a request to take; reads the peer's producer only when all known ones are taken.
  @inlinable
  mutating func hasRequest() throws(RingError) -> Bool {
    if own.taken != own.known { return true }
    let producer = memory.load(.requestProducer)
    // The slots not free for new requests hold requests taken and not yet answered. A producer behind
    // `taken` wraps to a huge difference, and fails too.
    let unanswered = own.taken &- own.put
    guard producer &- own.taken <= memory.slotCount &- unanswered else {
      throw .producerOutOfRange(producer: producer, consumer: own.taken, size: memory.slotCount)
    }
    own.known = producer
    return producer != own.taken
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
