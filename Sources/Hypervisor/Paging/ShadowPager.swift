// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What the processor reports with a page fault. Source: Intel SDM volume 3, section 4.7.
struct PageFaultError: RawRepresentable, Hashable {
  var rawValue: UInt64
  static let present: UInt64 = 1
  static let write: UInt64 = 2
  static let user: UInt64 = 4
  static let fetch: UInt64 = 16

  var access: Access {
    if rawValue & Self.write != 0 { return .write }
    return rawValue & Self.fetch != 0 ? .execute : .read
  }
}

/// What becomes of a page fault.
enum FaultOutcome {
  /// The shadow was at fault, and is mended: run on.
  case resume
  /// The guest's own tables say so: it gets the fault, with this error code.
  case reflect(UInt64)
  /// The guest's tables are such that the domain is ended.
  case wild(WildEntry)
  /// There is no shadow memory that could be freed.
  case exhausted
}

/// The page tables that a domain's vCPUs really run on: the Shadow machine, as the hypervisor uses it.
///
/// A vCPU counts there as two: one that runs on the table of the guest's kernel, and one that runs on that of its user.
/// A guest without a user table never enters user mode: the second runs, so to say, on the kernel's table too, so that no
/// table is held that the guest has done with. Calls come with the domain's lock held.
///
/// Which frames the domain may map is the machine's to know: those that come and go are told (`arrive`, `leave`,
/// `grantChanged`). A frame that the domain owns and the machine does not know, since another domain transferred it or
/// since it is watched, is taken up when it is first used: `DomainFrames` is asked whose it is.
final class ShadowPager {
  private let frames: DomainFrames
  private let tables: any ShadowTables
  private let window: DomainWindow
  private let processorCount: Int

  init(
    frames: DomainFrames, tables: any ShadowTables, window: DomainWindow, processorCount: Int
  ) {
    self.frames = frames
    self.tables = tables
    self.window = window
    self.processorCount = processorCount
  }

  private func number(_ processor: Int, _ mode: VirtualMode) -> Int {
    processor * 2 + (mode == .user ? 1 : 0)
  }

  /// All that a vCPU counts as; all that there are, if it is nil.
  private func numbers(of processor: Int?) -> Range<Int> {
    processor.map { $0 * 2..<$0 * 2 + 2 } ?? 0..<processorCount * 2
  }

  /// The level-4 table for CR3; nil before the first load.
  func root(of processor: Int, in mode: VirtualMode) -> MachineFrame? {
    tables.root(of: number(processor, mode))
  }

  // MARK: Loads

  /// The guest loads its kernel's table (`MMUEXT_NEW_BASEPTR`).
  /// - Parameter userRoot: its user table, if it has one.
  func load(kernel root: MachineFrame, userRoot: MachineFrame?, of processor: Int) -> ShadowStatus {
    let status = load(root, number(processor, .kernel))
    guard status == .okay else { return status }
    tables.reserve(MonitorWindow.tableSlot, window.tableEntry, in: root)
    return userRoot == nil ? load(user: nil, kernelRoot: root, of: processor) : .okay
  }

  /// The guest loads its user's table (`MMUEXT_NEW_USER_BASEPTR`); nil means none.
  func load(user root: MachineFrame?, kernelRoot: MachineFrame, of processor: Int) -> ShadowStatus {
    let number = number(processor, .user)
    if root == nil, tables.root(of: number) == nil { return .okay }
    return load(root ?? kernelRoot, number)
  }

  private func load(_ root: MachineFrame, _ number: Int) -> ShadowStatus {
    let status = taking(root) { tables.load(root, on: number) }
    if status == .okay { tables.reserve(MonitorWindow.levelFourSlot, window.entry, in: root) }
    return status
  }

  /// The guest pins a level-4 table. That its shadow is kept saves time, and is not promised.
  func pin(_ table: MachineFrame) { _ = taking(table) { tables.pin(table) } }
  func unpin(_ table: MachineFrame) { tables.unpin(table) }

  // MARK: Flushes

  /// The guest flushes all translations of a vCPU; of all of them, if it is nil.
  func flush(_ processor: Int?) {
    for number in numbers(of: processor) { tables.flush(number) }
  }

  /// The guest flushes one address of a vCPU; of all of them, if it is nil.
  func invalidate(_ address: VirtualAddress, _ processor: Int?) {
    for number in numbers(of: processor) { tables.invalidate(address, on: number) }
  }

  // MARK: Entries

  /// Writes an entry on the guest's behalf, to a frame of its own.
  func write(_ entry: PageTableEntry, to place: EntryPlace) -> ShadowStatus {
    let entry = GuestTableEntry(rawValue: entry.rawValue)
    return taking(place.table) { tables.write(entry, to: place.table, slot: place.index) }
  }

  /// Whether a frame is a page table that nobody writes to but through `write`.
  func isProtected(_ frame: MachineFrame) -> Bool { tables.isProtected(frame) }

  // MARK: Frames come and go

  /// The domain owns a frame from now on.
  func arrive(_ frame: MachineFrame) { _ = takeUp(frame) }

  /// The domain is to lose a frame: if so, no vCPU reaches it any more.
  /// - Returns: false if a vCPU runs on it as its page table.
  func leave(_ frame: MachineFrame) -> Bool {
    tables.unpin(frame)
    return tables.surrender(frame) != .busy
  }

  /// What the domain was granted of another's frame has changed: it reaches it as far as that goes, and no further.
  func grantChanged(_ frame: MachineFrame) {
    guard !frames.owns(frame) else { return }
    // It cannot be busy: no vCPU runs on what the domain does not own.
    _ = tables.surrender(frame)
    let writes = frames.mayReach(frame, writing: true)
    if writes || frames.mayReach(frame, writing: false) { _ = tables.acquire(frame, writes: writes) }
  }

  /// The next access to an own frame is to fault.
  func watch(_ frame: MachineFrame) { _ = tables.surrender(frame) }

  private func takeUp(_ frame: MachineFrame) -> Bool {
    frames.owns(frame) && tables.acquire(frame, writes: true) == .okay
  }

  /// Does something with an own frame, which is taken up for it if the machine does not know it yet.
  private func taking(_ frame: MachineFrame, _ operation: () -> ShadowStatus) -> ShadowStatus {
    let status = operation()
    return status == .denied && takeUp(frame) ? operation() : status
  }

  // MARK: Faults

  /// A page fault that a vCPU's processor reported, or that a copy on its behalf would take.
  func fault(at address: VirtualAddress, _ error: PageFaultError, _ view: PagingView) -> FaultOutcome {
    let number = number(view.processor, view.mode)
    let kind = PageFault(rawValue: error.rawValue).intersection([.present, .write, .fetch])
    // Each turn but the last takes a frame up, or makes an entry writable.
    for _ in 0..<8 {
      switch tables.fault(at: address, kind, on: number) {
      case .resume: return .resume
      case .exhausted: return .exhausted
      case .reflect(let present):
        if present, let target = deniedTarget(address, error, view),
          tables.allowStore(at: address, on: number, isTable: frames.pinned.contains(target))
        {
          continue
        }
        return .reflect(reported(error, view.mode, present: present))
      case .emulate:
        // As in real Xen: what is stored above level 1 is a hypercall's.
        return .reflect(reported(error, view.mode, present: true))
      case .refuse(let level, let entry):
        if takeUp(entry.frame) { continue }
        return .wild(WildEntry(level: level + 1, entry: PageTableEntry(entry.rawValue), address: address))
      }
    }
    return .resume
  }

  /// The guest's handler of a fault is about to return.
  func returns(_ processor: Int) {
    for number in numbers(of: processor) { tables.returns(number) }
  }

  /// The error code that the guest sees: present according to its own tables, user according to its own mode.
  private func reported(_ error: PageFaultError, _ mode: VirtualMode, present: Bool) -> UInt64 {
    error.rawValue & (PageFaultError.write | PageFaultError.fetch) | (present ? PageFaultError.present : 0)
      | (mode == .user ? PageFaultError.user : 0)
  }

  /// Where a store goes that the guest's tables deny, if it may be one of its kernel to a page table. A user's page is
  /// none, or is not any more: what keeps it read-only may be copy-on-write.
  private func deniedTarget(_ address: VirtualAddress, _ error: PageFaultError, _ view: PagingView)
    -> MachineFrame?
  {
    guard error.access == .write, view.mode == .kernel,
      case .denied(let found) = GuestWalker(frames: frames).walk(
        address, root: view.kernelRoot, for: .write, in: .kernel)
    else { return nil }
    return !found.user || view.userRoot == nil ? found.frame : nil
  }
}

/// What a vCPU's page faults depend on, in its guest's terms.
struct PagingView {
  var processor: Int
  var mode: VirtualMode
  var kernelRoot: MachineFrame
  var userRoot: MachineFrame?
}

/// An entry of a guest's page table.
struct EntryPlace {
  /// A frame of the domain's.
  var table: MachineFrame
  /// 0 ..< 512.
  var index: Int
}

extension WildEntry {
  /// An entry that the machine refuses.
  init(level: Int, entry: PageTableEntry, address: VirtualAddress) {
    let isLarge = level > 1 && entry.has(PageTableEntry.large)
    let problem: Problem =
      level == 1 ? .foreignFrame : !isLarge ? .foreignTable : level == 4 ? .reservedBits : .largePage
    self.init(problem: problem, level: level, entry: entry, address: address)
  }
}
