// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Why a disk image cannot be used, in one line.
public struct DiskImageError: Error, Sendable, Hashable, CustomStringConvertible {
  public var description: String
}

/// A raw disk image: a file or a block device, locked against other runs for as long as it is open.
public final class DiskImage: Sendable {
  public let path: String
  public let isReadOnly: Bool
  /// Whole sectors of 512 bytes; what is left over at the end is not part of the disk.
  public let sectorCount: UInt64
  private let descriptor: Int32

  /// Opens and locks an image: alone if it is to be written, with other readers if not.
  public init(path: String, readOnly: Bool) throws(DiskImageError) {
    self.path = path
    isReadOnly = readOnly
    descriptor = open(path, (readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.openError(path, readOnly: readOnly, errno) }
    do {
      sectorCount = try Self.lockAndMeasure(descriptor, path, readOnly: readOnly)
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
      case EROFS: "it is on a read-only file system; use access=ro"
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

  // MARK: access

  /// Whether so many bytes from a sector on lie on the disk. Both numbers may be anything.
  func contains(sector: UInt64, byteCount: Int) -> Bool {
    guard byteCount >= 0, byteCount % 512 == 0, sector <= sectorCount else { return false }
    return UInt64(byteCount / 512) <= sectorCount - sector
  }

  /// Reads into buffers, one after the other.
  /// - Precondition: `contains` of sector and the buffers' sizes.
  /// - Returns: false if the host could not read it all.
  func read(sector: UInt64, into buffers: [UnsafeMutableRawBufferPointer]) -> Bool {
    transfer(buffers, from: sector) { pread($0, $1.baseAddress, $1.count, $2) }
  }

  /// Writes buffers, one after the other; see `read`.
  func write(sector: UInt64, from buffers: [UnsafeMutableRawBufferPointer]) -> Bool {
    transfer(buffers, from: sector) { pwrite($0, $1.baseAddress, $1.count, $2) }
  }

  /// Makes what was written durable.
  func flush() -> Bool { fdatasync(descriptor) == 0 }

  private func transfer(
    _ buffers: [UnsafeMutableRawBufferPointer], from sector: UInt64,
    _ call: (Int32, UnsafeMutableRawBufferPointer, Int) -> Int
  ) -> Bool {
    var offset = Int(sector) * 512
    for buffer in buffers {
      var rest = buffer
      while !rest.isEmpty {
        let count = call(descriptor, rest, offset)
        if count < 0 && errno == EINTR { continue }
        // Nothing at all: the image was cut short behind our back.
        guard count > 0 else { return false }
        rest = UnsafeMutableRawBufferPointer(rebasing: rest[count...])
        offset += count
      }
    }
    return true
  }
}
