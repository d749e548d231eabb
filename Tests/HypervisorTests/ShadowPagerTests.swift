// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@testable import Hypervisor

/// The Shadow machine as the hypervisor uses it, without a processor: what one would find in the tables.
@Suite("The shadow pager")
struct ShadowPagerTests {
  let tables: WalkedTables
  let pager: ShadowPager
  let machine: ShadowMachine<ParavirtualGuestTables>
  let stub = Stub()

  final class Stub: ShadowStub {
    var stored = 0
    func store(_ downgrades: UnsafeBufferPointer<Downgrade>) { stored += downgrades.count }
  }

  init() throws {
    tables = try WalkedTables()
    let memory = tables.memory
    let window = try DomainWindow(memory, shared: MonitorPages(memory), shadowPages: 12)
    machine = ShadowMachine(
      tables: ParavirtualGuestTables(base: memory.base, frameCount: memory.frameCount), pages: window.pool,
      vcpuCount: 2, policy: .few, stub: stub)
    pager = ShadowPager(frames: tables.frames, tables: machine, window: window, processorCount: 1)
    for frame in tables.tables + [tables.data] { pager.arrive(frame) }
    #expect(pager.load(kernel: tables.root, userRoot: nil, of: 0) == .okay)
  }

  /// What the processor would find for the address: the leaf, or nil.
  func shadow(_ mode: VirtualMode = .kernel) -> PageTableEntry? {
    guard var table = pager.root(of: 0, in: mode) else { return nil }
    for level in stride(from: 4, through: 1, by: -1) {
      guard table.rawValue < UInt64(tables.memory.monitorFrameCount) else { return nil }
      let entry = PageTableEntry(tables.memory.monitorWords(table)[tables.address.tableIndex(level)])
      if !entry.isPresent || level == 1 { return entry.isPresent ? entry : nil }
      table = entry.frame
    }
    return nil
  }

  func fault(
    _ error: UInt64 = 4, _ mode: VirtualMode = .kernel, userRoot: MachineFrame? = nil,
    at address: VirtualAddress? = nil
  ) -> String {
    let view = PagingView(processor: 0, mode: mode, kernelRoot: tables.root, userRoot: userRoot)
    let outcome = pager.fault(at: address ?? tables.address, PageFaultError(rawValue: error), view)
    switch outcome {
    case .resume: return "resume"
    case .reflect(let code): return "reflect \(code)"
    case .wild(let entry): return "wild \(entry.problem)"
    case .exhausted: return "exhausted"
    }
  }

  @Test("a fault fills the shadow with the guest's frame, read-only until the first write")
  func fill() {
    #expect(shadow() == nil)
    #expect(fault() == "resume")
    #expect(shadow()?.frame == tables.data)
    #expect(shadow()?.has(PageTableEntry.writable) == false)
    #expect(fault(7) == "resume")
    #expect(shadow()?.has(PageTableEntry.writable) == true)
    #expect(tables.entry(1).has(PageTableEntry.dirty))
    #expect(machine.imbalance() == nil)
  }

  @Test("what the guest keeps for its kernel is reached at CPL 3, and its own entry stays as it is")
  func kernelsOwn() {
    tables.set(1, PageTableEntry(tables.data, 3))
    #expect(fault(7) == "resume")
    #expect(shadow()?.has(PageTableEntry.user) == true)
    #expect(!tables.entry(1).has(PageTableEntry.user) && tables.entry(1).has(PageTableEntry.dirty))
  }

  @Test("user and kernel have tables of their own, both with the monitor's window; users have no more of it")
  func window() throws {
    let other = try tables.memory.allocate(for: tables.domain)
    #expect(pager.load(user: other, kernelRoot: tables.root, of: 0) == .okay, "a frame that nobody told of")
    for (mode, slots) in [(VirtualMode.kernel, [257, 258]), (.user, [257])] {
      let words = tables.memory.monitorWords(try #require(pager.root(of: 0, in: mode)))
      #expect((0..<512).filter { words[$0] != 0 } == slots)
    }
    #expect(pager.load(user: nil, kernelRoot: tables.root, of: 0) == .okay)
    #expect(pager.root(of: 0, in: .user) == pager.root(of: 0, in: .kernel))
    #expect(!machine.isTable(other) && machine.imbalance() == nil, "nothing is kept of it")
  }

  @Test("the guest's own faults are reflected with its own error code")
  func reflect() {
    tables.set(1, PageTableEntry(0))
    #expect(fault(7) == "reflect 2", "kernel mode, not present, write")
    tables.set(1, PageTableEntry(tables.data, 5))
    #expect(fault(7) == "reflect 3", "kernel mode, present, write")
    #expect(pager.load(user: tables.root, kernelRoot: tables.root, of: 0) == .okay)
    #expect(fault(7, .user, userRoot: tables.root) == "reflect 7")
  }

  @Test("addresses of the monitor, and those that are none, are never filled")
  func reserved() {
    for address in [MonitorWindow.base, 0xffff_8000_0000_0000, 0xffff_87ff_ffff_f000, 0x8000_0000_0000] {
      #expect(fault(at: VirtualAddress(address)).hasPrefix("reflect"))
      pager.returns(0)
    }
    #expect(machine.usedPages == 1)
  }

  @Test("a wild entry is reported, and nothing is mapped", arguments: 1...4)
  func wild(level: Int) {
    tables.set(level, PageTableEntry(tables.foreign, 0x67))
    #expect(fault() == (level == 1 ? "wild foreignFrame" : "wild foreignTable"))
    tables.set(level, PageTableEntry(tables.data, 0xe7))
    #expect(fault() == ["resume", "wild largePage", "wild largePage", "wild reservedBits"][level - 1])
    #expect(level == 1 || shadow() == nil)
  }

  @Test(
    "a kernel's store to a table that it maps read-only is let through; no user's, and none to a user's page")
  func tableStore() {
    #expect(fault() == "resume", "the table has a shadow from now on")
    _ = pager.write(PageTableEntry(tables.tables[3], 5), to: leaf)
    #expect(pager.load(user: tables.root, kernelRoot: tables.root, of: 0) == .okay)
    #expect(fault(7, .user, userRoot: tables.root) == "reflect 7")
    #expect(fault(7, userRoot: tables.root) == "reflect 3", "it may be copy-on-write")
    _ = pager.write(PageTableEntry(tables.tables[3], 1), to: leaf)
    #expect(fault(7, userRoot: tables.root) == "resume")
    #expect(shadow()?.has(PageTableEntry.writable) == true && machine.isOutOfSync(tables.tables[3]))
    #expect(tables.entry(1).has(PageTableEntry.writable))
    pager.flush(nil)
    #expect(shadow()?.has(PageTableEntry.writable) == false && machine.imbalance() == nil)
  }

  @Test("a store to a table above level 1 is the guest's fault, as in Xen", arguments: [0, 1, 2])
  func upperTableStore(table: Int) {
    #expect(fault() == "resume")
    _ = pager.write(PageTableEntry(tables.tables[table], 0x67), to: leaf)
    #expect(fault(7) == "reflect 3")
    #expect(shadow()?.has(PageTableEntry.writable) != true && machine.imbalance() == nil)
  }

  /// The entry that maps the address.
  private var leaf: EntryPlace { EntryPlace(table: tables.tables[3], index: tables.address.tableIndex(1)) }

  @Test("a page that was pinned as a table may be stored to before it has a shadow")
  func pinnedStore() {
    tables.set(1, PageTableEntry(tables.data, 1))
    #expect(fault(7) == "reflect 3")
    tables.frames.pinned.insert(tables.data)
    #expect(fault(7) == "resume")
    #expect(shadow()?.has(PageTableEntry.writable) == true)
  }

  @Test("a frame that leaves is reached no more, and one that the vCPU runs on does not leave")
  func leave() {
    #expect(fault(7) == "resume")
    #expect(!pager.leave(tables.root))
    #expect(stub.stored == 0 && pager.leave(tables.data))
    #expect(shadow() == nil && stub.stored == 1)
    #expect(tables.memory.transfer(tables.data, from: tables.domain, to: tables.stranger))
    #expect(fault() == "wild foreignFrame")
    #expect(pager.leave(tables.tables[3]), "a level-1 table may go: its memory is the guest's to lose")
    #expect(machine.imbalance() == nil)
  }

  @Test("a frame that another domain transferred, or that is watched, is taken up when it is used")
  func transferred() {
    tables.set(1, PageTableEntry(tables.foreign, 0x67))
    #expect(fault() == "wild foreignFrame")
    #expect(tables.memory.transfer(tables.foreign, from: tables.stranger, to: tables.domain))
    #expect(fault() == "resume")
    #expect(shadow()?.frame == tables.foreign)
    pager.watch(tables.foreign)
    #expect(shadow() == nil)
    #expect(fault() == "resume")
  }

  @Test("a granted frame is reached as far as the grant goes, and no longer")
  func granted() {
    tables.set(1, PageTableEntry(tables.foreign, 0x67))
    func grant(readOnly: Bool, begins: Bool) {
      if begins {
        tables.frames.addGranted(tables.foreign, readOnly: readOnly)
      } else {
        tables.frames.dropGranted(tables.foreign, readOnly: readOnly)
      }
      pager.grantChanged(tables.foreign)
    }
    grant(readOnly: true, begins: true)
    #expect(fault() == "resume" && fault(7) == "wild foreignFrame")
    grant(readOnly: false, begins: true)
    #expect(fault(7) == "resume" && shadow()?.has(PageTableEntry.writable) == true)
    grant(readOnly: false, begins: false)
    #expect(shadow() == nil && fault() == "resume" && shadow()?.has(PageTableEntry.writable) == false)
    grant(readOnly: true, begins: false)
    #expect(shadow() == nil && fault() == "wild foreignFrame")
  }

  @Test("shadow memory that does not suffice is used again; the vCPU's table and what is pinned stay")
  func eviction() throws {
    pager.pin(tables.root)
    let more = try tables.memory.allocate(20, for: tables.domain)
    for (index, table) in more.enumerated() {
      let place = EntryPlace(table: tables.tables[2], index: 256 + index)
      #expect(pager.write(PageTableEntry(table, 7), to: place) == .okay)
      #expect(pager.write(PageTableEntry(tables.data, 0x67), to: EntryPlace(table: table, index: 0)) == .okay)
      let base = tables.address.rawValue & ~0x3fff_ffff
      #expect(fault(at: VirtualAddress(base | UInt64(256 + index) << 21)) == "resume")
      pager.pin(table)
    }
    #expect(machine.usedPages <= 12 && machine.statistics.evictions >= 8)
    #expect(fault() == "resume" && machine.imbalance() == nil)
  }
}
