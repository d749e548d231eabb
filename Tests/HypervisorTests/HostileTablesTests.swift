// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@testable import Hypervisor

/// What a guest tries with its page tables.
@Suite("Hostile page tables on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class HostileTablesTests: HostileSetting {
  @Test("a forged level-1 entry for another's frame ends the domain at its use")
  func forgedEntry() throws {
    try expectCrash("neither the domain's nor granted") { code in
      code.store(target << 12 | 0x67, at: Self.entry)
      flush(&code)
      code.loadRAX(from: TinyGuest.spare)
      code.storeRAX(at: TinyGuest.results)
    }
  }

  @Test(
    "a forged entry for the monitor's first frame, or one far away, does too",
    arguments: [0, 1, 0xff_ffff_ffff])
  func forgedMonitorEntry(frame: UInt64) throws {
    try expectCrash("neither the domain's nor granted") { code in
      code.store(frame << 12 | 0x67, at: Self.entry)
      flush(&code)
      code.store(1, at: TinyGuest.spare)
    }
  }

  private static let upperTables = [
    2: TinyGuest.tables.levelTwo, 3: TinyGuest.tables.levelThree, 4: TinyGuest.tables.levelFour,
  ]

  /// Lets slot 1 of a table lead to the spare page, by hypercall.
  private func linkSpare(_ level: Int, _ code: inout Assembler) throws {
    let table = try #require(Self.upperTables[level])
    code.store(guest.machine(table) + 8, at: TinyGuest.scratch)
    code.store(guest.machine(GuestFrame(TinyGuest.spare >> 12)) | 0x67, at: TinyGuest.scratch + 8)
    code.hypercall(1, TinyGuest.scratch, 1, 0, 0x7ff0)
  }

  @Test("a forged table that leads to another's frame ends the domain at its use", arguments: [2, 3, 4])
  func forgedTable(level: Int) throws {
    let reason = level == 2 ? "neither the domain's nor granted" : "which is not the domain's"
    try expectCrash(reason) { code in
      code.store(target << 12 | 0x67, at: TinyGuest.spare)
      try linkSpare(level, &code)
      code.loadRAX(from: 1 << UInt64(12 + 9 * (level - 1)))
      code.storeRAX(at: TinyGuest.results)
    }
  }

  @Test("a large page ends the domain")
  func largePage() throws {
    try expectCrash("large page") { code in
      code.store(target << 12 & ~0x1f_ffff | 0xe7, at: TinyGuest.spare)
      try linkSpare(3, &code)
      code.loadRAX(from: 1 << 30)
      code.storeRAX(at: TinyGuest.results)
    }
  }

  @Test("a store to a table above level 1 is a fault of the guest's own", arguments: [2, 3, 4])
  func upperStore(level: Int) throws {
    let table = try #require(Self.upperTables[level])
    try expectCrash("exception 14, error 0x3") { code in
      code.store(target << 12 | 0x67, at: table.rawValue << 12 + 8)
    }
    #expect(guest.word(table.rawValue << 12 + 8) == 0)
  }

  @Test("a table that is rewritten while it is out of sync leads nowhere new until it is flushed")
  func rewritten() throws {
    let end = try guest.run { code in
      code.store(0x11, at: TinyGuest.spare)
      // The first store makes the table go out of sync, the second needs no fault.
      code.store(target << 12 | 0x67, at: Self.entry)
      code.store(target << 12 | 0x67, at: Self.entry + 8)
      code.loadRAX(from: TinyGuest.spare)
      code.storeRAX(at: TinyGuest.results)
      code.store(0x22, at: TinyGuest.spare)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == 0x11)
    #expect(victim.word(TinyGuest.spare) == Self.secret)
    #expect(guest.word(TinyGuest.spare) == 0x22)
  }

  @Test(
    "an entry that is new in a table out of sync is looked at when it is used, without a flush",
    arguments: [true, false])
  func pulled(isNeighbours: Bool) throws {
    try expectCrash("neither the domain's nor granted") { code in
      // Page 70 is beyond what the table maps.
      let place = UInt64(TinyGuest.levelOne.rawValue) << 12 + 70 * 8
      code.store(0, at: place + 8)
      code.store((isNeighbours ? target : guest.paravirtual.window.root.rawValue) << 12 | 0x67, at: place)
      code.loadRAX(from: 70 << 12)
      code.storeRAX(at: TinyGuest.results)
    }
  }

  @Test("a table that is mapped writable by itself, and rewritten that way, gets nothing either")
  func selfMapped() throws {
    let own = guest.machine(TinyGuest.levelOne)
    try expectCrash("neither the domain's nor granted") { code in
      code.store(1, at: TinyGuest.spare + 0x1000)
      code.store(own | 0x67, at: Self.entry)
      flush(&code)
      // The spare page is the table itself now: its second entry from there maps the page that was used before.
      code.store(target << 12 | 0x67, at: TinyGuest.spare + (TinyGuest.spare >> 12) * 8 + 8)
      flush(&code)
      code.loadRAX(from: TinyGuest.spare + 0x1000)
      code.storeRAX(at: TinyGuest.results)
    }
  }

  @Test("a domain may lose a table that it still uses, and then gets no further; its root it keeps")
  func freedTable() throws {
    func free(_ frame: GuestFrame, _ code: inout Assembler, result: UInt64) {
      code.store(guest.machine(frame) >> 12, at: TinyGuest.scratch + 64)
      for (index, word) in [TinyGuest.scratch + 64, 1, 0, 0x7ff0].enumerated() {
        code.store(word, at: TinyGuest.scratch + UInt64(index) * 8)
      }
      code.hypercall(12, 1, TinyGuest.scratch)
      code.storeRAX(at: TinyGuest.results + result)
    }
    try expectCrash("which is not the domain's") { code in
      free(TinyGuest.tables.levelFour, &code, result: 0)
      free(TinyGuest.levelOne, &code, result: 8)
    }
    #expect(guest.result() == 0)
    #expect(guest.host.memory.owner(of: MachineFrame(guest.machine(TinyGuest.levelOne) >> 12)) == nil)
  }

  @Test("the monitor's window can be neither read nor written", arguments: [0, 16, 17, 20, 24])
  func window(page: Int) throws {
    try expectCrash("exception 14") { $0.loadRAX(from: MonitorWindow.address(ofPage: page)) }
    let writer = try HostileSetting()
    try writer.expectCrash("exception 14") {
      $0.store(0, at: MonitorWindow.systemCall)
    }
  }

  @Test("what a guest writes to the monitor's slots of its root leads nowhere, and takes nothing away")
  func monitorSlots() throws {
    let root = guest.machine(TinyGuest.tables.levelFour)
    let end = try guest.run { code in
      for slot in 256..<272 as Range<UInt64> {
        code.store(root + slot * 8, at: TinyGuest.scratch)
        code.store(guest.machine(TinyGuest.tables.levelThree) | 0x67, at: TinyGuest.scratch + 8)
        code.hypercall(1, TinyGuest.scratch, 1, 0, 0x7ff0)
        for operation in [7, 9] as [UInt64] {
          code.store(operation, at: TinyGuest.scratch)
          code.store(0xffff_0000_0000_0000 | slot << 39, at: TinyGuest.scratch + 8)
          code.hypercall(26, TinyGuest.scratch, 1, 0, 0x7ff0)
        }
      }
      flush(&code)
      code.loadRAX(from: MonitorWindow.machineToPhysical + (root >> 12) * 8)
      code.storeRAX(at: TinyGuest.results)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == Int64(TinyGuest.tables.levelFour.rawValue))
  }

  @Test("the machine-to-physical table cannot be written")
  func machineToPhysical() throws {
    try expectCrash("exception 14") { $0.store(0, at: MonitorWindow.machineToPhysical) }
  }

  @Test("a frame that was given back cannot be reached any more")
  func usedAfterFree() throws {
    let frame = guest.machine(GuestFrame(TinyGuest.spare >> 12)) >> 12
    try expectCrash("neither the domain's nor granted") { code in
      code.store(1, at: TinyGuest.spare)
      code.store(frame, at: TinyGuest.scratch + 64)
      code.store(TinyGuest.scratch + 64, at: TinyGuest.scratch)
      code.store(1, at: TinyGuest.scratch + 8)
      code.store(0, at: TinyGuest.scratch + 16)
      code.store(0x7ff0, at: TinyGuest.scratch + 24)
      code.hypercall(12, 1, TinyGuest.scratch)
      code.storeRAX(at: TinyGuest.results)
      code.loadRAX(from: TinyGuest.spare)
      code.storeRAX(at: TinyGuest.results + 8)
    }
    #expect(guest.result() == 1, "one frame was given back")
    #expect(guest.result(1) == 0)
    #expect(guest.host.memory.owner(of: MachineFrame(frame)) == nil)
    #expect(guest.host.memory.bytes(of: MachineFrame(frame))?.load(as: UInt64.self) == 0)
  }

  @Test("a domain can be made in the memory of one that crashed")
  func reuse() throws {
    try expectCrash("exception 6") { $0.raw(0x0f, 0x0b) }
    let free = victim.host.memory.freeFrames
    #expect(victim.host.destroyDomain(guest.domain))
    #expect(victim.host.memory.freeFrames == free + TinyGuest.frameCount + 2)
    let next = try TinyGuest(host: victim.host)
    #expect(try next.run { $0.shutdown(scratch: TinyGuest.scratch) } == .poweroff)
  }
}
