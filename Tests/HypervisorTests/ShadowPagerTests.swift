// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

@Suite("The plain shadow pager")
struct ShadowPagerTests {
  let tables: WalkedTables
  let pager: PlainShadowPager
  let counter = Counter()

  final class Counter { var forgets = 0 }

  init() throws {
    tables = try WalkedTables()
    let memory = tables.memory
    let window = try ProcessorPages(memory, shared: MonitorPages(memory), guestReachesSystemCallPort: true)
    let counter = counter
    pager = PlainShadowPager(
      frames: tables.frames, window: window, arena: try TableArena(memory, frameCount: 32),
      kernelRoot: tables.root
    ) { counter.forgets += 1 }
  }

  /// What the processor would find for the address: the leaf, or nil.
  func shadow(_ mode: VirtualMode = .kernel) -> PageTableEntry? {
    var table = pager.root(for: mode)
    for level in stride(from: 4, through: 1, by: -1) {
      guard table.rawValue < UInt64(tables.memory.monitorFrameCount) else { return nil }
      let entry = PageTableEntry(tables.memory.monitorWords(table)[tables.address.tableIndex(level)])
      if !entry.isPresent || level == 1 { return entry.isPresent ? entry : nil }
      table = entry.frame
    }
    return nil
  }

  func fault(_ error: UInt64 = 4, _ mode: VirtualMode = .kernel) throws -> String {
    switch try pager.fault(at: tables.address, error: PageFaultError(rawValue: error), in: mode) {
    case .resume: "resume"
    case .reflect(let code): "reflect \(code)"
    case .wild: "wild"
    }
  }

  @Test("a fault fills the shadow with the guest's frame, read-only until the first write")
  func fill() throws {
    #expect(shadow() == nil)
    #expect(try fault() == "resume")
    #expect(shadow()?.frame == tables.data)
    #expect(shadow()?.has(PageTableEntry.writable) == false)
    #expect(try fault(7) == "resume")
    #expect(shadow()?.has(PageTableEntry.writable) == true)
    #expect(tables.entry(1).has(PageTableEntry.dirty))
  }

  @Test("a flush drops everything, and the new tables hold nothing of the old")
  func flush() throws {
    #expect(try fault() == "resume")
    let old = pager.root(for: .kernel)
    try pager.flush()
    #expect(pager.root(for: .kernel) != old)
    #expect(shadow() == nil)
  }

  @Test("user and kernel have tables of their own, both with the monitor's window")
  func window() throws {
    #expect(pager.root(for: .kernel) != pager.root(for: .user))
    for mode in [VirtualMode.kernel, .user] {
      let words = tables.memory.monitorWords(pager.root(for: mode))
      #expect(PageTableEntry(words[MonitorWindow.levelFourSlot]).isPresent)
      #expect((256...271).filter { words[$0] != 0 } == [MonitorWindow.levelFourSlot])
    }
  }

  @Test("the guest's own faults are reflected with its own error code")
  func reflect() throws {
    tables.set(1, PageTableEntry(0))
    #expect(try fault(7) == "reflect 2", "kernel mode, not present, write")
    tables.set(1, PageTableEntry(tables.data, 5))
    #expect(try fault(7) == "reflect 3", "kernel mode, present, write")
    #expect(try fault(7, .user) == "reflect 6", "no user table: user mode, write")
    try pager.load(user: tables.root)
    #expect(try fault(7, .user) == "reflect 7")
  }

  @Test("addresses of the monitor, and those that are none, are never filled")
  func reserved() throws {
    for address in [MonitorWindow.base, 0xffff_8000_0000_0000, 0xffff_87ff_ffff_f000, 0x8000_0000_0000] {
      let outcome = try pager.fault(
        at: VirtualAddress(address), error: PageFaultError(rawValue: 4), in: .kernel)
      guard case .reflect = outcome else {
        Issue.record("\(hex(address)) was not reflected")
        continue
      }
    }
  }

  @Test("a wild entry is reported, and nothing is mapped")
  func wild() throws {
    tables.set(1, PageTableEntry(tables.foreign, 0x67))
    #expect(try fault() == "wild")
    #expect(shadow() == nil)
  }

  @Test("pulling through takes accessed entries of the same table, and no foreign frame")
  func pullThrough() throws {
    let words = tables.memory.bytes(of: tables.tables[3])?.assumingMemoryBound(to: UInt64.self)
    let index = tables.address.tableIndex(1)
    words?[index + 1] = PageTableEntry(tables.data, 0x67).rawValue
    words?[index + 2] = PageTableEntry(tables.data, 0x7).rawValue
    words?[index + 3] = PageTableEntry(tables.foreign, 0x67).rawValue
    words?[index + 4] = PageTableEntry(MachineFrame(0), 0x67).rawValue
    #expect(try fault() == "resume")
    var table = pager.root(for: .kernel)
    for level in 2...4 {
      table = PageTableEntry(tables.memory.monitorWords(table)[tables.address.tableIndex(6 - level)]).frame
    }
    let leaves = tables.memory.monitorWords(table)
    #expect(PageTableEntry(leaves[index + 1]).frame == tables.data)
    #expect((2...4).allSatisfy { leaves[index + $0] == 0 })
  }

  @Test("a kernel's store to a page table that is mapped read-only is let through, a user's is not")
  func tableStore() throws {
    tables.set(1, PageTableEntry(tables.root, 5))
    #expect(try fault(7) == "resume")
    #expect(shadow()?.has(PageTableEntry.writable) == true)
    try pager.load(user: tables.root)
    #expect(try fault(7, .user) == "reflect 7")
  }

  @Test("an exhausted arena is used again only after KVM has forgotten it")
  func exhaustion() throws {
    for _ in 0..<40 {
      try pager.flush()
      #expect(try fault() == "resume")
      #expect(shadow()?.frame == tables.data)
    }
    #expect(counter.forgets > 1)
  }
}
