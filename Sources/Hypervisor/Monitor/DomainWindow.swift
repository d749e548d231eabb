// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A domain's monitor window: the tables behind level-4 slots 257 and 258 of all its address spaces, and the pages that
/// its shadows lie in.
final class DomainWindow {
  /// An address space with nothing but the window.
  let root: MachineFrame
  /// What stands in slot 257 of the shadow of every level-4 table, and in slot 258 of those of guest kernels.
  let entry: ShadowTableEntry
  let tableEntry: ShadowTableEntry
  /// Addresses of shadow entries, for the stub that stores them: 512.
  let list: UnsafeMutablePointer<UInt64>
  let pool: ShadowPages
  /// The lists of `UpdateStub`, one a vCPU.
  let updatable: UnsafeMutablePointer<UInt64>
  /// Where the vCPUs' kernels are entered from user mode, one word each: the guest's, at `MonitorWindow.kernelStacks`.
  let kernelStacks: UnsafeMutablePointer<UInt64>

  private let memory: MachineMemory
  private let piece: Range<Int>
  private let poolPiece: Range<Int>
  /// Level-1 tables of the vCPUs' pages.
  private let processorTables: [MachineFrame]

  private static let processorTableCount =
    Domain.maximumVirtualCPUs * MonitorWindow.pagesPerProcessor / entriesPerTable
  private static let firstPoolTable = 10 + processorTableCount
  private static let table =
    PageTableEntry.present | PageTableEntry.writable | PageTableEntry.accessed
  private static let writable = table | PageTableEntry.dirty | PageTableEntry.noExecute

  /// - Parameter shadowPages: how many pages there are for shadows, up to `PagingLimits.shadowPageCount`.
  init(_ memory: MachineMemory, shared: MonitorPages, shadowPages: Int) throws(HostError) {
    self.memory = memory
    let poolTables = (shadowPages + entriesPerTable - 1) / entriesPerTable
    piece = try memory.monitor.allocate(Self.firstPoolTable + poolTables)
    do throws(HostError) { poolPiece = try memory.monitor.allocate(shadowPages) } catch {
      memory.monitor.release(piece)
      throw error
    }
    let frames = piece.map { MachineFrame(UInt64($0)) }
    for frame in frames { memory.monitorBytes(frame).initialize(repeating: 0, count: frameSize) }
    let (levelThree, tableThree, levelTwo, listTable, listFrame) = (
      frames[1], frames[2], frames[3], frames[4], frames[5]
    )
    root = frames[0]
    list = memory.monitorWords(listFrame)
    processorTables = Array(frames[10..<Self.firstPoolTable])
    updatable = memory.monitorWords(frames[8])
    kernelStacks = memory.monitorWords(frames[9])
    pool = ShadowPages(
      base: memory.base + poolPiece.lowerBound * frameSize,
      firstFrame: MachineFrame(UInt64(poolPiece.lowerBound)), count: shadowPages)
    let user = Self.table | PageTableEntry.user
    entry = ShadowTableEntry(rawValue: PageTableEntry(levelThree, user).rawValue)
    tableEntry = ShadowTableEntry(rawValue: PageTableEntry(tableThree, user).rawValue)

    func set(_ table: MachineFrame, _ index: Int, _ frame: MachineFrame, _ flags: UInt64) {
      memory.monitorWords(table)[index] = PageTableEntry(frame, flags).rawValue
    }
    set(root, MonitorWindow.levelFourSlot, levelThree, user)
    set(levelThree, 0, levelTwo, user)
    for (index, entries) in shared.machineToPhysicalTables.enumerated() {
      set(tableThree, index, entries, user & ~PageTableEntry.writable)
    }
    // Beside that table: what guest kernels may read, and what they may write.
    set(tableThree, MonitorWindow.machineToPhysicalSlots, frames[6], user)
    set(frames[6], 0, frames[7], user)
    set(frames[7], 0, frames[8], user & ~PageTableEntry.writable | PageTableEntry.noExecute)
    set(frames[7], 1, frames[9], user | Self.writable)
    for (index, table) in processorTables.enumerated() { set(levelTwo, index, table, user) }
    // Ring 0's alone from here on.
    set(levelTwo, 2, listTable, Self.table)
    set(listTable, 0, listFrame, Self.writable)
    for (index, table) in frames[Self.firstPoolTable...].enumerated() {
      set(levelTwo, 3 + index, table, Self.table)
    }
    for page in 0..<shadowPages {
      set(
        frames[Self.firstPoolTable + page / entriesPerTable], page % entriesPerTable,
        MachineFrame(UInt64(poolPiece.lowerBound + page)), Self.writable)
    }
    let readable = PageTableEntry.present | PageTableEntry.accessed
    map(shared.interrupts, at: MonitorWindow.Page.interrupts, of: 0, readable | PageTableEntry.noExecute)
    map(
      shared.interruptsOfKernels, at: MonitorWindow.Page.interruptsOfKernels, of: 0,
      readable | PageTableEntry.noExecute)
    map(shared.stubs, at: MonitorWindow.Page.stubs, of: 0, readable)
    for page in 0..<MonitorWindow.Page.systemCallCount {
      let frame = MachineFrame(shared.systemCall.rawValue + UInt64(page))
      map(frame, at: MonitorWindow.Page.systemCall + page, of: 0, readable | PageTableEntry.user)
    }
  }

  deinit {
    memory.monitor.release(piece)
    memory.monitor.release(poolPiece)
  }

  /// Maps one of the monitor's frames at a page of a vCPU, for ring 0 to write.
  func map(_ frame: MachineFrame, at page: Int, of processor: Int) {
    map(frame, at: page, of: processor, Self.writable)
  }

  private func map(_ frame: MachineFrame, at page: Int, of processor: Int, _ flags: UInt64) {
    let number = processor * MonitorWindow.pagesPerProcessor + page
    memory.monitorWords(processorTables[number / entriesPerTable])[number % entriesPerTable] =
      PageTableEntry(frame, flags).rawValue
  }
}
