// SPDX-License-Identifier: Apache-2.0
//
// Shadow page tables: what processors walk instead of the guest's own tables; and the one interface behind which the
// specification's lockstep and the optimised machine both stand. 4-level x86-64 tables; level 0 is what the manuals
// call level 1. Source: Intel SDM volume 3, sections 4.5 to 4.7.

/// Bits that guest entries and shadow entries have in common.
public enum EntryBits {
  public static let present: UInt64 = 1 << 0
  public static let writable: UInt64 = 1 << 1
  public static let user: UInt64 = 1 << 2
  public static let accessed: UInt64 = 1 << 5
  public static let dirty: UInt64 = 1 << 6
  /// Above level 0: maps a large page, which PV guests may not have.
  public static let large: UInt64 = 1 << 7
  public static let noExecute: UInt64 = 1 << 63
  /// Where the frame's number stands, shifted by 12.
  public static let frame: UInt64 = 0x000f_ffff_ffff_f000
}

/// Bits of shadow entries that processors leave to software: each is one machine's, for machines work on the same entries.
/// Source: Intel SDM volume 3, table 4-20 (bits 9 to 11).
public enum SoftwareEntryBits {
  /// The shadow's: the stub has yet to store what the entry lost.
  public static let queued: UInt64 = 1 << 9
  /// The dirty log's: the guest's own entry lets it write.
  public static let mayWrite: UInt64 = 1 << 10
}

/// The limits of page tables.
public enum PagingLimits {
  public static let levelCount = 4
  public static let topLevel = 3
  public static let slotCount = 512
  /// Shadow pages of one domain.
  public static let shadowPageCount = 4095
  /// Entries that lead to one shadow.
  public static let linkCount = 4095
  public static let vcpuCount = 256
  /// Places of one vCPU for tables out of sync, under `ShadowPolicy.few`.
  public static let seatCount = 3
  /// Level-3 slots that the PV ABI keeps for the hypervisor. Source: xen/include/public/arch-x86/xen-x86_64.h.
  public static let reservedSlots = 256..<272
}

/// An entry of a guest's table: hostile, and in the guest's terms.
public struct GuestTableEntry: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable public init(_ frame: MachineFrame, _ bits: UInt64) {
    rawValue = frame.rawValue &<< 12 & EntryBits.frame | bits
  }

  @inlinable public func has(_ bits: UInt64) -> Bool { rawValue & bits == bits }
  @inlinable public var isPresent: Bool { has(EntryBits.present) }
  /// The page, or the guest's table one level below.
  @inlinable public var frame: MachineFrame { MachineFrame((rawValue & EntryBits.frame) &>> 12) }
}

/// An entry of a shadow: what processors walk.
public struct ShadowTableEntry: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  public static let absent = ShadowTableEntry(rawValue: 0)

  @inlinable public func has(_ bits: UInt64) -> Bool { rawValue & bits == bits }
  @inlinable public var isPresent: Bool { has(EntryBits.present) }
  @inlinable public var isWritable: Bool { has(EntryBits.writable) }
  /// The page, or the shadow one level below.
  @inlinable public var frame: MachineFrame { MachineFrame((rawValue & EntryBits.frame) &>> 12) }
}

/// Which tables may go out of sync: the three designs that Xen had.
public enum ShadowPolicy: UInt8, Sendable, CaseIterable {
  /// Shadow-1: every level-1 table; each fault brings the others back into sync.
  case all
  /// Shadow-2: none; each store to a table is emulated.
  case none
  /// Shadow-3: three level-1 tables a vCPU.
  case few
}

/// What a processor reports with a page fault (the error code).
public struct PageFault: OptionSet, Sendable, Hashable {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  public static let present = PageFault(rawValue: 1)
  public static let write = PageFault(rawValue: 2)
  public static let user = PageFault(rawValue: 4)
  public static let fetch = PageFault(rawValue: 16)
}

/// What becomes of a page fault.
public enum ShadowOutcome: Sendable, Hashable {
  /// The shadow was behind and has caught up: run on.
  case resume
  /// The guest's own tables say so: it gets the fault; `present` is what the error code tells it.
  case reflect(present: Bool)
  /// A store to a guest's table, which is to be done by `write` on the guest's behalf: the store's entry.
  case emulate(table: MachineFrame, slot: Int)
  /// The guest's entry leads to where the domain may not go, or is of a kind that it may not have.
  case refuse(level: Int, entry: GuestTableEntry)
  /// There is no shadow memory that could be freed.
  case exhausted
}

/// What an operation on shadows answers.
public enum ShadowStatus: UInt8, Sendable, Hashable {
  case okay
  /// The domain may not do that with the frame.
  case denied
  /// The frame is pinned, or a vCPU runs on it.
  case busy
  /// There is no shadow memory that could be freed, or less is asked for than is in use.
  case exhausted
}

/// A shadow entry that lost a right: what the stub in ring 0 has to store, and where.
public struct Downgrade: Sendable, Hashable {
  /// Of the shadow entry, 8 bytes.
  public var address: MachineAddress
  public var value: ShadowTableEntry

  @inlinable public init(address: MachineAddress, value: ShadowTableEntry) {
    self.address = address
    self.value = value
  }
}

/// The stub in ring 0.
public protocol ShadowStub: AnyObject {
  /// Stores all downgrades while no vCPU of the domain is in the guest, and makes every vCPU forget what it had of those
  /// entries: when this returns, none uses more than the new values give.
  func store(_ downgrades: UnsafeBufferPointer<Downgrade>)
}

/// Where shadows lie.
public struct ShadowPages {
  /// The first of `count` pages of 4096 bytes, aligned to that.
  public var base: UnsafeMutableRawPointer
  /// The page's machine frame; the others follow it.
  public var firstFrame: MachineFrame
  /// 1 … `PagingLimits.shadowPageCount`.
  public var count: Int

  @inlinable public init(base: UnsafeMutableRawPointer, firstFrame: MachineFrame, count: Int) {
    self.base = base
    self.firstFrame = firstFrame
    self.count = count
  }
}

/// The shadow page tables of one domain. Calls come with the domain's lock held. vCPUs are numbered from 0; calls with
/// others are a bug of the caller. Frames may be any number.
public protocol ShadowTables: AnyObject {
  /// The domain may map a frame from now on, and write to it if `writes`. Denied if it could already.
  func acquire(_ frame: MachineFrame, writes: Bool) -> ShadowStatus
  /// The domain gives a frame up: when this is okay, no vCPU reaches it any more.
  func surrender(_ frame: MachineFrame) -> ShadowStatus

  /// The guest loads a level-3 table; what its vCPU uses is flushed.
  func load(_ root: MachineFrame, on vcpu: Int) -> ShadowStatus
  /// What CR3 is to name; nil before the first `load`.
  func root(of vcpu: Int) -> MachineFrame?
  /// Keeps the shadow of a level-3 table.
  func pin(_ table: MachineFrame) -> ShadowStatus
  /// The guest is done with a level-3 table: unless a vCPU runs on it, its shadow is given up, and those of the tables
  /// that nothing else leads to.
  func unpin(_ table: MachineFrame)
  /// Puts an entry of the hypervisor's into one of the `reservedSlots` of a level-3 table's shadow, for as long as that
  /// lives. A slot that has one keeps it; nothing happens if there is no shadow.
  func reserve(_ slot: Int, _ entry: ShadowTableEntry, in table: MachineFrame)

  /// A page fault of a vCPU.
  func fault(at address: VirtualAddress, _ error: PageFault, on vcpu: Int) -> ShadowOutcome
  /// The PV ABI lets a guest's kernel store to its page tables through mappings that are read-only: such a fault was
  /// reflected, and the caller has seen that the entry is the kernel's own. If it is for a table that it is denied, the
  /// guest's level-1 entry becomes writable on its behalf, and the store is to be tried again.
  /// - Parameter isTable: whether the guest has said that the frame is a table, though it need not have a shadow.
  /// - Returns: whether that was so.
  func allowStore(at address: VirtualAddress, on vcpu: Int, isTable: Bool) -> Bool
  /// Whether a frame is a table in sync: nobody but this writes to it.
  func isProtected(_ frame: MachineFrame) -> Bool
  /// The guest's handler of the latest reflected fault is about to return, and the vCPU is out of the guest anyway: what
  /// the handler mapped is taken over.
  func returns(_ vcpu: Int)
  /// An entry is written on the guest's behalf: by hypercall, or an emulated store. Denied if it may not write there.
  func write(_ entry: GuestTableEntry, to table: MachineFrame, slot: Int) -> ShadowStatus

  /// The guest flushes all translations of a vCPU.
  func flush(_ vcpu: Int)
  /// The guest flushes one address of a vCPU.
  func invalidate(_ address: VirtualAddress, on vcpu: Int)

  /// How many of the shadow pages may be used: at least one for each pinned table and each vCPU, and four.
  func resize(to capacity: Int) -> ShadowStatus
}

extension VirtualAddress {
  /// The index into a table of level 3 … 0.
  @inlinable public func slot(at level: Int) -> Int { Int(rawValue &>> UInt64(12 + 9 * level)) & 0x1ff }
}
