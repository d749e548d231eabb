// SPDX-License-Identifier: Apache-2.0
//
// Back ends of rings with bugs planted in them, for the drivers to find.

import Conformance
import Interfaces
import Machines

/// What a planted back end does wrong.
public enum RingBug: Int, CaseIterable, Sendable {
  /// XSA-39: the peer's producer index is believed as it stands.
  case unboundedProducer
  /// The bound forgets the requests that are taken and not answered.
  case boundWithoutUnanswered
  /// The event test misses the message just asked for.
  case eventOffByOne
  /// No fence between the producer index and the look at the event index: a lost wake-up.
  case missedFence
  /// A request is read twice.
  case doubleFetch
  /// It sleeps without having looked once more.
  case noSecondLook
  /// It asks for an event at the message that it has taken.
  case asksTooEarly
}

/// A back end with the bug of that number.
public struct PlantedBackSide<let number: Int>: RingSide {
  public static var end: RingEnd { .back }
  private let memory: RingTap
  public private(set) var indices: RingIndices
  private var bug: RingBug { RingBug.allCases[number] }

  public init(memory: RingTap, indices: RingIndices) {
    self.memory = memory
    self.indices = indices
  }

  private mutating func hasRequest() throws(RingError) -> Bool {
    if indices.taken != indices.known { return true }
    let producer = memory.load(.requestProducer)
    let unanswered = bug == .boundWithoutUnanswered ? 0 : indices.taken &- indices.put
    if bug != .unboundedProducer, producer &- indices.taken > memory.slotCount &- unanswered {
      throw .producerOutOfRange(producer: producer, consumer: indices.taken, size: memory.slotCount)
    }
    indices.known = producer
    return producer != indices.taken
  }

  public mutating func take(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    guard try hasRequest() else { return false }
    memory.copySlotOut(indices.taken, into: slot)
    if bug == .doubleFetch { memory.copySlotOut(indices.taken, into: slot) }
    indices.taken &+= 1
    return true
  }

  public mutating func put(_ slot: UnsafeRawBufferPointer) {
    memory.copySlotIn(indices.put, from: slot)
    indices.put &+= 1
  }

  public mutating func push() -> Bool {
    let old = indices.published
    indices.published = indices.put
    memory.store(.responseProducer, indices.put)
    if bug != .missedFence { memory.fullFence() }
    let wanted = memory.load(.responseEvent)
    let distance = indices.put &- wanted
    return bug == .eventOffByOne ? distance &+ 1 < indices.put &- old : distance < indices.put &- old
  }

  public mutating func finalCheck() throws(RingError) -> Bool {
    if try hasRequest() { return true }
    memory.store(.requestEvent, bug == .asksTooEarly ? indices.taken : indices.taken &+ 1)
    memory.fullFence()
    return bug == .noSecondLook ? false : try hasRequest()
  }
}
