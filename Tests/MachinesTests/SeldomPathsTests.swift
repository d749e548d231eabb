// SPDX-License-Identifier: Apache-2.0
//
// What only a host with large memory, a frame that vanishes, or a caller that asks for nothing comes by.

import Interfaces
import Machines
import Testing

/// Frames without bytes, all of one domain, that nobody is given.
private final class VastFrames: FrameOwnership, FrameMemory {
  let owner: DomainID
  init(_ owner: DomainID) { self.owner = owner }

  var frameCount: Int { .max }
  func owner(of frame: MachineFrame) -> DomainID? { owner }
  func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool { domain == owner }
  func isUnused(_ frame: MachineFrame) -> Bool { true }
  func release(_ frame: MachineFrame) {}
  func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool { false }
  func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? { nil }
}

@Suite("What seldom happens") struct SeldomPathsTests {
  /// Domains 1 and 2, whose tables have one frame; all frames are domain 2's.
  private func grants(_ body: (GrantMachine<SharedGrantEntries>, GrantTableGuest) -> Void) {
    let frames = VastFrames(two)
    let tables = GrantMachine(frames: frames, memory: frames, entries: SharedGrantEntries())
    let memory = GrantHost<SharedGrantEntries>.emptyTableFrame()
    defer { memory.deallocate() }
    for domain in [one, two] {
      #expect(tables.addDomain(domain, maximumFrames: 1, maximumHandles: 1) == .okay)
    }
    #expect(tables.grow(one, entries: memory) == .okay)
    body(tables, GrantTableGuest(entries: memory, frames: 1, domain: one))
  }

  @Test("a frame beyond 32 bits, or one that cannot be given, is not transferred: the offer stands")
  func transfers() {
    grants { tables, guest in
      guest.acceptTransfer(GrantReference(2), from: two)
      let far = tables.transfer(MachineFrame(1 << 32), to: one, GrantReference(2), by: two)
      let stuck = tables.transfer(MachineFrame(5), to: one, GrantReference(2), by: two)
      #expect(far == .addressTooBig && stuck == .badPage)
      let ended = guest.endTransfer(GrantReference(2))
      #expect(ended?.came == false)
    }
  }

  @Test("nothing is copied between frames without bytes")
  func copies() {
    grants { tables, _ in
      let status = tables.copy(
        from: .frame(MachineFrame(5)), at: 0, to: .frame(MachineFrame(6)), at: 0, count: 8, by: two)
      #expect(status == .badPage)
    }
  }

  @Test("a transfer under way is not taken back")
  func waits() {
    let host = GrantHost()
    host[one, 2] = GrantEntry(flags: [.acceptTransfer, .transferCommitted], domain: two, frame: 0)
    #expect(host.guest(one).endTransfer(GrantReference(2)) == nil)
    #expect(host[one, 2].flags == [.acceptTransfer, .transferCommitted])
  }

  @Test("a use that is none does not end, and nothing is known of who is not there")
  func nobody() throws {
    let memory = try #require(
      OptimisedHostMemory(frameCount: 4, limit: .frame, domainCount: 2, surroundings: BalloonHost()))
    #expect(memory.addDomain(two) == .noDomain && memory.addDomain(one) == .okay)
    #expect(memory.setMaximum(4, of: one) == .okay)
    let frame = memory.increase(one, .frame).base
    memory.release(frame)
    #expect(memory.retain(frame) && memory.decrease(one, frame) == .busy)
    memory.release(frame)
    #expect(memory.decrease(one, frame) == .okay)
    let ports = EventHost().ports
    #expect(!ports.isReady(0, of: DomainID(9)) && ports.usedPorts(0, of: DomainID(9)) == 0)
    for (vcpu, domain) in [(0, DomainID(9)), (99, one)] {
      #expect(ports.boundInterrupts(on: vcpu, of: domain) == 0)
      #expect(ports.polledPorts(0, by: vcpu, of: domain) == 0)
    }
    #expect(GrantHost().tables.handleCount(of: DomainID(9)) == 0)
  }

  @Test("a controller does not begin outside its bounds")
  func bounds() throws {
    let settings = try #require(SelfBalloonSettings(maximum: 262_144))
    #expect(SelfBalloonController(settings, current: 1) == nil)
    #expect(SelfBalloonController(settings, isOn: true, current: 262_144, target: 1, goal: 262_144) == nil)
  }

  @Test("a ring says how large it is, and no bytes are no harm")
  func rings() throws {
    let page = UnsafeMutableRawPointer.allocate(byteCount: frameSize, alignment: frameSize)
    defer { page.deallocate() }
    page.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize)
    let (back, front) = (
      OptimisedBackRing(page: page, slotCount: 4, slotSize: 8),
      OptimisedFrontRing(page: page, slotCount: 4, slotSize: 8)
    )
    #expect(back.slotCount == 4 && back.slotSize == 8 && front.slotCount == 4 && front.slotSize == 8)
    let stream = SharedStreamMemory(page: page, direction: StreamRingLayout.console.fromGuest)
    stream.copyOut(at: 0, into: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    stream.copyIn(at: 0, from: UnsafeRawBufferPointer(start: nil, count: 0))
    let bytes = UnsafeRawBufferPointer(start: page, count: frameSize)
    #expect(bytes.allSatisfy { $0 == 0 })
  }

  @Test("a shadow knows nothing of a frame that is not there, nor of a table in sync what it was")
  func unknown() {
    let host = ShadowHost(.few)
    host.makeTables()
    let reach = host.machine.reach(of: MachineFrame(1 << 40))
    #expect(!reach.maps && !reach.writes && !reach.isLeaving)
    #expect(host.machine.snapshot(MachineFrame(3), slot: 1) == nil)
    #expect(host.machine.fixup(MachineFrame(3), second: false) == nil)
    #expect(host.machine.page(of: MachineFrame(50), level: 0) == nil)
    #expect(host.machine.linkCount(MachineFrame(50), level: 0) == 0)
    let own = ShadowTableEntry(rawValue: EntryBits.present)
    host.machine.reserve(PagingLimits.reservedSlots.lowerBound, own, in: MachineFrame(1 << 40))
    #expect(host.machine.imbalance() == nil)
  }

  @Test("a frame that 4,608 entries map leaves them all, in two batches")
  func manyMappings() {
    let host = ShadowHost(.few, pageCount: 24)
    for table in 0..<2 as Range<UInt64> { host.write(table, 0, table + 1) }
    let bits = EntryBits.present | EntryBits.user | EntryBits.accessed
    for leaf in 0..<9 {
      host.write(2, leaf, UInt64(33 + leaf))
      for slot in 0..<512 { host.write(UInt64(33 + leaf), slot, 50, bits) }
    }
    host.load(0)
    for page in 0..<9 * 512 {
      #expect(host.access(VirtualAddress(UInt64(page) << 12)) == .done(MachineFrame(50)))
    }
    let before = host.batches
    #expect(host.machine.surrender(MachineFrame(50)) == .okay)
    #expect(host.batches == before + 2)
    #expect(host.machine.imbalance() == nil && host.problems.isEmpty)
    #expect(host.access(VirtualAddress(0)) != .done(MachineFrame(50)))
  }

  @Test("a table that 4,608 entries lead to is reached by each, and its links are counted to their end")
  func manyLinks() {
    let host = ShadowHost(.few, pageCount: 24)
    host.write(0, 0, 1)
    for middle in 0..<9 {
      host.write(1, middle, UInt64(34 + middle))
      for slot in 0..<512 { host.write(UInt64(34 + middle), slot, 3) }
    }
    host.write(3, 1, 50)
    host.load(0)
    for table in 0..<9 * 512 {
      #expect(host.access(VirtualAddress(UInt64(table) << 21 | 1 << 12)) == .done(MachineFrame(50)))
    }
    #expect(host.machine.linkCount(MachineFrame(3), level: 0) == PagingLimits.linkCount)
    #expect(host.machine.imbalance() == nil && host.problems.isEmpty)
  }

  @Test("a root that is left gives up nine full tables, in two batches")
  func manyTables() {
    let host = ShadowHost(.few, pageCount: 24)
    for table in 0..<2 as Range<UInt64> { host.write(table, 0, table + 1) }
    for leaf in 0..<9 {
      host.write(2, leaf, UInt64(33 + leaf))
      for slot in 0..<512 { host.write(UInt64(33 + leaf), slot, 50) }
    }
    host.load(0)
    for page in 0..<9 * 512 { _ = host.access(VirtualAddress(UInt64(page) << 12)) }
    #expect((0..<9).allSatisfy { host.machine.isTable(MachineFrame(UInt64(33 + $0))) })
    let before = host.batches
    #expect(host.load(60) == .okay)
    #expect(host.batches - before > 1)
    #expect((0..<9).allSatisfy { !host.machine.isTable(MachineFrame(UInt64(33 + $0))) })
    #expect(host.machine.imbalance() == nil && host.problems.isEmpty)
  }

  @Test("a table that maps itself, put by a device where another is, is no table at the guest's store to it")
  func writtenByDevice() {
    let host = ShadowHost(.few)
    host.makeTables()
    #expect(host.access(ShadowHost.page(20)) == .done(MachineFrame(20)))
    host.write(10, 100, 10)
    // Not by the guest's processors: the shadow still leads to frame 3.
    let moved = GuestTableEntry(MachineFrame(10), ShadowHost.all)
    host.tables.store(MachineFrame(2), 0, moved)
    let address = ShadowHost.page(100)
    #expect(host.machine.fault(at: address, .write, on: 0) == .resume)
    #expect(!host.machine.isTable(MachineFrame(10)) && host.machine.imbalance() == nil)
    // The guest's own write puts it right.
    host.write(2, 0, 10)
    #expect(host.access(address, store: moved) == .done(MachineFrame(10)))
    #expect(host.machine.isOutOfSync(MachineFrame(10)))
    #expect(host.machine.imbalance() == nil && host.problems.isEmpty)
  }
}
