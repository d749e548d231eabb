// SPDX-License-Identifier: Apache-2.0

import CNBD

/// A disk that another process serves by the network block device protocol, over a local socket: of a format that this
/// process does not read.
public final class ServedDisk: BlockStorage, @unchecked Sendable {
  public let path: String
  public let isReadOnly: Bool
  public let sectorCount: UInt64
  public let canDiscard: Bool
  public let discardGranularity = 4096
  public let physicalSectorSize = 512
  /// libnbd has a lock of its own in it.
  private let handle: OpaquePointer

  /// Connects to the server, which the connection's end is to end.
  /// - Parameters:
  ///   - socket: the server's.
  ///   - path: the image's, to name it.
  ///   - discard: whether room may be given back, if it can be.
  public init(socket: String, path: String, readOnly: Bool, discard: Bool = true) throws(DiskImageError) {
    self.path = path
    isReadOnly = readOnly
    guard let handle = nbd_create() else { throw Self.failure(path) }
    self.handle = handle
    let size = nbd_connect_unix(handle, socket) == 0 ? nbd_get_size(handle) : -1
    sectorCount = size < 512 ? 0 : UInt64(size) / 512
    canDiscard = size >= 512 && discard && !readOnly && nbd_can_trim(handle) == 1
    guard size >= 0 else { throw Self.failure(path) }
    guard size >= 512, readOnly || nbd_is_read_only(handle) == 0, nbd_can_flush(handle) == 1 else {
      throw DiskImageError(description: "\(path): it has no whole sector of 512 bytes, or cannot be written")
    }
  }

  deinit { nbd_close(handle) }

  private static func failure(_ path: String) -> DiskImageError {
    DiskImageError(description: "\(path): \(nbd_get_error().map { String(cString: $0) } ?? "no connection")")
  }

  // A request to the server has one buffer, and takes longer than a copy of what is scattered.

  public func read(sector: UInt64, into buffers: [UnsafeMutableRawBufferPointer]) -> Bool {
    let whole = Self.makeBuffer(for: buffers)
    defer { whole.deallocate() }
    guard let base = whole.baseAddress, nbd_pread(handle, base, whole.count, sector * 512, 0) == 0 else {
      return false
    }
    var offset = 0
    for buffer in buffers {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[offset..<offset + buffer.count]))
      offset += buffer.count
    }
    return true
  }

  public func write(sector: UInt64, from buffers: [UnsafeMutableRawBufferPointer]) -> Bool {
    let whole = Self.makeBuffer(for: buffers)
    defer { whole.deallocate() }
    var offset = 0
    for buffer in buffers {
      UnsafeMutableRawBufferPointer(rebasing: whole[offset...]).copyMemory(
        from: UnsafeRawBufferPointer(buffer))
      offset += buffer.count
    }
    guard let base = whole.baseAddress else { return false }
    return nbd_pwrite(handle, base, whole.count, sector * 512, 0) == 0
  }

  private static func makeBuffer(for buffers: [UnsafeMutableRawBufferPointer])
    -> UnsafeMutableRawBufferPointer
  {
    .allocate(byteCount: buffers.reduce(0) { $0 + $1.count }, alignment: 16)
  }

  public func flush() -> Bool { nbd_flush(handle, 0) == 0 }

  public func discard(sector: UInt64, count: UInt64) -> Bool {
    // A request names less than 4 GiB: this is 1.
    let limit: UInt64 = 1 << 21
    return stride(from: sector, to: sector + count, by: Int(limit)).allSatisfy { first in
      nbd_trim(handle, min(limit, sector + count - first) * 512, first * 512, 0) == 0
    }
  }
}
