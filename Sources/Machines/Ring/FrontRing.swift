// SPDX-License-Identifier: Apache-2.0
//
// The front end's side of a request/response ring: the mirror of BackRing.swift, for guests of our own and for
// tests. A back end may be hostile too (a driver domain), so its one index is validated in the same way.

import Interfaces

/// The front end's side of a ring, over any memory. `OptimisedFrontRing` is the one over a shared page.
public struct FrontRingCore<Memory: RingMemory> {
  public let memory: Memory
  @usableFromInline var own: RingIndices

  /// The private indices, for comparison with a specification.
  @inlinable public var indices: RingIndices { own }

  /// Attaches to a ring all of whose requests have been answered, as a new one's have.
  @inlinable
  public init(attachingTo memory: Memory) {
    self.memory = memory
    own = RingIndices(quiescentAt: memory.load(.requestProducer))
  }

  /// Goes on where a core with these indices left off.
  @inlinable
  public init(memory: Memory, indices: RingIndices) {
    self.memory = memory
    own = indices
  }

  /// See `FrontRing.isFull`.
  @inlinable
  public var isFull: Bool { own.put &- own.taken >= memory.slotCount }

  /// See `FrontRing.putRequest`.
  @inlinable
  public mutating func putRequest(_ slot: UnsafeRawBufferPointer) {
    precondition(!isFull, "a request without a slot")
    memory.copySlotIn(own.put, from: slot)
    own.put &+= 1
  }

  /// See `FrontRing.pushRequests`.
  @inlinable
  public mutating func pushRequests() -> Bool {
    let old = own.published
    own.published = own.put
    return memory.publish(.requestProducer, from: old, to: own.put, event: .requestEvent)
  }

  /// See `FrontRing.takeResponse`.
  @inlinable
  public mutating func takeResponse(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    guard try hasResponse() else { return false }
    memory.copySlotOut(own.taken, into: slot)
    own.taken &+= 1
    return true
  }

  /// See `FrontRing.finalCheckForResponses`.
  @inlinable
  public mutating func finalCheckForResponses() throws(RingError) -> Bool {
    if try hasResponse() { return true }
    memory.store(.responseEvent, own.taken &+ 1)
    memory.fullFence()
    return try hasResponse()
  }

  /// Whether there is a response to take; reads the peer's producer only when all known ones are taken.
  @inlinable
  mutating func hasResponse() throws(RingError) -> Bool {
    if own.taken != own.known { return true }
    let producer = memory.load(.responseProducer)
    // No more responses than requests that the peer has been shown.
    guard producer &- own.taken <= own.published &- own.taken else {
      throw .producerOutOfRange(producer: producer, consumer: own.taken, size: memory.slotCount)
    }
    own.known = producer
    return producer != own.taken
  }
}

/// The front end's side of a ring in a shared page.
public final class OptimisedFrontRing: FrontRing {
  private var core: FrontRingCore<SharedRingMemory>

  /// Attaches to the ring in `page`; for the limits see `SharedRingMemory`, for a new ring its `initialise`.
  public init(page: UnsafeMutableRawPointer, slotCount: Int, slotSize: Int) {
    core = FrontRingCore(
      attachingTo: SharedRingMemory(page: page, slotCount: slotCount, slotSize: slotSize))
  }

  public var slotCount: Int { Int(core.memory.slotCount) }
  public var slotSize: Int { core.memory.slotSize }
  public var isFull: Bool { core.isFull }

  public func putRequest(_ slot: UnsafeRawBufferPointer) { core.putRequest(slot) }

  public func pushRequests() -> Bool { core.pushRequests() }

  public func takeResponse(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    try core.takeResponse(into: slot)
  }

  public func finalCheckForResponses() throws(RingError) -> Bool { try core.finalCheckForResponses() }
}
