// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@Suite("Shadow page tables")
struct ShadowTablesTests {
  private func entry(_ target: UInt64, _ bits: UInt64 = ShadowHost.all) -> GuestTableEntry {
    GuestTableEntry(MachineFrame(target), bits)
  }
  private func host(_ policy: ShadowPolicy = .few, vcpuCount: Int = 1, pageCount: Int = 16) -> ShadowHost {
    let host = ShadowHost(policy, vcpuCount: vcpuCount, pageCount: pageCount)
    host.makeTables()
    return host
  }

  @Test("a page is reached after one fault, its frame's accessed and dirty bits as a processor sets them")
  func accessedAndDirty() {
    let host = host()
    let clean = EntryBits.present | EntryBits.writable | EntryBits.user
    host.write(3, 5, 9, clean)
    #expect(host.access(ShadowHost.page(5)) == .done(MachineFrame(9)))
    #expect(host.exits == 1)
    #expect(host.tables.load(MachineFrame(3), 5) == entry(9, clean | EntryBits.accessed))
    #expect(host.access(ShadowHost.page(5), store: entry(1)) == .done(MachineFrame(9)))
    #expect(host.exits == 2)
    #expect(host.tables.load(MachineFrame(3), 5) == entry(9, clean | EntryBits.accessed | EntryBits.dirty))
    #expect(host.problems.isEmpty)
  }

  @Test("what the guest's tables deny is the guest's fault, and what it may not have is refused")
  func denials() {
    let host = host()
    host.write(3, 5, 9, EntryBits.present)
    #expect(host.access(ShadowHost.page(5), store: entry(1)) == .fault(.reflect(present: true)))
    #expect(host.access(ShadowHost.page(5), user: true) == .fault(.reflect(present: true)))
    #expect(host.access(ShadowHost.page(40)) == .fault(.reflect(present: false)))
    #expect(host.access(VirtualAddress(0x8000_0000_0000)) == .fault(.reflect(present: false)))
    #expect(host.access(VirtualAddress(0xffff_8080_0000_0000)) == .fault(.reflect(present: false)))
    let foreign = entry(UInt64(ShadowHost.frameCount))
    #expect(host.machine.write(foreign, to: MachineFrame(3), slot: 6) == .okay)
    #expect(host.access(ShadowHost.page(6)) == .fault(.refuse(level: 0, entry: foreign)))
    let large = entry(3, ShadowHost.all | EntryBits.large)
    #expect(host.machine.write(large, to: MachineFrame(2), slot: 1) == .okay)
    #expect(host.access(VirtualAddress(1 << 21)) == .fault(.refuse(level: 1, entry: large)))
    #expect(host.machine.write(large, to: MachineFrame(1 << 40), slot: 1) == .denied)
    #expect(host.machine.load(MachineFrame(.max), on: 0) == .denied)
  }

  @Test("Shadow-3: the first store to a table faults, others do not, and are taken over when they are used")
  func outOfSync() {
    let host = host()
    #expect(host.access(ShadowHost.page(20)) == .done(MachineFrame(20)))
    let before = host.exits
    for slot in [20, 41, 42, 43] {
      let address = VirtualAddress(ShadowHost.page(3).rawValue + UInt64(slot) * 8)
      #expect(host.access(address, store: entry(UInt64(slot + 10))) == .done(MachineFrame(3)))
    }
    #expect(host.exits == before + 1 && host.machine.isOutOfSync(MachineFrame(3)))
    #expect(host.access(ShadowHost.page(20)) == .done(MachineFrame(20)), "as a TLB: not flushed yet")
    #expect(host.access(ShadowHost.page(41)) == .done(MachineFrame(51)))
    host.flush()
    #expect(!host.machine.isOutOfSync(MachineFrame(3)))
    #expect(host.access(ShadowHost.page(20)) == .done(MachineFrame(30)))
    #expect(host.problems.isEmpty && host.machine.imbalance() == nil)
  }

  @Test("one address is flushed as all are")
  func invalidation() {
    let host = host(vcpuCount: 2)
    #expect(host.access(ShadowHost.page(20), vcpu: 1) == .done(MachineFrame(20)))
    let address = VirtualAddress(ShadowHost.page(3).rawValue + 20 * 8)
    _ = host.access(address, store: entry(30))
    #expect(host.access(ShadowHost.page(20), vcpu: 1) == .done(MachineFrame(20)))
    host.invalidate(ShadowHost.page(20), 1)
    #expect(host.access(ShadowHost.page(20), vcpu: 1) == .done(MachineFrame(30)))
    #expect(host.problems.isEmpty)
  }

  @Test("Shadow-2: no table goes out of sync; each store to one is emulated, and counts at once")
  func emulation() {
    let host = host(.none)
    for slot in 20..<24 {
      let address = VirtualAddress(ShadowHost.page(3).rawValue + UInt64(slot) * 8)
      #expect(host.access(address, store: entry(UInt64(slot + 10))) == .done(MachineFrame(3)))
    }
    #expect(host.exits == 4 && !host.machine.isOutOfSync(MachineFrame(3)))
    #expect(host.access(ShadowHost.page(20)) == .done(MachineFrame(30)))
    #expect(host.exits == 4, "what was emulated is in the shadow already")
  }

  @Test("Shadow-1: each fault brings all tables back into sync")
  func everything() {
    let host = host(.all)
    let address = VirtualAddress(ShadowHost.page(3).rawValue + 40 * 8)
    #expect(host.access(address, store: entry(30)) == .done(MachineFrame(3)))
    #expect(host.machine.isOutOfSync(MachineFrame(3)))
    #expect(host.access(ShadowHost.page(40)) == .done(MachineFrame(30)))
    #expect(!host.machine.isOutOfSync(MachineFrame(3)))
    #expect(host.machine.statistics.resyncs == 1 && host.problems.isEmpty)
  }

  @Test("R1: a frame that is a table above level 1 too never goes out of sync")
  func upperTables() {
    let host = host()
    // Frame 3 is a level-1 table, and a level-2 table from now on.
    host.write(1, 1, 3)
    #expect(host.access(VirtualAddress(1 << 30 | 4 << 21 | 0x5000)) == .fault(.reflect(present: false)))
    host.write(4, 5, 9)
    #expect(host.access(VirtualAddress(1 << 30 | 4 << 21 | 0x5000)) == .done(MachineFrame(9)))
    let address = VirtualAddress(ShadowHost.page(3).rawValue + 40 * 8)
    #expect(host.access(address, store: entry(30)) == .done(MachineFrame(3)))
    #expect(!host.machine.isOutOfSync(MachineFrame(3)))
    #expect(host.machine.imbalance() == nil)
  }

  @Test("R7: of four writable mappings of a table two are usable at a time, and resync finds them")
  func fixups() {
    let host = host()
    for slot in 40..<44 { host.write(3, slot, 3) }
    for slot in 40..<44 {
      let address = VirtualAddress(ShadowHost.page(slot).rawValue + 50 * 8)
      #expect(host.access(address, store: entry(UInt64(slot))) == .done(MachineFrame(3)))
    }
    #expect(host.machine.fixup(MachineFrame(3), second: false)?.slot == 42)
    #expect(host.machine.fixup(MachineFrame(3), second: true)?.slot == 43)
    #expect(host.machine.imbalance() == nil)
    host.flush()
    #expect(host.machine.imbalance() == nil && host.problems.isEmpty)
    #expect(host.access(ShadowHost.page(50)) == .done(MachineFrame(43)))
  }

  @Test("R8: a fourth table out of sync brings the first back")
  func seats() {
    let host = host(pageCount: 32)
    for table in 10..<14 as Range<UInt64> {
      host.write(2, Int(table), table)
      #expect(host.access(VirtualAddress(table << 21)) == .fault(.reflect(present: false)))
      host.write(table, 1, 30)
      #expect(host.access(VirtualAddress(table << 21 | 0x1000)) == .done(MachineFrame(30)))
    }
    for table in 10..<14 {
      let address = VirtualAddress(ShadowHost.page(table).rawValue + 16)
      #expect(host.access(address, store: entry(31)) == .done(MachineFrame(UInt64(table))))
    }
    let outOfSync = (10..<14 as Range<UInt64>).filter { host.machine.isOutOfSync(MachineFrame($0)) }
    #expect(outOfSync == [11, 12, 13])
    #expect(host.problems.isEmpty && host.machine.imbalance() == nil)
  }

  @Test("R10: a walk succeeds with four pages and one a vCPU; what is pinned or loaded stays")
  func eviction() {
    let host = host(pageCount: 6)
    #expect(host.machine.pin(MachineFrame(0)) == .okay)
    #expect(host.machine.pin(MachineFrame(8)) == .exhausted)
    for table in 10..<20 as Range<UInt64> {
      host.write(2, Int(table), table)
      host.write(table, 1, 30)
      #expect(host.access(VirtualAddress(table << 21 | 0x1000)) == .done(MachineFrame(30)))
      #expect(host.machine.usedPages <= 6 && host.machine.hasShadow(MachineFrame(0), level: 3))
      #expect(host.machine.imbalance() == nil)
    }
    #expect(host.machine.statistics.evictions >= 6 && host.problems.isEmpty)
    #expect(host.machine.resize(to: 5) == .exhausted && host.machine.resize(to: 7) == .exhausted)
  }

  @Test("R11: a frame that leaves is reached by nobody; one that a vCPU runs on does not leave")
  func surrender() {
    let host = host(vcpuCount: 2)
    for vcpu in 0..<2 { #expect(host.access(ShadowHost.page(20), vcpu: vcpu) == .done(MachineFrame(20))) }
    #expect(host.machine.surrender(MachineFrame(20)) == .okay)
    for vcpu in 0..<2 {
      #expect(host.access(ShadowHost.page(20), vcpu: vcpu) == .fault(.refuse(level: 0, entry: entry(20))))
    }
    #expect(host.machine.surrender(MachineFrame(0)) == .busy)
    #expect(host.machine.surrender(MachineFrame(3)) == .okay)
    #expect(host.access(ShadowHost.page(21)) == .fault(.refuse(level: 1, entry: entry(3))))
    #expect(host.machine.acquire(MachineFrame(20), writes: false) == .okay)
    #expect(host.machine.acquire(MachineFrame(20), writes: true) == .denied)
    #expect(host.machine.imbalance() == nil)
  }

  @Test("a table that nothing leads to is no table at the guest's first store")
  func unused() {
    let host = host()
    _ = host.access(ShadowHost.page(20))
    host.write(2, 1, 10)
    host.write(10, 1, 30)
    #expect(host.access(VirtualAddress(1 << 21 | 0x1000)) == .done(MachineFrame(30)))
    #expect(host.machine.isTable(MachineFrame(10)))
    host.write(2, 1, 0, 0)
    #expect(host.access(ShadowHost.page(10), store: entry(0)) == .done(MachineFrame(10)))
    #expect(!host.machine.isTable(MachineFrame(10)) && host.problems.isEmpty)
  }

  @Test("what a fault's handler mapped is there when it returns")
  func returns() {
    let host = host()
    _ = host.access(ShadowHost.page(20))
    _ = host.access(VirtualAddress(ShadowHost.page(3).rawValue + 45 * 8), store: entry(0, 0))
    let before = host.exits
    #expect(host.access(ShadowHost.page(40), store: entry(0)) == .fault(.reflect(present: false)))
    for bits in [EntryBits.present, ShadowHost.all] {
      _ = host.access(VirtualAddress(ShadowHost.page(3).rawValue + 40 * 8), store: entry(30, bits))
    }
    host.machine.returns(0)
    #expect(host.access(ShadowHost.page(40), store: entry(0)) == .done(MachineFrame(30)))
    #expect(host.exits == before + 1 && host.problems.isEmpty)
  }
}
