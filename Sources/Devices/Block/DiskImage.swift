// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Why a disk image cannot be used, in one line.
public struct DiskImageError: Error, Sendable, Hashable, CustomStringConvertible {
  public var description: String
}

/// A raw disk image: a file or a block device, locked against other runs for as long as it is open.
public final class DiskImage: BlockStorage {
  public let path: String
  public let isReadOnly: Bool
  /// Whole sectors of 512 bytes; what is left over at the end is not part of the disk.
  public let sectorCount: UInt64
  /// Whether the image gives room back that its guest does not need: a file on a file system that has holes, or a device
  /// that discards.
  public let canDiscard: Bool
  public let discardGranularity: Int
  public let physicalSectorSize: Int
  /// Only whole pages of so many bytes are given back.
  private static let pageSize = 4096
  /// What is given back begins and ends at multiples of so many bytes.
  private let discardUnit: Int
  let descriptor: Int32
  private let isDevice: Bool

  /// Opens and locks an image: alone if it is to be written, with other readers if not.
  /// - Parameter discard: whether room may be given back, if it can be.
  public init(path: String, readOnly: Bool, discard: Bool = true) throws(DiskImageError) {
    self.path = path
    isReadOnly = readOnly
    // A device that is to be written must not be in use by the system, such as for a file system.
    descriptor = open(path, (readOnly ? O_RDONLY : O_RDWR | O_EXCL) | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.openError(path, readOnly: readOnly, errno) }
    let traits = BlockDeviceTraits(descriptor)
    isDevice = traits != nil
    physicalSectorSize = traits?.physicalSectorSize ?? BlockRing.sectorSize
    discardGranularity = max(traits?.discardGranularity ?? 0, Self.pageSize)
    discardUnit = max(traits?.logicalSectorSize ?? 0, Self.pageSize)
    do throws(DiskImageError) {
      if traits?.isReadOnly == true && !readOnly { throw Self.openError(path, readOnly: false, EROFS) }
      sectorCount = try Self.lockAndMeasure(descriptor, path, readOnly: readOnly)
      let mayDiscard = discard && !readOnly
      if let traits {
        canDiscard = mayDiscard && traits.discardGranularity != nil
      } else {
        // A hole behind the end changes nothing, and shows whether there can be one.
        let end = (Int(sectorCount) * 512 / Self.pageSize + 1) * Self.pageSize
        canDiscard = mayDiscard && Self.makeHole(descriptor, end..<end + Self.pageSize)
      }
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit { close(descriptor) }

  private static func openError(_ path: String, readOnly: Bool, _ code: Int32) -> DiskImageError {
    let text =
      switch code {
      case ENOENT: "there is no such file; create it, or correct the path"
      case EACCES, EPERM:
        "no permission to \(readOnly ? "read" : "write") it; change its mode, or use access=ro"
      case EROFS: "it is read-only, or on a read-only file system; use access=ro"
      case EBUSY: "the system uses it, such as for a file system; unmount it, or use access=ro"
      case EISDIR: "it is a directory; give a raw disk image"
      default: "it cannot be opened: \(String(cString: strerror(code)))"
      }
    return DiskImageError(description: "\(path): \(text)")
  }

  private static func lockAndMeasure(_ descriptor: Int32, _ path: String, readOnly: Bool)
    throws(DiskImageError)
    -> UInt64
  {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw openError(path, readOnly: readOnly, errno) }
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG || kind == S_IFBLK else {
      throw DiskImageError(
        description: "\(path): it is neither a file nor a block device; give a raw disk image")
    }
    guard flock(descriptor, (readOnly ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 else {
      throw DiskImageError(
        description: "\(path): it is in use by another run; end that one, or give both access=ro")
    }
    let end = lseek(descriptor, 0, SEEK_END)
    guard end >= 512 else {
      throw DiskImageError(description: "\(path): it has no whole sector of 512 bytes; give a raw disk image")
    }
    return UInt64(end) / 512
  }

  /// Gives whole pages of a file back, which read as 0 from then on; the size stays.
  private static func makeHole(_ descriptor: Int32, _ bytes: Range<Int>) -> Bool {
    // `fallocate` is hidden without _GNU_SOURCE; removing mapped memory comes to the same.
    let memory = mmap(nil, bytes.count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, bytes.lowerBound)
    guard let memory, memory != MAP_FAILED else { return false }
    defer { munmap(memory, bytes.count) }
    return madvise(memory, bytes.count, MADV_REMOVE) == 0
  }

  // MARK: access

  /// Reads into buffers, one after the other.
  /// - Precondition: `contains` of sector and the buffers' sizes.
  /// - Returns: false if the host could not read it all.
  public func read(sector: UInt64, into buffers: [UnsafeMutableRawBufferPointer]) -> Bool {
    transfer(buffers, from: sector, isRead: true)
  }

  /// Writes buffers, one after the other; see `read`.
  public func write(sector: UInt64, from buffers: [UnsafeMutableRawBufferPointer]) -> Bool {
    transfer(buffers, from: sector, isRead: false)
  }

  /// Makes what was written durable.
  public func flush() -> Bool { fdatasync(descriptor) == 0 }

  /// Gives back the whole pages among some sectors; the rest keeps what it holds. In a file they read as 0 from then on, of
  /// a device they hold what it likes.
  /// - Precondition: `contains` of them, and `canDiscard`.
  /// - Returns: false if the host could not.
  public func discard(sector: UInt64, count: UInt64) -> Bool {
    let first = (Int(sector) * 512 + discardUnit - 1) / discardUnit * discardUnit
    let end = Int(sector + count) * 512 / discardUnit * discardUnit
    if first >= end { return true }
    return isDevice
      ? BlockDeviceTraits.discard(descriptor, first..<end) : Self.makeHole(descriptor, first..<end)
  }

  private func transfer(_ buffers: [UnsafeMutableRawBufferPointer], from sector: UInt64, isRead: Bool) -> Bool
  {
    var vectors = buffers.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
    return vectors.withUnsafeMutableBufferPointer {
      var transfer = VectorTransfer(isRead: isRead, offset: Int(sector) * 512, vectors: $0[...])
      return transfer.finish(descriptor)
    }
  }
}
