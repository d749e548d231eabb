// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What a block request asks for. Source: xen/include/public/io/blkif.h.
enum BlockOperation: UInt8, Sendable {
  case read = 0
  case write = 1
  /// All writes answered before are on the disk before it, it before all that follow.
  case writeBarrier = 2
  case flush = 3
  /// Sectors hold nothing that is needed any more.
  case discard = 5
}

/// How a block request ended (`BLKIF_RSP_*`).
enum BlockStatus: Int16, Sendable {
  case okay = 0
  case error = -1
  case notSupported = -2
}

/// The layout of the ring, in the protocol `x86_64-abi`.
enum BlockRing {
  /// Slots in a ring of one page.
  static let slotCount = 32
  static let slotSize = 112
  static let maximumSegments = 11
  /// `BLKIF_OP_INDIRECT`: no operation, but a request whose segments lie in a granted page.
  static let indirect: UInt8 = 6
  /// What is offered: the protocol has up to 4096, in 8 pages. These lie in one.
  static let maximumIndirectSegments = 256
  /// `BLKIF_DISCARD_SECURE`: not offered.
  static let secureDiscard: UInt8 = 1
  /// What requests count sectors in, whatever the disk's own sector size.
  static let sectorSize = 512
  static let protocolName = "x86_64-abi"
}

/// A request, copied out of its slot and its indirect page, and checked for shape: nothing in it is in shared memory any
/// more.
struct BlockRequest: Sendable, Hashable {
  /// A part of a granted page, in sectors.
  struct Segment: Sendable, Hashable {
    var reference: GrantReference
    /// 0 … 7, `first` not above `last`.
    var first: Int
    var last: Int

    var byteOffset: Int { first * BlockRing.sectorSize }
    var byteCount: Int { (last - first + 1) * BlockRing.sectorSize }

    /// - Parameter word: the reference, a byte for the first sector, one for the last, two of padding.
    init(_ word: UInt64) throws(Refusal) {
      reference = GrantReference(UInt32(truncatingIfNeeded: word))
      first = Int(word >> 32 & 0xff)
      last = Int(word >> 40 & 0xff)
      guard first <= last, last < frameSize / BlockRing.sectorSize else { throw Refusal(status: .error) }
    }
  }

  var operation: BlockOperation
  /// Where on the disk it begins, in sectors of 512 bytes: any number.
  var sector: UInt64
  var segments: [Segment] = []
  /// What is to be discarded, in sectors of 512 bytes: any number but 0.
  var discardedSectors: UInt64 = 0

  var byteCount: Int { segments.reduce(0) { $0 + $1.byteCount } }

  /// What a slot says even if its request makes no sense: a response names both.
  struct Head: Sendable, Hashable {
    var operation: UInt8
    var identifier: UInt64

    init(_ slot: UnsafeRawBufferPointer) {
      // An indirect request is answered as what it asks for.
      operation = slot[0] == BlockRing.indirect ? slot[1] : slot[0]
      identifier = slot.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    }
  }

  /// - Parameter copyWords: copies so many words out of a granted page; nil if it cannot be mapped.
  /// - Throws: the status to answer a request with that makes no sense.
  init(
    _ slot: UnsafeRawBufferPointer, copyWords: (_ page: GrantReference, _ count: Int) -> [UInt64]?
  ) throws(Refusal) {
    let isIndirect = slot[0] == BlockRing.indirect
    guard let operation = BlockOperation(rawValue: isIndirect ? slot[1] : slot[0]) else {
      throw Refusal(status: .notSupported)
    }
    self.operation = operation
    sector = slot.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
    let movesData = operation == .read || operation == .write
    guard movesData || !isIndirect else { throw Refusal(status: .error) }
    if operation == .discard {
      guard slot[1] & BlockRing.secureDiscard == 0 else { throw Refusal(status: .notSupported) }
      discardedSectors = slot.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
      guard discardedSectors > 0 else { throw Refusal(status: .error) }
      return
    }
    let words = isIndirect ? try Self.indirectWords(slot, copyWords) : try Self.words(slot)
    segments = try words.map { word throws(Refusal) in try Segment(word) }
    guard !movesData || !segments.isEmpty else { throw Refusal(status: .error) }
  }

  private static func words(_ slot: UnsafeRawBufferPointer) throws(Refusal) -> [UInt64] {
    let count = Int(slot[1])
    guard count <= BlockRing.maximumSegments else { throw Refusal(status: .error) }
    return (0..<count).map { slot.loadUnaligned(fromByteOffset: 24 + 8 * $0, as: UInt64.self) }
  }

  private static func indirectWords(
    _ slot: UnsafeRawBufferPointer, _ copyWords: (GrantReference, Int) -> [UInt64]?
  ) throws(Refusal) -> [UInt64] {
    let count = Int(slot.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
    let page = GrantReference(slot.loadUnaligned(fromByteOffset: 28, as: UInt32.self))
    guard count <= BlockRing.maximumIndirectSegments, let words = copyWords(page, count) else {
      throw Refusal(status: .error)
    }
    return words
  }

  struct Refusal: Error, Sendable, Hashable {
    var status: BlockStatus
  }
}

/// An answer, as it lies in a slot.
struct BlockResponse: Sendable, Hashable {
  var head: BlockRequest.Head
  var status: BlockStatus

  /// Fills a slot; what the response does not use is zero, so that nothing leaks.
  func store(in slot: UnsafeMutableRawBufferPointer) {
    slot.initializeMemory(as: UInt8.self, repeating: 0)
    slot.storeBytes(of: head.identifier, toByteOffset: 0, as: UInt64.self)
    slot.storeBytes(of: head.operation, toByteOffset: 8, as: UInt8.self)
    slot.storeBytes(of: status.rawValue, toByteOffset: 10, as: Int16.self)
  }
}
