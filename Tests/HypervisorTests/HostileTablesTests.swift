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

  @Test("a forged table for another's frame ends the domain", arguments: [2, 3, 4])
  func forgedTable(level: Int) throws {
    let tables = [
      2: TinyGuest.tables.levelTwo, 3: TinyGuest.tables.levelThree, 4: TinyGuest.tables.levelFour,
    ]
    let table = try #require(tables[level])
    try expectCrash("which is not the domain's") { code in
      // Slot 1 of the table leads into another's memory.
      code.store(target << 12 | 0x67, at: table.rawValue << 12 + 8)
      code.loadRAX(from: 1 << UInt64(12 + 9 * (level - 1)))
    }
  }

  @Test("a large page ends the domain")
  func largePage() throws {
    try expectCrash("large page") { code in
      code.store(target << 12 & ~0x1f_ffff | 0xe7, at: TinyGuest.tables.levelTwo.rawValue << 12 + 8)
      code.loadRAX(from: 0x20_0000)
    }
  }

  @Test("the monitor's window can be neither read nor written", arguments: [0, 16, 17, 20, 24])
  func window(page: Int) throws {
    try expectCrash("exception 14") { $0.loadRAX(from: MonitorWindow.address(ofPage: page)) }
    let writer = try HostileSetting()
    try writer.expectCrash("exception 14") {
      $0.store(0, at: MonitorWindow.systemCall)
    }
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
