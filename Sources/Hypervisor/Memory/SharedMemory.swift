// SPDX-License-Identifier: Apache-2.0

import Synchronization

// Words that guests, other vCPUs or back ends change at any time: each access is one load or store.

extension UnsafeMutablePointer where Pointee == UInt64 {
  private var atomic: UnsafeMutablePointer<Atomic<UInt64>> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  @inline(__always) func loadShared() -> UInt64 { atomic.pointee.load(ordering: .acquiring) }

  @inline(__always) func storeShared(_ value: UInt64) { atomic.pointee.store(value, ordering: .releasing) }

  /// Takes all bits out of the word.
  func takeShared() -> UInt64 { atomic.pointee.exchange(0, ordering: .sequentiallyConsistent) }

  /// Replaces `expected` by `new`; false if the word was something else.
  func replaceShared(_ expected: UInt64, with new: UInt64) -> Bool {
    atomic.pointee.compareExchange(expected: expected, desired: new, ordering: .sequentiallyConsistent)
      .exchanged
  }

  /// Sets bits; returns the word before.
  func setShared(_ bits: UInt64) -> UInt64 {
    atomic.pointee.bitwiseOr(bits, ordering: .sequentiallyConsistent).oldValue
  }

  /// Clears bits; returns the word before.
  func clearShared(_ bits: UInt64) -> UInt64 {
    atomic.pointee.bitwiseAnd(~bits, ordering: .sequentiallyConsistent).oldValue
  }
}

extension UnsafeMutablePointer where Pointee == UInt8 {
  private var atomic: UnsafeMutablePointer<Atomic<UInt8>> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Atomic<UInt8>.self)
  }

  @inline(__always) func loadShared() -> UInt8 { atomic.pointee.load(ordering: .sequentiallyConsistent) }

  @inline(__always) func storeShared(_ value: UInt8) {
    atomic.pointee.store(value, ordering: .sequentiallyConsistent)
  }
}

extension UnsafeMutablePointer where Pointee == UInt32 {
  private var atomic: UnsafeMutablePointer<Atomic<UInt32>> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Atomic<UInt32>.self)
  }

  @inline(__always) func storeShared(_ value: UInt32) { atomic.pointee.store(value, ordering: .releasing) }
}
