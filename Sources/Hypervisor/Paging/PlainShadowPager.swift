// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The plain pager: shadows are filled at faults from the guest's tables, and dropped at every flush and switch.
///
/// Rules:
///  1. A shadow entry maps a frame only if the guest's tables did when it was made, with at most their rights, and
///     only if the domain may reach the frame.
///  2. It is writable only if the guest's entry was dirty: the first write sets the dirty bit.
///  3. The guest's tables need no write protection: what a guest stores there counts after its next flush, or at
///     once where there was no translation, as with a TLB. A read-only mapping of a page table is made writable at
///     the guest kernel's first store to it: the ABI lets kernels update their tables that way.
///  4. A frame that leaves the domain, and a grant that is unmapped, flush every vCPU first (see `Domain.flushAll`).
final class PlainShadowPager: ShadowPager {
  private let frames: DomainFrames
  private let memory: MachineMemory
  private let window: ProcessorPages
  private let arena: TableArena
  /// Makes KVM forget what it derived from used tables; no vCPU of the domain is in the guest afterwards.
  private let forget: () throws(HostError) -> Void

  private var kernelRoot: MachineFrame
  private var userRoot: MachineFrame?
  private var kernelShadow: MachineFrame
  private var userShadow: MachineFrame

  /// Tables that one fault may need, and that dropping everything needs.
  private static let tablesPerFault = 3
  private static let tablesPerDrop = 2

  init(
    frames: DomainFrames, window: ProcessorPages, arena: TableArena, kernelRoot: MachineFrame,
    forget: @escaping () throws(HostError) -> Void
  ) {
    self.frames = frames
    memory = frames.memory
    self.window = window
    self.arena = arena
    self.forget = forget
    self.kernelRoot = kernelRoot
    kernelShadow = arena.take()
    userShadow = arena.take()
    linkWindow()
  }

  func root(for mode: VirtualMode) -> MachineFrame { mode == .kernel ? kernelShadow : userShadow }

  func load(kernel root: MachineFrame) throws(HostError) {
    kernelRoot = root
    try flush()
  }

  func load(user root: MachineFrame?) throws(HostError) {
    userRoot = root
    try flush()
  }

  func flush() throws(HostError) {
    if arena.remaining < Self.tablesPerDrop + Self.tablesPerFault {
      try forget()
      arena.restart()
    }
    kernelShadow = arena.take()
    userShadow = arena.take()
    linkWindow()
  }

  func invalidate(_ address: VirtualAddress) throws(HostError) { try flush() }

  func guestEntryWritten(_ table: MachineFrame, index: Int) {
    // Nothing: the shadow keeps what a TLB might keep, until the guest flushes.
  }

  // MARK: Faults

  func fault(at address: VirtualAddress, error: PageFaultError, in mode: VirtualMode) throws(HostError)
    -> FaultOutcome
  {
    guard address.isCanonical, !address.isHypervisors else {
      return .reflect(reported(error, mode, present: error.rawValue & PageFaultError.present != 0))
    }
    guard let root = mode == .kernel ? kernelRoot : userRoot else {
      return .reflect(reported(error, mode, present: false))
    }
    let walker = GuestWalker(frames: frames)
    switch walker.walk(address, root: root, for: error.access, in: mode) {
    case .mapped(let translation):
      try fill(address, translation, mode, walker)
      return .resume
    case .denied(let translation):
      if mayStoreToTable(translation, error.access, mode) {
        var writable = translation
        writable.writable = true
        try fill(address, writable, mode, walker)
        return .resume
      }
      return .reflect(reported(error, mode, present: true))
    case .notPresent:
      return .reflect(reported(error, mode, present: false))
    case .changed:
      return .resume
    case .wild(let entry):
      return .wild(entry)
    }
  }

  /// The error code that the guest sees: present according to its own tables, user according to its own mode.
  private func reported(_ error: PageFaultError, _ mode: VirtualMode, present: Bool) -> UInt64 {
    error.rawValue & (PageFaultError.write | PageFaultError.fetch) | (present ? PageFaultError.present : 0)
      | (mode == .user ? PageFaultError.user : 0)
  }

  /// Rule 3: a kernel's store to one of its own page tables, through a mapping that is read-only for no other reason.
  private func mayStoreToTable(_ translation: Translation, _ access: Access, _ mode: VirtualMode) -> Bool {
    access == .write && mode == .kernel && translation.upper.writable && frames.owns(translation.frame)
      && frames.isTable(translation.frame)
  }

  // MARK: Shadow tables

  private func linkWindow() {
    let flags =
      PageTableEntry.present | PageTableEntry.writable | PageTableEntry.user | PageTableEntry.accessed
    memory.monitorWords(kernelShadow)[MonitorWindow.levelFourSlot] =
      PageTableEntry(window.kernelWindow, flags).rawValue
    memory.monitorWords(userShadow)[MonitorWindow.levelFourSlot] =
      PageTableEntry(window.userWindow, flags).rawValue
  }

  private func fill(
    _ address: VirtualAddress, _ translation: Translation, _ mode: VirtualMode, _ walker: GuestWalker
  ) throws(HostError) {
    if arena.remaining < Self.tablesPerFault { try flush() }
    var table = shadowTable(for: address, mode)
    let index = address.tableIndex(1)
    let old = PageTableEntry(table[index])
    if old.isPresent, old.frame != translation.frame {
      // KVM may go on using the old frame: only tables without a past are safe.
      try flush()
      table = shadowTable(for: address, mode)
    }
    table[index] = leaf(translation).rawValue
    pullThrough(into: table, translation, mode, walker)
  }

  /// Fills in what else the guest's level-1 table holds: upgrades cost nothing, and each saves an exit.
  ///
  /// Only entries that the guest, or its builder, marked as accessed: a processor may have read them ahead.
  private func pullThrough(
    into table: UnsafeMutablePointer<UInt64>, _ found: Translation, _ mode: VirtualMode, _ walker: GuestWalker
  ) {
    guard let entries = frames.entries(of: found.table) else { return }
    for index in 0..<entriesPerTable where table[index] == 0 {
      let entry = PageTableEntry((entries + index).loadShared())
      guard entry.isPresent, entry.has(PageTableEntry.accessed),
        mode == .kernel || (entry.has(PageTableEntry.user) && found.upper.user),
        let translation = walker.translation(entry, table: found.table, rights: found.upper),
        translation.frame != frames.polled
      else { continue }
      table[index] = leaf(translation).rawValue
    }
  }

  private func leaf(_ translation: Translation) -> PageTableEntry {
    var flags = PageTableEntry.present | PageTableEntry.user | PageTableEntry.accessed
    if translation.writable { flags |= PageTableEntry.writable | PageTableEntry.dirty }
    if translation.noExecute { flags |= PageTableEntry.noExecute }
    return PageTableEntry(translation.frame, flags)
  }

  /// The shadow's level-1 table for an address; missing tables are added.
  private func shadowTable(for address: VirtualAddress, _ mode: VirtualMode) -> UnsafeMutablePointer<UInt64> {
    var table = memory.monitorWords(root(for: mode))
    for level in stride(from: 4, through: 2, by: -1) {
      let index = address.tableIndex(level)
      if table[index] == 0 {
        let flags =
          PageTableEntry.present | PageTableEntry.writable | PageTableEntry.user | PageTableEntry.accessed
        table[index] = PageTableEntry(arena.take(), flags).rawValue
      }
      table = memory.monitorWords(PageTableEntry(table[index]).frame)
    }
    return table
  }
}
