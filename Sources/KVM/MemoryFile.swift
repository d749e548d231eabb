// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// Anonymous shared memory: a memfd, mapped once. Pages are taken from the system when they are first touched.
public final class MemoryFile: MappedMemory, @unchecked Sendable {
  /// The first byte in this process.
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int
  fileprivate let descriptor: Int32

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

/// Addresses of this process, in pages of 4096 bytes, at which pages of a file come and go. Those that are not mapped
/// cannot be touched; KVM follows each change at once.
public final class MemoryWindow: MappedMemory, @unchecked Sendable {
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int
  private let file: MemoryFile
  private static let pageSize = 4096

  /// - Parameter pageCount: how many pages there are room for; nothing is mapped yet.
  public init(on file: MemoryFile, pageCount: Int) throws(KVMError) {
    self.file = file
    byteCount = pageCount * Self.pageSize
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let mapped = mmap(nil, byteCount, PROT_NONE, flags, -1, 0), mapped != MAP_FAILED else {
      throw .failed(operation: "setting \(byteCount >> 20) MiB of addresses aside", errno: errno)
    }
    base = mapped
  }

  /// Maps pages of the file that follow one another; what was there before is not there any more.
  /// - Returns: false, and nothing happens, if the system does not do it.
  public func map(_ pages: Range<Int>, to filePage: Int) -> Bool {
    precondition(pages.lowerBound >= 0 && pages.upperBound <= byteCount / Self.pageSize && filePage >= 0)
    let address = base + pages.lowerBound * Self.pageSize
    let mapped = mmap(
      address, pages.count * Self.pageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.descriptor,
      filePage * Self.pageSize)
    return mapped == address
  }

  /// Takes a page away.
  /// - Returns: false, and nothing happens, if the system does not do it.
  public func unmap(_ page: Int) -> Bool {
    precondition(page >= 0 && page < byteCount / Self.pageSize)
    let address = base + page * Self.pageSize
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
    return mmap(address, Self.pageSize, PROT_NONE, flags, -1, 0) == address
  }

  deinit { munmap(base, byteCount) }
}
