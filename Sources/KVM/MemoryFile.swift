// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// Anonymous shared memory: a memfd, mapped once. Pages are taken from the system when they are first touched.
public final class MemoryFile: @unchecked Sendable {
  /// The first byte in this process.
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int
  private let descriptor: Int32

  /// - Parameter byteCount: a multiple of 4096, all zero at first.
  public init(name: String, byteCount: Int) throws(KVMError) {
    let closeOnExec: UInt32 = 1
    descriptor = lockstep_memfd_create(name, closeOnExec)
    guard descriptor >= 0 else { throw .failed(operation: "memfd_create", errno: errno) }
    guard ftruncate(descriptor, byteCount) == 0,
      let mapped = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0),
      mapped != MAP_FAILED
    else {
      let reason = errno
      close(descriptor)
      throw .failed(operation: "mapping \(byteCount >> 20) MiB for guests", errno: reason)
    }
    base = mapped
    self.byteCount = byteCount
  }

  /// Gives pages back to the system: they are zero, and taken again when they are next touched, by whomever.
  /// - Parameter range: bytes, both ends multiples of 4096.
  /// - Returns: false if the system does not take them; then they hold what they held.
  public func giveBack(_ range: Range<Int>) -> Bool {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    return madvise(base + range.lowerBound, range.count, MADV_REMOVE) == 0
  }

  deinit {
    munmap(base, byteCount)
    close(descriptor)
  }
}
