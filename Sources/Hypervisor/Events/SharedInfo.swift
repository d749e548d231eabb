// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What hypervisor and guest share about a vCPU (`struct vcpu_info`, 64 bytes).
/// Source: xen/include/public/xen.h and arch-x86/xen.h.
struct ProcessorInfo {
  static let size = 64
  let base: UnsafeMutableRawPointer

  /// Not 0: an event is pending for this vCPU.
  var upcallPending: UnsafeMutablePointer<UInt8> { base.assumingMemoryBound(to: UInt8.self) }
  /// Not 0: the guest wants no up-call.
  var upcallMask: UnsafeMutablePointer<UInt8> { (base + 1).assumingMemoryBound(to: UInt8.self) }
  /// One bit for each word of pending ports.
  var pendingSelector: UnsafeMutablePointer<UInt64> { (base + 8).assumingMemoryBound(to: UInt64.self) }
  var faultAddress: UnsafeMutablePointer<UInt64> { (base + 16).assumingMemoryBound(to: UInt64.self) }
  /// `struct pvclock_vcpu_time_info`, 32 bytes.
  var time: UnsafeMutableRawPointer { base + 32 }

  var isMasked: Bool { upcallMask.loadShared() != 0 }
  var isPending: Bool { upcallPending.loadShared() != 0 }
}

/// The page that hypervisor and guest share (`struct shared_info`, two-level event channels).
struct SharedInfo {
  let base: UnsafeMutableRawPointer

  private enum Offset {
    static let pending = 2048
    static let wallClock = 3072
    static let wallClockHigh = 3084
  }

  /// The `vcpu_info` of one of the first 32 vCPUs.
  func processor(_ index: Int) -> ProcessorInfo { ProcessorInfo(base: base + index * ProcessorInfo.size) }

  /// A word of 64 pending ports.
  func pending(_ word: Int) -> UnsafeMutablePointer<UInt64> {
    (base + Offset.pending + word * 8).assumingMemoryBound(to: UInt64.self)
  }

  /// Sets the wall-clock time of system time 0, in seconds and nanoseconds since 1970.
  func setWallClock(seconds: UInt64, nanoseconds: UInt32) {
    let words = (base + Offset.wallClock).assumingMemoryBound(to: UInt32.self)
    let version = words[0] & ~1
    words.storeShared(version &+ 1)
    (words + 1).storeShared(UInt32(truncatingIfNeeded: seconds))
    (words + 2).storeShared(nanoseconds)
    (base + Offset.wallClockHigh).assumingMemoryBound(to: UInt32.self)
      .storeShared(UInt32(truncatingIfNeeded: seconds >> 32))
    words.storeShared(version &+ 2)
  }
}
