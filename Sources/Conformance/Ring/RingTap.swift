// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// Who answers a ring core's memory accesses.
public protocol RingAccesses: AnyObject {
  func load(_ word: RingWord) -> UInt32
  func store(_ word: RingWord, _ value: UInt32)
  func fullFence()
  func copySlotOut(_ index: UInt32, into slot: UnsafeMutableRawBufferPointer)
  func copySlotIn(_ index: UInt32, from slot: UnsafeRawBufferPointer)
}

/// A ring memory that hands each access on.
public struct RingTap: RingMemory {
  public let slotCount: UInt32
  public let slotSize: Int
  public unowned let accesses: any RingAccesses

  public init(slotCount: UInt32, slotSize: Int, accesses: any RingAccesses) {
    self.slotCount = slotCount
    self.slotSize = slotSize
    self.accesses = accesses
  }

  public func load(_ word: RingWord) -> UInt32 { accesses.load(word) }
  public func store(_ word: RingWord, _ value: UInt32) { accesses.store(word, value) }
  public func fullFence() { accesses.fullFence() }
  public func copySlotOut(_ index: UInt32, into slot: UnsafeMutableRawBufferPointer) {
    accesses.copySlotOut(index, into: slot)
  }
  public func copySlotIn(_ index: UInt32, from slot: UnsafeRawBufferPointer) {
    accesses.copySlotIn(index, from: slot)
  }
}

/// One side of a ring as an implementation: what the drivers hold against the specification. A value, so that a
/// driver can try an operation on a copy.
public protocol RingSide: SendableMetatype {
  /// The side of the specification that it implements.
  static var end: RingEnd { get }

  init(memory: RingTap, indices: RingIndices)
  var indices: RingIndices { get }

  mutating func take(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool
  mutating func put(_ slot: UnsafeRawBufferPointer)
  mutating func push() -> Bool
  mutating func finalCheck() throws(RingError) -> Bool
}

/// The two ends of a ring, in the order in which the specification lists them.
public enum RingEnd: UInt64, Sendable, Hashable, CaseIterable {
  case front
  case back

  var peer: RingEnd { self == .front ? .back : .front }
  /// The shared words that this end stores to.
  var producerWord: RingWord { self == .front ? .requestProducer : .responseProducer }
  var eventWord: RingWord { self == .front ? .responseEvent : .requestEvent }
}

/// The optimised back end's side.
public struct OptimisedBackSide: RingSide {
  public static var end: RingEnd { .back }
  private var core: BackRingCore<RingTap>

  public init(memory: RingTap, indices: RingIndices) { core = BackRingCore(memory: memory, indices: indices) }
  public var indices: RingIndices { core.indices }

  public mutating func take(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    try core.takeRequest(into: slot)
  }
  public mutating func put(_ slot: UnsafeRawBufferPointer) { core.putResponse(slot) }
  public mutating func push() -> Bool { core.pushResponses() }
  public mutating func finalCheck() throws(RingError) -> Bool { try core.finalCheckForRequests() }
}

/// The optimised front end's side.
public struct OptimisedFrontSide: RingSide {
  public static var end: RingEnd { .front }
  private var core: FrontRingCore<RingTap>

  public init(memory: RingTap, indices: RingIndices) {
    core = FrontRingCore(memory: memory, indices: indices)
  }
  public var indices: RingIndices { core.indices }

  public mutating func take(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    try core.takeResponse(into: slot)
  }
  public mutating func put(_ slot: UnsafeRawBufferPointer) { core.putRequest(slot) }
  public mutating func push() -> Bool { core.pushRequests() }
  public mutating func finalCheck() throws(RingError) -> Bool { try core.finalCheckForResponses() }
}

/// What a ring's user may ask for.
public enum RingOperation: Int, Sendable, Hashable, CaseIterable {
  case take, put, push, finalCheck
}

/// What came of it.
public enum RingOutcome: Sendable, Hashable {
  case done
  case answer(Bool)
  case failure(RingError)
}

extension RingSide {
  mutating func perform(_ operation: RingOperation, with slot: UnsafeMutableRawBufferPointer) -> RingOutcome {
    do throws(RingError) {
      switch operation {
      case .take: return .answer(try take(into: slot))
      case .put:
        put(UnsafeRawBufferPointer(slot))
        return .done
      case .push: return .answer(push())
      case .finalCheck: return .answer(try finalCheck())
      }
    } catch {
      return .failure(error)
    }
  }
}
