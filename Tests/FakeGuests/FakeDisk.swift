// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A disk's file without a name, in memory if the system has a place for such, and mapped: what a back end does to it is
/// seen at once.
final class FakeDisk {
  /// Opens the file once more.
  let path: String
  let bytes: UnsafeMutableRawBufferPointer
  private let descriptor: Int32

  /// - Parameter byteCount: its size.
  init(byteCount: Int) {
    descriptor = Self.open(in: "/dev/shm") ?? Self.open(in: "/tmp") ?? -1
    precondition(descriptor >= 0, "there is no room for a file")
    precondition(ftruncate(descriptor, byteCount) == 0)
    let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let memory, memory != MAP_FAILED else { preconditionFailure("a file cannot be mapped") }
    bytes = UnsafeMutableRawBufferPointer(start: memory, count: byteCount)
    path = "/proc/self/fd/\(descriptor)"
  }

  deinit {
    munmap(bytes.baseAddress, bytes.count)
    close(descriptor)
  }

  private static func open(in directory: String) -> Int32? {
    var template = Array("\(directory)/lockstep-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    if descriptor >= 0 { unlink(template) }
    return descriptor >= 0 ? descriptor : nil
  }
}
