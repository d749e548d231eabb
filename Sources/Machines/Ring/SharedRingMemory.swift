// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// A request/response ring in a page that is really shared.
public struct SharedRingMemory: RingMemory {
  public let slotCount: UInt32
  public let slotSize: Int
  @usableFromInline let page: UnsafeMutableRawPointer

  /// - Parameters:
  ///   - page: 4096 bytes, aligned to 8.
  ///   - slotCount: a power of two; with 64 bytes before them, the slots fit the page.
  ///   - slotSize: a multiple of 4, as are all of the ABI's.
  public init(page: UnsafeMutableRawPointer, slotCount: Int, slotSize: Int) {
    precondition(slotCount > 0 && slotCount & (slotCount - 1) == 0, "the slots are not a power of two")
    precondition(slotSize > 0 && slotSize % 4 == 0, "the slot size is not a multiple of 4")
    precondition(
      slotCount <= frameSize && slotSize <= frameSize
        && RingWord.slotsOffset + slotCount * slotSize <= frameSize, "the slots do not fit the page")
    self.page = page
    self.slotCount = UInt32(slotCount)
    self.slotSize = slotSize
  }

  /// Makes the page an empty ring in which both sides want the first event, as the front end does before it
  /// gives the page to the back end. Source: io/ring.h, SHARED_RING_INIT.
  public func initialise() {
    page.initializeMemory(as: UInt8.self, repeating: 0, count: RingWord.slotsOffset)
    store(.requestEvent, 1)
    store(.responseEvent, 1)
  }

  @inlinable
  public func load(_ word: RingWord) -> UInt32 {
    page.loadShared(at: word.rawValue)
  }

  @inlinable
  public func store(_ word: RingWord, _ value: UInt32) {
    page.storeShared(value, at: word.rawValue)
  }

  @inlinable
  public func fullFence() {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  @inlinable
  public func copySlotOut(_ index: UInt32, into slot: UnsafeMutableRawBufferPointer) {
    precondition(slot.count >= slotSize, "the buffer is smaller than a slot")
    let source = page + offset(of: index)
    // Atomic loads, for a compiler may repeat plain ones: what was checked would not be what is used.
    if slotSize % 8 == 0 {
      for at in stride(from: 0, to: slotSize, by: 8) {
        let word = (source + at).assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .relaxed)
        slot.storeBytes(of: word, toByteOffset: at, as: UInt64.self)
      }
    } else {
      for at in stride(from: 0, to: slotSize, by: 4) {
        let word = (source + at).assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .relaxed)
        slot.storeBytes(of: word, toByteOffset: at, as: UInt32.self)
      }
    }
  }

  @inlinable
  public func copySlotIn(_ index: UInt32, from slot: UnsafeRawBufferPointer) {
    precondition(slot.count >= slotSize, "the buffer is smaller than a slot")
    guard let source = slot.baseAddress else { return }
    (page + offset(of: index)).copyMemory(from: source, byteCount: slotSize)
  }

  @inlinable
  func offset(of index: UInt32) -> Int {
    RingWord.slotsOffset + Int(index & (slotCount - 1)) * slotSize
  }
}

extension UnsafeMutableRawPointer {
  /// One 32-bit load of a word that others store to; nothing after it is done before it.
  @inlinable
  func loadShared(at offset: Int) -> UInt32 {
    (self + offset).assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .acquiring)
  }

  /// One 32-bit store of a word that others load; everything before it is visible before it.
  @inlinable
  func storeShared(_ value: UInt32, at offset: Int) {
    (self + offset).assumingMemoryBound(to: Atomic<UInt32>.self).pointee.store(value, ordering: .releasing)
  }
}
