// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A growing array of plain values in memory reserved once: it never moves, and pages are taken up as they are used.
final class FlatMemory<Element: BitwiseCopyable> {
  let base: UnsafeMutablePointer<Element>
  private let bytes: Int

  /// Zeroed memory for `capacity` elements; nil if the address space does not have it.
  init?(capacity: Int) {
    bytes = max(4096, capacity * MemoryLayout<Element>.stride)
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), memory != MAP_FAILED else {
      return nil
    }
    // Fewer misses of the TLB: states and table are read at random.
    madvise(memory, bytes, 14 /* MADV_HUGEPAGE */)
    base = memory.bindMemory(to: Element.self, capacity: capacity)
  }

  deinit { munmap(base, bytes) }
}
