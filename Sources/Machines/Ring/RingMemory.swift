// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The shared part of a request/response ring, one memory access a call.
///
/// The ring cores touch shared memory only through these requirements. `SharedRingMemory` is the real page; a
/// conformance driver supplies one that records each access and lets a hostile peer act between any two.
public protocol RingMemory {
  /// Slots in the ring: a power of two.
  var slotCount: UInt32 { get }
  /// Bytes in a slot.
  var slotSize: Int { get }

  /// One load; nothing after it is done before it.
  func load(_ word: RingWord) -> UInt32

  /// One store; everything before it is visible before it.
  func store(_ word: RingWord, _ value: UInt32)

  /// Orders the stores before it with the loads after it, which x86 would otherwise exchange.
  func fullFence()

  /// Reads each byte of the slot at a free-running index once.
  func copySlotOut(_ index: UInt32, into slot: UnsafeMutableRawBufferPointer)

  /// Writes the slot at a free-running index.
  func copySlotIn(_ index: UInt32, from slot: UnsafeRawBufferPointer)
}

extension RingMemory {
  /// Publishes the entries `old ..< new` of one direction.
  ///
  /// The fence stands between our store and our look at the peer's event index; the peer has its own between
  /// its event index and its last look at our producer. Without both, each could miss the other: a lost wake-up.
  /// - Returns: whether the peer asked for an event at one of these entries.
  @inlinable
  func publish(_ producer: RingWord, from old: UInt32, to new: UInt32, event: RingWord) -> Bool {
    store(producer, new)
    fullFence()
    let wanted = load(event)
    return new &- wanted < new &- old
  }
}

/// The indices that one side of a ring keeps to itself; all run freely and wrap at 2³².
///
/// The front end puts requests and takes responses: `taken ≤ known ≤ published ≤ put ≤ taken + slots`. The back end
/// takes requests and puts responses: `published ≤ put ≤ taken ≤ known ≤ put + slots`.
public struct RingIndices: Sendable, Hashable {
  /// The next slot that this side writes.
  public var put: UInt32
  /// What the peer has been shown of that: the producer index as last stored.
  public var published: UInt32
  /// The next of the peer's messages that this side takes.
  public var taken: UInt32
  /// The peer's producer as last read and found valid. Until `taken` has caught up with it, it is not read again: one
  /// shared load a batch.
  public var known: UInt32

  @inlinable
  public init(put: UInt32, published: UInt32, taken: UInt32, known: UInt32) {
    self.put = put
    self.published = published
    self.taken = taken
    self.known = known
  }

  /// Nothing outstanding at `index`.
  @inlinable
  public init(quiescentAt index: UInt32) {
    self.init(put: index, published: index, taken: index, known: index)
  }
}
