// SPDX-License-Identifier: Apache-2.0

/// What is behind a disk, whatever its form. Several threads may use it at a time.
public protocol BlockStorage: AnyObject, Sendable {
  var path: String { get }
  var isReadOnly: Bool { get }
  /// Whole sectors of 512 bytes.
  var sectorCount: UInt64 { get }
  /// Whether room can be given back that its guest does not need.
  var canDiscard: Bool { get }
  /// What is best given back at a time, in bytes.
  var discardGranularity: Int { get }
  /// What is best written at a time, in bytes: for less, or what begins elsewhere, the disk may have to read first.
  var physicalSectorSize: Int { get }

  /// Reads into buffers, one after the other.
  /// - Precondition: `contains` of sector and the buffers' sizes.
  /// - Returns: false if it could not all be read.
  func read(sector: UInt64, into buffers: [UnsafeMutableRawBufferPointer]) -> Bool

  /// Writes buffers, one after the other; see `read`.
  func write(sector: UInt64, from buffers: [UnsafeMutableRawBufferPointer]) -> Bool

  /// Makes what was written durable.
  func flush() -> Bool

  /// Gives room back: what among some sectors is given back reads as 0 from then on, or as what a block device makes of it;
  /// the rest keeps what it holds.
  /// - Precondition: `contains` of them, and `canDiscard`.
  /// - Returns: false if it could not.
  func discard(sector: UInt64, count: UInt64) -> Bool
}

extension BlockStorage {
  /// Whether so many bytes from a sector on lie on the disk. Both numbers may be anything.
  func contains(sector: UInt64, byteCount: Int) -> Bool {
    byteCount >= 0 && byteCount % 512 == 0 && contains(sector: sector, count: UInt64(byteCount / 512))
  }

  /// Whether so many sectors from one on lie on the disk. Both numbers may be anything.
  func contains(sector: UInt64, count: UInt64) -> Bool {
    sector <= sectorCount && count <= sectorCount - sector
  }
}
