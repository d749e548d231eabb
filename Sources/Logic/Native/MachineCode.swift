// SPDX-License-Identifier: Apache-2.0

#if os(Linux) && arch(x86_64)
  import Glibc

  /// Machine code that can be executed, and not written any more.
  ///
  /// The one place where bytes become a function: whoever made them vouches that they return, keep to the System V
  /// calling convention, and touch only what their arguments point to.
  final class MachineCode: Sendable {
    private typealias Function =
      @convention(c) (UnsafeMutableRawPointer, UnsafeMutableRawPointer?) -> Int

    // Written once, before anybody else sees it.
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer
    private let size: Int

    /// Nil if the system does not let memory be executed.
    init?(_ bytes: [UInt8]) {
      size = max(1, bytes.count)
      guard let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        memory != MAP_FAILED
      else { return nil }
      memory.copyMemory(from: bytes, byteCount: bytes.count)
      guard mprotect(memory, size, PROT_READ | PROT_EXEC) == 0 else {
        munmap(memory, size)
        return nil
      }
      self.memory = memory
    }

    deinit { munmap(memory, size) }

    /// Calls what begins at `offset`.
    @inline(__always)
    func call(_ offset: Int, _ first: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer?) -> Int {
      unsafeBitCast(memory + offset, to: Function.self)(first, second)
    }
  }
#endif
