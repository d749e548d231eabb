// SPDX-License-Identifier: Apache-2.0

import CNBD

/// A disk that another process serves by the network block device protocol, over a local socket: of a format that this
/// process does not read.
public final class ServedDisk: BlockStorage, @unchecked Sendable {
  public let path: String
  public let isReadOnly: Bool
  public let sectorCount: UInt64
  public let canDiscard: Bool
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
    // What is read is the guest's from the first byte on: there is nothing that buffers would have to be cleared of.
    nbd_set_pread_initialize(handle, false)
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

  public func read(sector: UInt64, into buffers: [UnsafeMutableRawBufferPointer]) -> Bool {
    transfer(buffers, from: sector) { nbd_pread(handle, $0, $1, $2, 0) == 0 }
  }

  public func write(sector: UInt64, from buffers: [UnsafeMutableRawBufferPointer]) -> Bool {
    transfer(buffers, from: sector) { nbd_pwrite(handle, $0, $1, $2, 0) == 0 }
  }

  private func transfer(
    _ buffers: [UnsafeMutableRawBufferPointer], from sector: UInt64,
    _ call: (UnsafeMutableRawPointer, Int, UInt64) -> Bool
  ) -> Bool {
    var offset = sector * 512
    for buffer in buffers {
      guard let base = buffer.baseAddress, call(base, buffer.count, offset) else { return false }
      offset += UInt64(buffer.count)
    }
    return true
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
