// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@testable import Hypervisor

/// What a guest tries against others. In each test a second domain of the same host must come away unharmed.
@Suite("Hostile guests on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
struct HostileGuestTests {
  static let secret: UInt64 = 0x5ec7_e75e_c7e7

  let victim: TinyGuest
  let guest: TinyGuest
  /// A frame of the victim's.
  let target: UInt64

  init() throws {
    victim = try TinyGuest()
    guest = try TinyGuest(host: victim.host)
    victim.store(Self.secret, at: TinyGuest.spare)
    target = victim.machine(GuestFrame(TinyGuest.spare >> 12)) >> 12
  }

  /// Runs the guest, and checks that it crashed for a reason, and that the victim's page is as it was.
  func expectCrash(_ reason: String, _ program: (inout Assembler) -> Void) throws {
    let end = try guest.run {
      program(&$0)
      $0.shutdown(scratch: TinyGuest.scratch)
    }
    if case .crashed(let report) = end {
      #expect(report.reason.contains(reason), "\(report.reason)")
    } else {
      Issue.record("the guest \(end), and should have crashed: \(reason)")
    }
    #expect(victim.word(TinyGuest.spare) == Self.secret)
    #expect(guest.result() != Int64(Self.secret), "the guest has read the secret")
  }

  /// Flushes the guest's translations: until then a processor may go on with what it has.
  func flush(_ code: inout Assembler) {
    code.store(6, at: TinyGuest.scratch)
    code.hypercall(26, TinyGuest.scratch, 1, 0, 0x7ff0)
  }

  /// The level-1 entry for the spare page, as the guest itself sees it.
  static let entry = UInt64(TinyGuest.levelOne.rawValue) << 12 + (TinyGuest.spare >> 12) * 8

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

  @Test("hypercalls refuse entries for another's frame, and frames of others, with an error")
  func refusedUpdates() throws {
    let own = guest.machine(TinyGuest.levelOne)
    let place = own + (TinyGuest.spare >> 12) * 8
    let requests: [(UInt64, UInt64)] = [
      (place, target << 12 | 0x67), (place, 0x67), (place, 0xff_ffff_f067), (target << 12, 0), (0, 0),
      (place + 4, 0), (UInt64.max & ~7, 0), (target << 12 | 1, 0), (place | 3, 0),
    ]
    let end = try guest.run { code in
      for (index, request) in requests.enumerated() {
        code.store(request.0, at: TinyGuest.scratch)
        code.store(request.1, at: TinyGuest.scratch + 8)
        code.hypercall(1, TinyGuest.scratch, 1, 0, 0x7ff0)
        code.storeRAX(at: TinyGuest.results + UInt64(index) * 8)
      }
      code.hypercall(14, TinyGuest.spare, target << 12 | 0x67, 2)
      code.storeRAX(at: TinyGuest.results + 0x100)
      code.store(1, at: TinyGuest.spare)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    for index in 0..<8 { #expect(guest.result(index) == -22) }
    #expect(guest.result(8) == -38)
    #expect(guest.result(32) == -22)
    #expect(victim.word(TinyGuest.spare) == Self.secret)
  }

  @Test(
    "tables of others can be neither pinned nor loaded nor copied", arguments: [0, 1, 2, 3, 4, 5, 15, 16, 17])
  func foreignTables(operation: UInt64) throws {
    guest.store(operation, at: TinyGuest.spare)
    guest.store(target, at: TinyGuest.spare + 8)
    guest.store(guest.machine(GuestFrame(30)) >> 12, at: TinyGuest.spare + 16)
    #expect(try HypercallTests.result(of: guest, 26, [TinyGuest.spare, 1, 0, 0x7ff0]) == -22)
    #expect(victim.word(TinyGuest.spare) == Self.secret)
  }

  @Test("no call acts on another domain")
  func foreignDomains() throws {
    let other = UInt64(victim.domain.id.rawValue)
    #expect(try HypercallTests.result(of: guest, 1, [TinyGuest.spare, 0, 0, other]) == -3)
    let again = try TinyGuest(host: victim.host)
    #expect(try HypercallTests.result(of: again, 26, [TinyGuest.spare, 0, 0, other]) == -3)
    let third = try TinyGuest(host: victim.host)
    third.store(other << 0, at: TinyGuest.spare)
    #expect(try HypercallTests.result(of: third, 32, [6, TinyGuest.spare]) == -1)
  }

  @Test("gates in descriptor tables are refused, or left out of what the processor reads")
  func gates() throws {
    let callGate: UInt64 = 0x0000_ec00_e008_1000
    guest.store(callGate, at: TinyGuest.spare + 8)
    guest.store(0x00cf_9300_0000_ffff, at: TinyGuest.spare + 16)
    let frame = guest.machine(GuestFrame(TinyGuest.spare >> 12))
    let end = try guest.run { code in
      code.store(frame >> 12, at: TinyGuest.scratch)
      code.hypercall(2, TinyGuest.scratch, 512)
      code.storeRAX(at: TinyGuest.results)
      code.hypercall(10, frame + 24, callGate)
      code.storeRAX(at: TinyGuest.results + 8)
      code.hypercall(10, target << 12, 0)
      code.storeRAX(at: TinyGuest.results + 16)
      code.hypercall(2, TinyGuest.scratch, 8000)
      code.storeRAX(at: TinyGuest.results + 24)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<4).map(guest.result) == [0, -22, -22, -22])
    let mirror = guest.domain.processors[0].pages.descriptorWords
    #expect(mirror[1] == 0)
    #expect(mirror[2] == 0x00cf_f300_0000_ffff)
    #expect(guest.word(TinyGuest.spare + 24) == 0)
    let foreign = try TinyGuest(host: victim.host)
    foreign.store(target, at: TinyGuest.spare)
    #expect(try HypercallTests.result(of: foreign, 2, [TinyGuest.spare, 512]) == -22)
  }

  @Test("the monitor's window can be neither read nor written", arguments: [0, 16, 17, 20, 24])
  func window(page: Int) throws {
    try expectCrash("exception 14") { $0.loadRAX(from: MonitorWindow.address(ofPage: page)) }
    let writer = try HostileGuestTests()
    try writer.expectCrash("exception 14") {
      $0.store(0, at: MonitorWindow.systemCall)
    }
  }

  @Test("the machine-to-physical table cannot be written")
  func machineToPhysical() throws {
    try expectCrash("exception 14") { $0.store(0, at: MonitorWindow.machineToPhysical) }
  }

  @Test("ports of the monitor give a fault", arguments: [0xe5, 0x0e, 0x20, 0x80])
  func ports(port: UInt8) throws {
    // out %al, $port is emulated as a store to an empty bus, except at the one port that CPL 3 may reach.
    let end = try guest.run {
      $0.raw(0xe6, port)
      $0.shutdown(scratch: TinyGuest.scratch)
    }
    if port != 0xe5 || guest.host.system.kind == .hardware {
      #expect(end == .poweroff)
    } else if case .crashed(let report) = end {
      #expect(report.reason.contains("exception 13"))
    } else {
      Issue.record("the guest \(end)")
    }
  }

  @Test("a guest that jumps into the landing page, or halts, meets its own faults")
  func landingPage() throws {
    try expectCrash("exception 6") { code in
      code.move(MonitorWindow.systemCall + 2, to: .rax)
      code.raw(0xff, 0xe0)
    }
    let halting = try HostileGuestTests()
    try halting.expectCrash("exception 13") { $0.raw(0xf4) }
  }

  @Test("an exception without a stack to push it on ends the domain")
  func noStack() throws {
    guest.store(6, at: TinyGuest.spare)
    guest.store(TinyGuest.code, at: TinyGuest.spare + 8)
    try expectCrash("kernel stack") { code in
      code.hypercall(0, TinyGuest.spare)
      code.move(0x7fff_0000, to: .rsp)
      code.raw(0x0f, 0x0b)
    }
  }

  @Test("a return from an exception with a frame that is none ends the domain")
  func badReturn() throws {
    try expectCrash("iret") { code in
      code.move(0x8000_0000_0000, to: .rsp)
      code.hypercall(23)
    }
  }

  @Test("a return to user mode without a user table ends the domain")
  func returnToUser() throws {
    guest.store(3, at: TinyGuest.spare + 40)
    try expectCrash("no user table") { code in
      code.move(TinyGuest.spare, to: .rsp)
      code.hypercall(23)
    }
  }

  @Test("a handler at an address that is none ends the domain")
  func badHandler() throws {
    guest.store(6, at: TinyGuest.spare)
    guest.store(1 << 47, at: TinyGuest.spare + 8)
    try expectCrash("which is no address") { code in
      code.hypercall(0, TinyGuest.spare)
      code.raw(0x0f, 0x0b)
    }
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

  @Test("frames of others, the shared page and the grant table cannot be given back")
  func foreignFrames() throws {
    let frames = [target, 0, guest.domain.sharedInfo.rawValue, guest.domain.grantFrames[0].rawValue, .max]
    for frame in frames {
      let trier = frame == target || frame == 0 || frame == .max ? try TinyGuest(host: victim.host) : guest
      trier.store(frame, at: TinyGuest.spare + 64)
      trier.store(TinyGuest.spare + 64, at: TinyGuest.spare)
      trier.store(1, at: TinyGuest.spare + 8)
      trier.store(0x7ff0, at: TinyGuest.spare + 24)
      if trier === guest, trier.domain.hasEnded { continue }
      #expect(try HypercallTests.result(of: trier, 12, [1, TinyGuest.spare]) == 0)
    }
    #expect(victim.word(TinyGuest.spare) == Self.secret)
  }

  @Test("a guest that spins for ever can be ended")
  func spinning() throws {
    var code = Assembler()
    code.spin()
    guest.load(code.bytes, at: TinyGuest.code)
    try guest.domain.start(guest.initialState)
    let domain = guest.domain
    let killer = try Thread { domain.kill() }
    #expect(domain.wait() == .killed)
    killer.join()
    #expect(throws: HostError.self) { try domain.start(guest.initialState) }
  }

  @Test("a list without an end is worked on only while the domain lives")
  func endlessList() throws {
    var code = Assembler()
    code.hypercall(26, TinyGuest.spare, 0x7fff_ffff_ffff, 0, 0x7ff0)
    code.hypercall(26, TinyGuest.spare, 0, 0, 0x7ff0)
    code.spin()
    guest.load(code.bytes, at: TinyGuest.code)
    // mmuext_op 12 (flush the cache) does nothing, and the address wraps around within what is mapped.
    try guest.domain.start(guest.initialState)
    guest.domain.kill()
    #expect(guest.domain.wait() == .killed)
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
