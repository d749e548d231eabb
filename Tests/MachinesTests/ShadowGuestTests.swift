// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

/// What PV guests and their hypervisor need of shadow page tables.
@Suite("Shadow page tables of PV guests")
struct ShadowGuestTests {
  private func entry(_ target: UInt64, _ bits: UInt64 = ShadowHost.all) -> GuestTableEntry {
    GuestTableEntry(MachineFrame(target), bits)
  }
  private func host(pageCount: Int = 16) -> ShadowHost {
    let host = ShadowHost(.few, pageCount: pageCount)
    host.makeTables()
    return host
  }
  /// A word of frame 3, the level-1 table, where it maps itself.
  private func place(_ slot: Int) -> VirtualAddress {
    VirtualAddress(ShadowHost.page(3).rawValue + UInt64(slot) * 8)
  }

  @Test("a fault without cause finds the fix-up of an entry that lost rights, both tables out of sync")
  func staleFault() {
    let host = host()
    host.write(2, 1, 10)
    host.write(10, 1, 30)
    #expect(host.access(VirtualAddress(1 << 21 | 0x1000)) == .done(MachineFrame(30)))
    // Frame 10, a level-1 table too, goes out of sync through slot 10 of frame 3; then frame 3 itself.
    #expect(host.access(ShadowHost.page(10), store: entry(31)) == .done(MachineFrame(10)))
    let before = EntryBits.user | EntryBits.dirty
    #expect(host.access(place(10), store: entry(10, ShadowHost.all & ~before)) == .done(MachineFrame(3)))
    #expect(host.machine.isOutOfSync(MachineFrame(3)) && host.machine.isOutOfSync(MachineFrame(10)))
    #expect(host.machine.fault(at: ShadowHost.page(10), .write, on: 0) == .resume)
    // As the specification has it: the entry lost the right when its table came back into sync, and got it anew.
    #expect(!host.machine.isOutOfSync(MachineFrame(3)))
    #expect(host.machine.fixup(MachineFrame(10), second: true)?.slot == 10)
    #expect(host.access(ShadowHost.page(10), store: entry(32)) == .done(MachineFrame(10)))
    #expect(host.problems.isEmpty && host.machine.imbalance() == nil)
  }

  @Test("the hypervisor's slots hold what it put there while the table is one, and nothing of the guest's")
  func reserved() {
    let host = host()
    let own = ShadowTableEntry(rawValue: 50 << 12 | EntryBits.present)
    host.machine.reserve(257, own, in: MachineFrame(0))
    host.machine.reserve(257, ShadowTableEntry(rawValue: EntryBits.present), in: MachineFrame(0))
    host.machine.reserve(257, own, in: MachineFrame(9))
    host.write(0, 256, 1)
    host.write(0, 257, 1)
    for slot in [256, 257] as [UInt64] {
      let address = VirtualAddress(0xffff_0000_0000_0000 | slot << 39)
      #expect(host.machine.fault(at: address, [], on: 0) == .reflect(present: false))
      host.machine.returns(0)
      host.machine.invalidate(address, on: 0)
      #expect(!host.machine.allowStore(at: address, on: 0, isTable: true))
    }
    #expect(host.word(of: 0, 256) == 0 && host.word(of: 0, 257) == own.rawValue)
    #expect(host.machine.imbalance() == nil)
    host.write(8, 0, 1)
    #expect(host.load(8) == .okay)
    #expect(!host.machine.isTable(MachineFrame(0)), "nobody runs on it, nobody has pinned it")
    #expect(host.load(0) == .okay)
    #expect(host.word(of: 0, 257) == 0)
    #expect(host.machine.imbalance() == nil && host.problems.isEmpty)
  }

  @Test("what only a table led to is given up with it; what others lead to, or is pinned, stays")
  func givenUp() {
    let host = host(pageCount: 32)
    // Frames 8, 9, 10 and 11 are a tree of their own, but for slot 1 of frame 9, which leads to frame 2.
    for table in 8..<11 as Range<UInt64> { host.write(table, 0, table + 1) }
    host.write(9, 1, 2)
    host.write(11, 5, 40)
    #expect(host.machine.pin(MachineFrame(8)) == .okay)
    #expect(host.load(8) == .okay)
    #expect(host.access(ShadowHost.page(5)) == .done(MachineFrame(40)))
    #expect(host.load(0) == .okay)
    #expect(host.access(ShadowHost.page(20)) == .done(MachineFrame(20)))
    #expect(host.load(8) == .okay && host.load(0) == .okay)
    #expect(host.machine.isTable(MachineFrame(8)) && host.machine.isTable(MachineFrame(11)), "it is pinned")
    #expect(host.access(ShadowHost.page(20)) == .done(MachineFrame(20)))
    host.machine.unpin(MachineFrame(8))
    for frame in 8..<12 as Range<UInt64> { #expect(!host.machine.isTable(MachineFrame(frame))) }
    for frame in 0..<4 as Range<UInt64> { #expect(host.machine.isTable(MachineFrame(frame))) }
    host.machine.unpin(MachineFrame(0))
    #expect(host.machine.isTable(MachineFrame(0)), "a vCPU runs on it")
    #expect(host.machine.imbalance() == nil && host.problems.isEmpty)
  }

  @Test("a kernel may store to a table through an entry that is read-only, and to nothing else")
  func storesToTables() {
    let host = host()
    let readOnly = ShadowHost.all & ~(EntryBits.writable | EntryBits.dirty)
    #expect(host.access(ShadowHost.page(21)) == .done(MachineFrame(21)), "frame 3 has a shadow from now on")
    for slot in [3, 20] { host.write(3, slot, UInt64(slot), readOnly) }
    let cases = [(20, false, false), (3, false, true), (20, true, true), (40, true, false)]
    for (slot, isTable, isAllowed) in cases {
      #expect(host.access(ShadowHost.page(slot), store: entry(0, 0)) != .done(MachineFrame(UInt64(slot))))
      #expect(host.machine.allowStore(at: ShadowHost.page(slot), on: 0, isTable: isTable) == isAllowed)
    }
    #expect(host.access(place(41), store: entry(31)) == .done(MachineFrame(3)))
    #expect(host.machine.isOutOfSync(MachineFrame(3)))
    host.write(0, 0, 1, readOnly)
    host.write(3, 4, 3, readOnly)
    #expect(!host.machine.allowStore(at: ShadowHost.page(4), on: 0, isTable: true), "denied above")
    #expect(host.machine.imbalance() == nil && host.problems.isEmpty)
  }

  @Test("at CPL 3 every entry is the user's; what the guest wrote stays as it is")
  func paravirtual() {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt64.self, repeating: 0, count: 512)
    let tables = ParavirtualGuestTables(base: memory, frameCount: 1)
    let table = MachineFrame(0)
    let kernels = EntryBits.present | EntryBits.writable
    tables.store(table, 1, entry(9, kernels))
    #expect(tables.load(table, 1) == entry(9, kernels | EntryBits.user))
    #expect(tables.load(table, 2) == GuestTableEntry(rawValue: 0))
    let marked = entry(9, kernels | EntryBits.user | EntryBits.accessed)
    #expect(!tables.replace(table, 1, expected: entry(9, kernels), with: marked))
    #expect(tables.replace(table, 1, expected: tables.load(table, 1), with: marked))
    #expect(memory.load(fromByteOffset: 8, as: UInt64.self) == 9 << 12 | kernels | EntryBits.accessed)
  }
}
