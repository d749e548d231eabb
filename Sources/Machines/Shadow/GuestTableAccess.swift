// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// A step of Specs/Shadow, as the optimised machine made it.
public enum ShadowStep: Sendable, Hashable {
  case update(table: MachineFrame, slot: Int, GuestTableEntry)
  case load(vcpu: Int, table: MachineFrame)
  case flush(vcpu: Int)
  case invalidate(vcpu: Int, table: MachineFrame, slot: Int)
  case pin(table: MachineFrame)
  case unpin(table: MachineFrame)
  case pull(table: MachineFrame, slot: Int, writes: Bool, second: Bool)
  case dropFixup(table: MachineFrame, second: Bool)
  case link(table: MachineFrame, level: Int, slot: Int)
  case unhook(table: MachineFrame, level: Int, slot: Int)
  case unsync(table: MachineFrame, vcpu: Int, position: Int)
  case close(table: MachineFrame)
  case protect(frame: MachineFrame)
  case settle(table: MachineFrame)
  case store
  case resize(capacity: Int)
  case prepare
  case finish
  case create(table: MachineFrame, level: Int)
  case clear(table: MachineFrame)
  case destroy(table: MachineFrame, level: Int)
  case release(frame: MachineFrame)
  case acquire(frame: MachineFrame, writes: Bool)
  case expel(frame: MachineFrame)
  case surrender(frame: MachineFrame)
}

/// How shadow page tables touch the guest's tables, one memory access a call. Frames are below `frameCount`, slots below
/// 512.
///
/// `SharedGuestTables` makes the real accesses. A conformance driver supplies one that lets a hostile guest store before
/// each, and has the specification take each step.
public protocol GuestTableAccess {
  var frameCount: Int { get }
  func load(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry
  /// Replaces `expected`; false, and nothing happens, if the entry is something else.
  func replace(_ table: MachineFrame, _ slot: Int, expected: GuestTableEntry, with entry: GuestTableEntry)
    -> Bool
  func store(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry)
  /// What `load` makes of an entry that is stored.
  func reading(_ entry: GuestTableEntry) -> GuestTableEntry
  /// A step was made. The next one follows before the operation touches the guest's tables again, or ends.
  func made(_ step: ShadowStep)
}

extension GuestTableAccess {
  @inline(__always) public func reading(_ entry: GuestTableEntry) -> GuestTableEntry { entry }
}

/// The real accesses, to machine memory that begins at `base`.
public struct SharedGuestTables: GuestTableAccess {
  private let base: UnsafeMutableRawPointer
  public let frameCount: Int

  public init(base: UnsafeMutableRawPointer, frameCount: Int) {
    self.base = base
    self.frameCount = frameCount
  }

  @inline(__always) private func word(_ table: MachineFrame, _ slot: Int) -> UnsafeMutablePointer<
    Atomic<UInt64>
  > {
    (base + (Int(table.rawValue) &<< 12 | slot &<< 3)).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  @inline(__always) public func load(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry {
    GuestTableEntry(rawValue: word(table, slot).pointee.load(ordering: .relaxed))
  }

  public func replace(
    _ table: MachineFrame, _ slot: Int, expected: GuestTableEntry, with entry: GuestTableEntry
  ) -> Bool {
    word(table, slot).pointee
      .compareExchange(
        expected: expected.rawValue, desired: entry.rawValue, ordering: .sequentiallyConsistent
      ).exchanged
  }

  public func store(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry) {
    word(table, slot).pointee.store(entry.rawValue, ordering: .sequentiallyConsistent)
  }

  @inline(__always) public func made(_ step: ShadowStep) {}
}

/// The tables of a PV guest, whose kernel and user both run at CPL 3, each on a top-level table of its own: every entry
/// that is present counts as the user's. Real Xen does so too (it sets the bit in the entries themselves).
public struct ParavirtualGuestTables: GuestTableAccess {
  private let shared: SharedGuestTables

  public init(base: UnsafeMutableRawPointer, frameCount: Int) {
    shared = SharedGuestTables(base: base, frameCount: frameCount)
  }

  public var frameCount: Int { shared.frameCount }

  @inline(__always) public func reading(_ entry: GuestTableEntry) -> GuestTableEntry {
    entry.isPresent ? GuestTableEntry(rawValue: entry.rawValue | EntryBits.user) : entry
  }

  @inline(__always) public func load(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry {
    reading(shared.load(table, slot))
  }

  public func replace(
    _ table: MachineFrame, _ slot: Int, expected: GuestTableEntry, with entry: GuestTableEntry
  ) -> Bool {
    let actual = shared.load(table, slot)
    guard reading(actual) == expected else { return false }
    // The guest's own bit stays as it is.
    let mark = EntryBits.user
    let new = entry.rawValue & ~mark | actual.rawValue & mark
    return shared.replace(table, slot, expected: actual, with: GuestTableEntry(rawValue: new))
  }

  public func store(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry) {
    shared.store(table, slot, entry)
  }

  @inline(__always) public func made(_ step: ShadowStep) {}
}
