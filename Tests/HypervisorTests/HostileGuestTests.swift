// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@testable import Hypervisor

/// What a guest tries with hypercalls, instructions and frames.
@Suite("Hostile guests on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class HostileGuestTests: HostileSetting {
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
    let mirror = guest.paravirtual.processors[0].pages.descriptorWords
    #expect(mirror[1] == 0)
    #expect(mirror[2] == 0x00cf_f300_0000_ffff)
    #expect(guest.word(TinyGuest.spare + 24) == 0)
    let foreign = try TinyGuest(host: victim.host)
    foreign.store(target, at: TinyGuest.spare)
    #expect(try HypercallTests.result(of: foreign, 2, [TinyGuest.spare, 512]) == -22)
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
      code.move(UpdateStub.plain + 2, to: .rax)
      code.raw(0xff, 0xe0)
    }
    let halting = try HostileSetting()
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
}
