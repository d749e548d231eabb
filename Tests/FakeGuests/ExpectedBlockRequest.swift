// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A block request as the ABI has it (xen/include/public/io/blkif.h), read another way than the back end reads it: what
/// must become of it.
struct ExpectedBlockRequest {
  /// What an answer may say.
  enum Fate { case succeeds, fails, either }

  /// What is known of the disk.
  struct Disk {
    var sectors: UInt64
    var isReadOnly: Bool
    var canDiscard: Bool
  }

  /// Sectors of a page: `first` … `last`, whatever they are.
  struct Segment: Equatable {
    var reference: UInt32
    var first: Int
    var last: Int

    init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
      reference = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
      first = Int(bytes[offset + 4])
      last = Int(bytes[offset + 5])
    }

    var isSound: Bool { first <= last && last < 8 }
    /// The bytes of the page.
    var bytes: Range<Int> { first * 512..<(last + 1) * 512 }
  }

  let identifier: UInt64
  /// Of an indirect request, what it asks for.
  let operation: UInt8
  let sector: UInt64
  /// What is to be discarded.
  let discarded: UInt64
  private let isSecure: Bool
  /// The page with the segments, if the request is an indirect one.
  let indirectPage: UInt32?
  let segmentCount: Int
  /// Nil until they have been read.
  private(set) var segments: [Segment]?

  init(_ slot: UnsafeRawBufferPointer) {
    let isIndirect = slot[0] == 6
    operation = isIndirect ? slot[1] : slot[0]
    identifier = slot.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    sector = slot.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
    discarded = slot.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
    isSecure = slot[1] & 1 != 0
    indirectPage = isIndirect ? slot.loadUnaligned(fromByteOffset: 28, as: UInt32.self) : nil
    segmentCount = isIndirect ? Int(slot.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) : Int(slot[1])
    if !isIndirect {
      segments = (0..<min(segmentCount, 11)).map { Segment(slot, at: 24 + 8 * $0) }
    }
  }

  /// Reads the segments of an indirect request.
  mutating func readSegments(page memory: UnsafeMutableRawBufferPointer) {
    let page = UnsafeRawBufferPointer(memory)
    segments = (0..<min(segmentCount, 256)).map { Segment(page, at: 8 * $0) }
  }

  private var isIndirect: Bool { indirectPage != nil }

  /// Whether its segments' pages are read or written: a read, a write or a barrier with data.
  var movesData: Bool { operation <= 2 }

  private var sectorCount: UInt64 { (segments ?? []).reduce(0) { $0 + UInt64($1.last - $1.first + 1) } }

  /// Whether so many sectors from its first on are on the disk.
  private func isInside(_ count: UInt64, _ disk: Disk) -> Bool {
    let (end, overflows) = sector.addingReportingOverflow(count)
    return !overflows && end <= disk.sectors
  }

  /// What must be answered if all its pages could be mapped.
  func fate(on disk: Disk) -> Fate {
    switch operation {
    case 0, 1: return isIndirect && segmentCount > 256 ? .fails : transferFate(disk)
    case 2: return isIndirect ? .fails : transferFate(disk)
    case 3: return isIndirect || segmentCount != 0 || disk.isReadOnly ? .either : .succeeds
    case 5:
      if isIndirect || isSecure || disk.isReadOnly || !disk.canDiscard { return .fails }
      return !isInside(discarded, disk) ? .fails : discarded == 0 ? .either : .succeeds
    default: return .fails
    }
  }

  private func transferFate(_ disk: Disk) -> Fate {
    // Its segments could not be read.
    guard let segments, isIndirect || segmentCount <= 11 else { return .fails }
    if operation != 0 && disk.isReadOnly { return .fails }
    // A barrier without data is a flush, whatever its sector.
    if segments.isEmpty { return operation == 2 ? .succeeds : .either }
    return segments.allSatisfy(\.isSound) && isInside(sectorCount, disk) ? .succeeds : .fails
  }
}
