// SPDX-License-Identifier: Apache-2.0
//
// The words of two-level event channels that lie in memory shared with a guest, which stores to them at any time.
// Steps and rules as in Specs/EventChannels: look, select, notify.
// Source: xen/include/public/xen.h (struct shared_info, struct vcpu_info), arch-x86/xen.h.

import Interfaces
import Synchronization

/// What a vCPU shares with the hypervisor about events: the first 16 bytes of its `vcpu_info`.
public struct SharedUpcallWords {
  private let base: UnsafeMutableRawPointer

  /// - Parameter base: the vCPU's `vcpu_info`, 64 bytes, aligned to 8.
  public init(base: UnsafeMutableRawPointer) { self.base = base }

  /// evtchn_pending_sel: sets one of the 64 bits.
  func select(_ word: Int) {
    _ = (base + 8).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .bitwiseOr(1 << UInt64(word), ordering: .sequentiallyConsistent)
  }

  /// Makes the up-call pending; returns whether it was not.
  func notify() -> Bool {
    base.assumingMemoryBound(to: Atomic<UInt8>.self).pointee
      .exchange(1, ordering: .sequentiallyConsistent) == 0
  }
}

/// The pending and masked ports of a domain, in its `shared_info`.
public struct SharedEventWords {
  /// Ports that 64 words of 64 bits hold.
  public static let portCount = 4096

  private enum Offset {
    static let pending = 2048
    static let mask = 2560
  }

  private let base: UnsafeMutableRawPointer

  /// - Parameter base: the domain's `shared_info`, 4096 bytes, aligned to 8.
  public init(base: UnsafeMutableRawPointer) { self.base = base }

  /// Marks a port pending.
  /// - Returns: whether it was not: then, and only then, is it to be announced. False for a number that is no port's.
  public func raise(_ port: EventPort) -> Bool {
    guard let (words, bit) = place(of: port, at: Offset.pending) else { return false }
    return words.pointee.bitwiseOr(bit, ordering: .sequentiallyConsistent).oldValue & bit == 0
  }

  /// Clears what is pending of a port's past.
  public func clear(_ port: EventPort) {
    guard let (words, bit) = place(of: port, at: Offset.pending) else { return }
    words.pointee.bitwiseAnd(~bit, ordering: .sequentiallyConsistent)
  }

  /// Clears the mask of a port.
  /// - Returns: whether it was masked: then it is to be announced.
  public func unmask(_ port: EventPort) -> Bool {
    guard let (words, bit) = place(of: port, at: Offset.mask) else { return false }
    return words.pointee.bitwiseAnd(~bit, ordering: .sequentiallyConsistent).oldValue & bit != 0
  }

  /// Whether a port is pending, masked or not.
  public func isPending(_ port: EventPort) -> Bool { isSet(port, at: Offset.pending) }

  /// Tells a vCPU of a port, if the port is pending and not masked: selects its word, then makes the up-call pending.
  ///
  /// The order matters: a guest that sees the up-call must find the word.
  /// - Returns: whether the vCPU is to be kicked. It is even while its up-calls are masked: the guest's store that
  ///   unmasks them may not have reached memory when the guest has made its own look for a pending up-call.
  public func announce(_ port: EventPort, to vcpu: SharedUpcallWords) -> Bool {
    guard isSet(port, at: Offset.pending), !isSet(port, at: Offset.mask) else { return false }
    vcpu.select(Int(port.rawValue / 64))
    return vcpu.notify()
  }

  private func isSet(_ port: EventPort, at offset: Int) -> Bool {
    guard let (words, bit) = place(of: port, at: offset) else { return false }
    return words.pointee.load(ordering: .sequentiallyConsistent) & bit != 0
  }

  private func place(
    of port: EventPort, at offset: Int
  ) -> (word: UnsafeMutablePointer<Atomic<UInt64>>, bit: UInt64)? {
    guard port.rawValue < UInt32(Self.portCount) else { return nil }
    let word = base + offset + Int(port.rawValue / 64) * 8
    return (word.assumingMemoryBound(to: Atomic<UInt64>.self), 1 << UInt64(port.rawValue % 64))
  }
}
