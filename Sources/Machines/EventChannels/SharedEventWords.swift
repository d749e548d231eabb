// SPDX-License-Identifier: Apache-2.0
//
// The words of two-level event channels that lie in memory shared with a guest, which stores to them at any time.
// Source: xen/include/public/xen.h (struct shared_info, struct vcpu_info), arch-x86/xen.h.

import Interfaces
import Synchronization

/// The real accesses: atomic, and in one order for all.
public struct SharedEventWords: EventWordAccess {
  /// Byte offsets in `shared_info`.
  private enum Shared {
    static let pending = 2048
    static let mask = 2560
  }
  /// Byte offsets in `vcpu_info`.
  private enum Info {
    static let upcallPending = 0
    static let upcallMask = 1
    static let selector = 8
  }

  public init() {}

  public func raise(_ place: EventPlace) -> Bool {
    word(Shared.pending, place).pointee
      .bitwiseOr(bit(place), ordering: .sequentiallyConsistent).oldValue & bit(place) != 0
  }

  public func clear(_ place: EventPlace) {
    word(Shared.pending, place).pointee.bitwiseAnd(~bit(place), ordering: .sequentiallyConsistent)
  }

  public func clearWord(_ place: EventPlace) {
    word(Shared.pending, place).pointee.store(0, ordering: .sequentiallyConsistent)
  }

  public func unmask(_ place: EventPlace) -> Bool {
    word(Shared.mask, place).pointee
      .bitwiseAnd(~bit(place), ordering: .sequentiallyConsistent).oldValue & bit(place) != 0
  }

  public func isPending(_ place: EventPlace) -> Bool { isSet(Shared.pending, place) }
  public func isMasked(_ place: EventPlace) -> Bool { isSet(Shared.mask, place) }

  public func select(_ words: UInt64, _ place: UpcallPlace) {
    (place.info + Info.selector).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .bitwiseOr(words, ordering: .sequentiallyConsistent)
  }

  public func notify(_ place: UpcallPlace) -> Bool {
    byte(Info.upcallPending, place).pointee.exchange(1, ordering: .sequentiallyConsistent) != 0
  }

  public func isUpcallPending(_ place: UpcallPlace) -> Bool {
    byte(Info.upcallPending, place).pointee.load(ordering: .sequentiallyConsistent) != 0
  }

  public func isUpcallMasked(_ place: UpcallPlace) -> Bool {
    byte(Info.upcallMask, place).pointee.load(ordering: .sequentiallyConsistent) != 0
  }

  public func maskUpcalls(_ place: UpcallPlace) {
    byte(Info.upcallMask, place).pointee.store(1, ordering: .sequentiallyConsistent)
  }

  private func isSet(_ offset: Int, _ place: EventPlace) -> Bool {
    word(offset, place).pointee.load(ordering: .sequentiallyConsistent) & bit(place) != 0
  }

  private func word(_ offset: Int, _ place: EventPlace) -> UnsafeMutablePointer<Atomic<UInt64>> {
    precondition(place.port.rawValue < UInt32(EventLimits.portCount), "a port out of range")
    return (place.sharedInfo + offset + Int(place.port.rawValue / 64) * 8)
      .assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  private func bit(_ place: EventPlace) -> UInt64 { 1 &<< UInt64(place.port.rawValue % 64) }

  private func byte(_ offset: Int, _ place: UpcallPlace) -> UnsafeMutablePointer<Atomic<UInt8>> {
    (place.info + offset).assumingMemoryBound(to: Atomic<UInt8>.self)
  }
}
