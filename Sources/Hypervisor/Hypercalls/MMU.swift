// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces

/// Hypercalls that change the guest's page tables.
///
/// What a guest stores there is checked here as a courtesy, so that it gets an error rather than its end; what
/// protects others is that every entry is checked again when a shadow is filled from it. An entry that `UpdateStub` stores
/// is checked only then, as one that the guest stores itself.
extension ParavirtualProcessor {
  private static let anyVirtualCPU = UInt64(0x7ff0)

  // MARK: mmu_update

  /// `mmu_update`: `struct mmu_update` is ptr (the kind in its low two bits) and val; 16 bytes.
  func mmuUpdate(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    let foreign = arguments.fourth
    guard foreign & 0xffff == Self.anyVirtualCPU || foreign & 0xffff == UInt64(domain.id.rawValue),
      foreign >> 16 == 0
    else { throw .noSuchDomain }
    var done: UInt32 = 0
    defer { if arguments.third != 0 { try? write(done, to: arguments.third) } }
    let count = arguments.second & 0xffff_ffff
    try forEach(count) { index throws(HypercallError) in
      let request = try argument(arguments.first &+ index &* 16, byteCount: 16)
      let changed = try update(request.u64(0), request.u64(8))
      done &+= 1
      if count == 1 { noteUpdate(request.u64(0), changed: changed) }
    }
    return 0
  }

  private enum UpdateKind: UInt64 {
    case normal = 0
    case machineToPhysical = 1
    case preserveAccessedAndDirty = 2
  }

  /// - Returns: false if the entry was that already.
  private func update(_ pointer: UInt64, _ value: UInt64) throws(HypercallError) -> Bool {
    guard let kind = UpdateKind(rawValue: pointer & 3) else { throw .notImplemented }
    let address = MachineAddress(pointer & ~3)
    switch kind {
    case .machineToPhysical:
      guard domain.frames.owns(address.frame) else { throw .invalid }
      domain.frames.memory.machineToPhysical[address.frame] = value
      return true
    case .normal, .preserveAccessedAndDirty:
      guard address.rawValue % 8 == 0, domain.frames.owns(address.frame) else { throw .invalid }
      let entry = PageTableEntry(value)
      // A table may map itself, but only to be read.
      guard !entry.isPresent || !entry.has(PageTableEntry.writable) || entry.frame != address.frame else {
        throw .invalid
      }
      let place = EntryPlace(table: address.frame, index: address.offset / 8)
      let old = domain.frames.entry(place)
      try setEntry(place, entry, preserving: kind == .preserveAccessedAndDirty)
      return old != entry
    }
  }

  /// Stores an entry if a guest may have it.
  private func setEntry(_ place: EntryPlace, _ entry: PageTableEntry, preserving: Bool = false)
    throws(HypercallError)
  {
    if entry.isPresent {
      guard domain.frames.mayReach(entry.frame, writing: entry.has(PageTableEntry.writable)) else {
        throw .invalid
      }
    }
    var new = entry
    if preserving {
      // Only the monitor sets those bits, with the lock held.
      let kept = PageTableEntry.accessed | PageTableEntry.dirty
      new.rawValue |= domain.frames.entry(place).rawValue & kept
    }
    guard space.pager.write(new, to: place) == .okay else { throw .invalid }
  }

  // MARK: update_va_mapping

  /// `update_va_mapping`: address, entry, flags (bits 0 and 1: 1 flush all, 2 flush the address; bit 2: on all
  /// vCPUs; from bit 2 on otherwise a pointer to a bitmap of vCPUs).
  func updateVirtualMapping(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    let address = VirtualAddress(arguments.first)
    guard arguments.third & 3 != 3 else { throw .invalid }
    try setEntry(try levelOnePlace(for: address), PageTableEntry(arguments.second))
    let everywhere = arguments.third & ~3 != 0
    switch arguments.third & 3 {
    case 1: flush(everywhere: everywhere)
    case 2: invalidate(address, everywhere: everywhere)
    default: break
    }
    return 0
  }

  /// The entry of the guest's kernel tables that maps an address, whatever it holds.
  func levelOnePlace(for address: VirtualAddress) throws(HypercallError) -> EntryPlace {
    guard address.isCanonical, !address.isHypervisors else { throw .invalid }
    var table = kernelRoot
    for level in stride(from: 4, through: 2, by: -1) {
      guard let entries = domain.frames.entries(of: table) else { throw .invalid }
      let entry = PageTableEntry((entries + address.tableIndex(level)).loadShared())
      guard entry.isPresent, !entry.has(PageTableEntry.large) else { throw .invalid }
      table = entry.frame
    }
    guard domain.frames.owns(table) else { throw .invalid }
    return EntryPlace(table: table, index: address.tableIndex(1))
  }

  // MARK: mmuext_op

  private enum ExtendedOperation: UInt32 {
    case pinLevelOne = 0
    case pinLevelTwo = 1
    case pinLevelThree = 2
    case pinLevelFour = 3
    case unpin = 4
    case newBasePointer = 5
    case flushLocal = 6
    case invalidateLocal = 7
    case flushSome = 8
    case invalidateSome = 9
    case flushAll = 10
    case invalidateAll = 11
    case flushCache = 12
    case setLDT = 13
    case newUserBasePointer = 15
    case clearPage = 16
    case copyPage = 17
    case flushCacheGlobal = 18
  }

  /// `mmuext_op`: `struct mmuext_op` is cmd (32 bits), padding, arg1 (64), arg2 (64); 24 bytes.
  func extendedMMUOperations(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    let foreign = arguments.fourth & 0xffff
    guard foreign == Self.anyVirtualCPU || foreign == UInt64(domain.id.rawValue) else { throw .noSuchDomain }
    var done: UInt32 = 0
    defer { if arguments.third != 0 { try? write(done, to: arguments.third) } }
    try forEach(arguments.second & 0xffff_ffff) { index throws(HypercallError) in
      let request = try argument(arguments.first &+ index &* 24, byteCount: 24)
      guard let operation = ExtendedOperation(rawValue: request.u32(0)) else { throw .notImplemented }
      try extended(operation, request.u64(8), request.u64(16))
      done &+= 1
    }
    return 0
  }

  private func extended(_ operation: ExtendedOperation, _ first: UInt64, _ second: UInt64)
    throws(HypercallError)
  {
    switch operation {
    case .pinLevelOne, .pinLevelTwo, .pinLevelThree: try pin(MachineFrame(first))
    case .pinLevelFour:
      try pin(MachineFrame(first))
      space.pager.pin(MachineFrame(first))
    case .unpin: try unpin(MachineFrame(first))
    case .newBasePointer: try loadKernelRoot(MachineFrame(first))
    case .newUserBasePointer: try loadUserRoot(MachineFrame(first))
    case .flushLocal: flush(everywhere: false)
    case .invalidateLocal: invalidate(VirtualAddress(first), everywhere: false)
    case .flushSome, .flushAll: flush(everywhere: true)
    case .invalidateSome, .invalidateAll: invalidate(VirtualAddress(first), everywhere: true)
    case .flushCache, .flushCacheGlobal: break
    case .setLDT:
      // An empty one is what kernels load; a filled one is not supported. The number of entries has 32 bits, and what is
      // above them is whatever was there before.
      guard UInt32(truncatingIfNeeded: second) == 0 else { throw .notImplemented }
    case .clearPage, .copyPage:
      guard domain.frames.owns(MachineFrame(first)), !space.pager.isProtected(MachineFrame(first)),
        let to = domain.frames.memory.bytes(of: MachineFrame(first))
      else { throw .invalid }
      guard operation == .copyPage else {
        memset(to, 0, frameSize)
        return
      }
      guard domain.frames.owns(MachineFrame(second)),
        let from = domain.frames.memory.bytes(of: MachineFrame(second))
      else { throw .invalid }
      memmove(to, from, frameSize)
    }
  }

  /// Pinning takes a frame as a page table. What it holds is checked when it is used.
  private func pin(_ frame: MachineFrame) throws(HypercallError) {
    guard domain.frames.owns(frame), domain.frames.pinned.insert(frame).inserted else { throw .invalid }
  }

  private func unpin(_ frame: MachineFrame) throws(HypercallError) {
    guard domain.frames.pinned.remove(frame) != nil else { throw .invalid }
    space.pager.unpin(frame)
  }

  func loadKernelRoot(_ frame: MachineFrame) throws(HypercallError) {
    guard domain.frames.owns(frame) else { throw .invalid }
    try check(space.pager.load(kernel: frame, userRoot: userRoot, of: index))
    kernelRoot = frame
  }

  private func loadUserRoot(_ frame: MachineFrame) throws(HypercallError) {
    guard frame.rawValue == 0 || domain.frames.owns(frame) else { throw .invalid }
    let root = frame.rawValue == 0 ? nil : frame
    try check(space.pager.load(user: root, kernelRoot: kernelRoot, of: index))
    userRoot = root
  }

  private func check(_ status: ShadowStatus) throws(HypercallError) {
    guard status == .okay else { throw status == .exhausted ? .noMemory : .invalid }
  }

  // MARK: Flushes

  func flush(everywhere: Bool) {
    statistics.count(.flushes)
    space.pager.flush(everywhere ? nil : index)
  }

  private func invalidate(_ address: VirtualAddress, everywhere: Bool) {
    statistics.count(.flushes)
    space.pager.invalidate(address, everywhere ? nil : index)
  }
}
