// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What a block request asks for. Source: xen/include/public/io/blkif.h.
enum BlockOperation: UInt8, Sendable {
  case read = 0
  case write = 1
  /// All writes answered before are on the disk before it, it before all that follow.
  case writeBarrier = 2
  case flush = 3
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
  /// What requests count sectors in, whatever the disk's own sector size.
  static let sectorSize = 512
  static let protocolName = "x86_64-abi"
}

/// A request, copied out of its slot and checked for shape: nothing in it is in shared memory any more.
struct BlockRequest: Sendable, Hashable {
  /// A part of a granted page, in sectors.
  struct Segment: Sendable, Hashable {
    var reference: GrantReference
    /// 0 … 7, `first` not above `last`.
    var first: Int
    var last: Int

    var byteOffset: Int { first * BlockRing.sectorSize }
    var byteCount: Int { (last - first + 1) * BlockRing.sectorSize }
  }

  var operation: BlockOperation
  /// Where on the disk it begins, in sectors of 512 bytes: any number.
  var sector: UInt64
  var segments: [Segment]

  var byteCount: Int { segments.reduce(0) { $0 + $1.byteCount } }

  /// What a slot says even if its request makes no sense: a response names both.
  struct Head: Sendable, Hashable {
    var operation: UInt8
    var identifier: UInt64

    init(_ slot: UnsafeRawBufferPointer) {
      operation = slot[0]
      identifier = slot.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    }
  }

  /// - Throws: the status to answer a request with that makes no sense.
  init(_ slot: UnsafeRawBufferPointer) throws(Refusal) {
    guard let operation = BlockOperation(rawValue: slot[0]) else { throw Refusal(status: .notSupported) }
    let count = Int(slot[1])
    guard count <= BlockRing.maximumSegments else { throw Refusal(status: .error) }
    self.operation = operation
    sector = slot.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
    segments = []
    for index in 0..<count {
      let offset = 24 + 8 * index
      let segment = Segment(
        reference: GrantReference(slot.loadUnaligned(fromByteOffset: offset, as: UInt32.self)),
        first: Int(slot[offset + 4]), last: Int(slot[offset + 5]))
      guard segment.first <= segment.last, segment.last < frameSize / BlockRing.sectorSize else {
        throw Refusal(status: .error)
      }
      segments.append(segment)
    }
    let movesData = operation == .read || operation == .write
    guard !movesData || count > 0 else { throw Refusal(status: .error) }
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
