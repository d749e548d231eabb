// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization
import Testing

@testable import Hypervisor

/// Events, time, modes, vCPUs and grants as guests use them.
@Suite("Life of a guest on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
struct GuestLifeTests {
  static let scratch = TinyGuest.scratch
  static let results = TinyGuest.results
  /// Where tests map the shared page.
  static let shared: UInt64 = 0x1e000
  static let handler: UInt64 = 0x1a000

  let guest: TinyGuest
  init() throws { guest = try TinyGuest() }

  /// Maps the shared page, as every guest does.
  func mapShared(_ code: inout Assembler) {
    code.hypercall(14, Self.shared, guest.domain.sharedInfo.address.rawValue | 0x67, 2)
  }

  func loadHandler(at address: UInt64 = handler, _ program: (inout Assembler) -> Void) {
    var assembler = Assembler()
    program(&assembler)
    guest.load(assembler.bytes, at: address)
  }

  @Test("a timer's event arrives, not before its time")
  func timer() throws {
    let end = try guest.run { code in
      mapShared(&code)
      code.call(32, 1, at: Self.scratch, [0, 0])
      code.storeRAX(at: Self.results)
      code.hypercall(15, guest.domain.clock.now + 30_000_000)
      code.store(1, at: Self.scratch + 64)
      code.call(29, 3, at: Self.scratch, [Self.scratch + 64, 1, 0])
      code.storeRAX(at: Self.results + 8)
      code.loadRAX(from: Self.shared + 2048)
      code.storeRAX(at: Self.results + 16)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<3).map(guest.result) == [0, 0, 2])
    #expect(guest.domain.clock.now >= 30_000_000)
  }

  @Test("block wakes at a timer that has passed already, and the guest is up-called")
  func block() throws {
    loadHandler { $0.shutdown(scratch: Self.scratch) }
    let end = try guest.run { code in
      code.call(30, 0, at: Self.scratch, [0, Self.handler])
      code.call(32, 1, at: Self.scratch, [0, 0])
      code.hypercall(15, 1)
      code.hypercall(29, 1, 0)
      code.spin()
    }
    #expect(end == .poweroff)
  }

  @Test("a poll ends at its time, a yield soon")
  func pollAndYield() throws {
    let before = guest.domain.clock.now
    let end = try guest.run { code in
      code.hypercall(29, 0, 0)
      code.call(29, 3, at: Self.scratch, [0, 0, before + 20_000_000])
      code.storeRAX(at: Self.results)
      code.call(29, 3, at: Self.scratch, [Self.scratch, 1000, 0])
      code.storeRAX(at: Self.results + 8)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<2).map(guest.result) == [0, -22])
    #expect(guest.domain.clock.now >= before + 20_000_000)
  }

  @Test("events go to a back end and back; a spinning guest is up-called with a frame of what it did")
  func upcall() throws {
    let host = guest.host
    let port = try host.allocateUnbound(for: guest.domain)
    let channel = Mutex<HostEventChannel?>(nil)
    let calls = Atomic(0)
    let bound = try host.bindInterdomain(domain: guest.domain.id, remotePort: port) {
      calls.wrappingAdd(1, ordering: .relaxed)
      channel.withLock { $0 }?.notify()
    }
    channel.withLock { $0 = bound }
    loadHandler { code in
      for (index, offset) in [UInt8(16), 24, 40].enumerated() {
        code.loadRAX(fromStack: offset)
        code.storeRAX(at: Self.results + UInt64(index) * 8)
      }
      code.loadRAX(from: Self.shared + 8)
      code.storeRAX(at: Self.results + 24)
      code.loadRAX(from: Self.shared)
      code.storeRAX(at: Self.results + 32)
      code.shutdown(scratch: Self.scratch)
    }
    let end = try guest.run { code in
      mapShared(&code)
      code.call(30, 0, at: Self.scratch, [0, Self.handler])
      // evtchn_upcall_mask := 0, without touching evtchn_upcall_pending.
      code.raw(0xb0, 0x00, 0xa2)
      code.raw(0x01, 0xe0, 0x01, 0, 0, 0, 0, 0)
      code.call(32, 4, at: Self.scratch, [UInt64(port.rawValue)])
      code.spin()
    }
    #expect(end == .poweroff)
    #expect(calls.load(ordering: .relaxed) == 2)
    #expect(guest.word(Self.results) > TinyGuest.code && guest.word(Self.results) < TinyGuest.code + 0x1000)
    #expect(guest.result(1) == 0xe030, "kernel code, events were not masked")
    #expect(guest.result(2) == Int64(TinyGuest.stack))
    #expect(guest.result(3) == 1, "the selector names the word of the port")
    #expect(guest.result(4) & 0xffff == 0x0101, "pending, and masked since the up-call")
    bound.close()
  }

  @Test("a page fault reaches the guest's handler with error code and address")
  func pageFault() throws {
    guest.store(14 | 4 << 8, at: TinyGuest.spare)
    guest.store(Self.handler, at: TinyGuest.spare + 8)
    loadHandler { code in
      code.loadRAX(fromStack: 16)
      code.storeRAX(at: Self.results)
      code.loadRAX(from: Self.shared + 16)
      code.storeRAX(at: Self.results + 8)
      code.shutdown(scratch: Self.scratch)
    }
    let end = try guest.run { code in
      mapShared(&code)
      code.hypercall(0, TinyGuest.spare)
      code.store(1, at: 0x1234_5678)
    }
    #expect(end == .poweroff)
    #expect((0..<2).map(guest.result) == [2, 0x1234_5678])
  }

  @Test(
    "user mode runs on its own table, and its system calls and faults enter the kernel on the kernel's stack")
  func userMode() throws {
    let user: UInt64 = 0x1b000
    guest.store(guest.machine(TinyGuest.tables.levelFour) >> 12, at: TinyGuest.spare + 0x108)
    guest.store(15, at: TinyGuest.spare + 0x100)
    // A return to user mode: rax, r11, rcx, flags, rip, cs, rflags, rsp, ss.
    for (index, word) in [77, 0, 0, 0, user, 0xe033, 0x202, 0x14000, 0xe02b].enumerated() {
      guest.store(UInt64(word), at: TinyGuest.spare + UInt64(index) * 8)
    }
    loadHandler(at: user) { code in
      code.storeRAX(at: Self.results)
      code.raw(0x0f, 0x05)
    }
    loadHandler { code in
      for (index, offset) in [UInt8(16), 24, 40].enumerated() {
        code.loadRAX(fromStack: offset)
        code.storeRAX(at: Self.results + 8 + UInt64(index) * 8)
      }
      // mov %rsp, %rax
      code.raw(0x48, 0x89, 0xe0)
      code.storeRAX(at: Self.results + 32)
      code.shutdown(scratch: Self.scratch)
    }
    let end = try guest.run { code in
      code.hypercall(26, TinyGuest.spare + 0x100, 1, 0, 0x7ff0)
      code.call(30, 0, at: Self.scratch, [2, Self.handler])
      code.hypercall(3, 0xe02b, 0x16000)
      code.move(TinyGuest.spare, to: .rsp)
      code.hypercall(23)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == 77)
    #expect(guest.word(Self.results + 8) == user + 12, "behind SYSCALL")
    #expect(guest.result(2) == 0xe033)
    #expect(guest.result(3) == 0x14000)
    #expect(guest.result(4) == 0x16000 - 56)
  }

  @Test("INT reaches a handler only if its gate lets privilege level 3 name it")
  func softwareInterrupt() throws {
    for (privilege, vector) in [(3, "handled"), (0, "exception 13")] {
      let guest = try TinyGuest()
      guest.store(0x80 | UInt64(privilege) << 8, at: TinyGuest.spare)
      guest.store(Self.handler, at: TinyGuest.spare + 8)
      var assembler = Assembler()
      assembler.shutdown(scratch: Self.scratch)
      guest.load(assembler.bytes, at: Self.handler)
      let end = try guest.run { code in
        code.hypercall(0, TinyGuest.spare)
        code.raw(0xcd, 0x80)
        code.spin()
      }
      if vector == "handled" {
        #expect(end == .poweroff)
      } else {
        guard case .crashed = end else {
          Issue.record("the guest \(end)")
          continue
        }
      }
    }
  }

  @Test("privileged instructions of a guest's kernel are emulated")
  func emulation() throws {
    let end = try guest.run { code in
      // CPUID with the prefix, leaf 0x40000000: ebx is "XenV".
      code.move(0x4000_0000, to: .rax)
      code.raw(0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2)
      code.raw(0x89, 0xd8)
      code.storeRAX(at: Self.results)
      // wrmsr FS_BASE, then a load through fs.
      code.store(0xabcd, at: TinyGuest.spare + 8)
      code.move(UInt64(ModelSpecific.fsBase), to: .rcx)
      code.move(TinyGuest.spare, to: .rax)
      code.move(0, to: .rdx)
      code.raw(0x0f, 0x30)
      code.raw(0x64, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0)
      code.storeRAX(at: Self.results + 8)
      // cli, sti, in $0x60, mov %cr0.
      code.raw(0xfa, 0xfb)
      code.move(0, to: .rax)
      code.raw(0xe4, 0x60)
      code.storeRAX(at: Self.results + 16)
      code.raw(0x0f, 0x20, 0xc0)
      code.storeRAX(at: Self.results + 24)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<4).map(guest.result) == [0x566e_6558, 0xabcd, 0xff, 0x8005_0033])
  }

  @Test("a second vCPU starts where the first says, and a flush reaches it")
  func secondProcessor() throws {
    let guest = try TinyGuest(virtualCPUs: 2)
    let second: UInt64 = 0x1c000
    let context = TinyGuest.spare
    guest.store(second, at: context + 520 + 16 * 8)
    guest.store(0x18000, at: context + 520 + 19 * 8)
    guest.store(0x4242, at: context + 520 + 14 * 8)
    guest.store(guest.machine(TinyGuest.tables.levelFour), at: context + 520 + 200 + 4112 + 128 + 24 + 24)
    var assembler = Assembler()
    // mov %rdi, %rax
    assembler.raw(0x48, 0x89, 0xf8)
    assembler.storeRAX(at: Self.results)
    assembler.spin()
    guest.load(assembler.bytes, at: second)
    let end = try guest.run { code in
      code.hypercall(24, 1, 1, 0)
      code.storeRAX(at: Self.results + 8)
      code.hypercall(24, 0, 1, context)
      code.storeRAX(at: Self.results + 16)
      code.hypercall(24, 1, 1, 0)
      code.waitForWord(at: Self.results)
      code.hypercall(24, 3, 1, 0)
      code.storeRAX(at: Self.results + 24)
      code.hypercall(24, 3, 2, 0)
      code.storeRAX(at: Self.results + 32)
      code.store(10, at: Self.scratch)
      for _ in 0..<20 { code.hypercall(26, Self.scratch, 1, 0, 0x7ff0) }
      code.shutdown(scratch: Self.scratch + 64)
    }
    #expect(end == .poweroff)
    #expect((0..<5).map(guest.result) == [0x4242, -22, 0, 1, -2])
  }

  @Test("frames come back from the host up to the domain's size, scrubbed and known by their new number")
  func populate() throws {
    let first = guest.machine(GuestFrame(40)) >> 12
    let end = try guest.run { code in
      code.store(first, at: Self.scratch + 64)
      code.call(12, 1, at: Self.scratch, [Self.scratch + 64, 1, 0, 0x7ff0])
      code.storeRAX(at: Self.results)
      code.hypercall(12, 3, Self.scratch)
      code.storeRAX(at: Self.results + 8)
      code.store(4000, at: Self.scratch + 64)
      code.store(4001, at: Self.scratch + 72)
      code.call(12, 6, at: Self.scratch, [Self.scratch + 64, 2, 0, 0x7ff0])
      code.storeRAX(at: Self.results + 16)
      code.loadRAX(from: Self.scratch + 64)
      code.storeRAX(at: Self.results + 24)
      code.shutdown(scratch: Self.scratch + 128)
    }
    #expect(end == .poweroff)
    #expect((0..<3).map(guest.result) == [1, 63, 1])
    let frame = MachineFrame(guest.word(Self.results + 24))
    #expect(guest.host.memory.owner(of: frame) == guest.domain.id)
    #expect(guest.host.memory.machineToPhysical[frame] == 4000)
  }

  @Test("a guest maps what another granted, and reaches it no longer when it has unmapped it")
  func grants() throws {
    let granter = try TinyGuest(host: guest.host)
    granter.store(0xcafe, at: TinyGuest.spare)
    let frame = granter.machine(GuestFrame(TinyGuest.spare >> 12)) >> 12
    granter.domain.setGrant(
      GrantReference(8), GrantEntry(flags: .permitAccess, domain: guest.domain.id, frame: UInt32(frame)))
    let other = UInt64(granter.domain.id.rawValue)
    let window: UInt64 = 0x12000
    let end = try guest.run { code in
      // struct gnttab_map_grant_ref: host_addr, flags | ref << 32, dom, dev_bus_addr.
      for (index, word) in ([window, 2 | 8 << 32, other, 0] as [UInt64]).enumerated() {
        code.store(word, at: Self.scratch + UInt64(index) * 8)
      }
      code.hypercall(20, 0, Self.scratch, 1)
      code.storeRAX(at: Self.results)
      code.loadRAX(from: Self.scratch + 16)
      code.storeRAX(at: Self.results + 8)
      code.loadRAX(from: window)
      code.storeRAX(at: Self.results + 16)
      code.store(0xbeef, at: window + 8)
      // The handle stands in the upper half of the third word; that of an unmap in the lower half.
      code.loadRAX(from: Self.scratch + 16)
      code.raw(0x48, 0xc1, 0xe8, 0x20)
      code.storeRAX(at: Self.scratch + 64 + 16)
      code.store(window, at: Self.scratch + 64)
      code.store(0, at: Self.scratch + 72)
      code.hypercall(20, 1, Self.scratch + 64, 1)
      code.loadRAX(from: Self.scratch + 64 + 16)
      code.storeRAX(at: Self.results + 24)
      // A forged entry leads nowhere any more.
      let place = UInt64(TinyGuest.levelOne.rawValue) << 12 + (window >> 12) * 8
      code.store(frame << 12 | 0x67, at: place)
      code.loadRAX(from: window)
      code.storeRAX(at: Self.results + 32)
    }
    guard case .crashed(let report) = end else {
      Issue.record("the guest \(end)")
      return
    }
    #expect(report.reason.contains("neither the domain's nor granted"), "\(report.reason)")
    #expect(guest.result() == 0)
    #expect(guest.result(1) >> 16 & 0xffff == 0, "status okay")
    #expect(guest.result(2) == 0xcafe)
    #expect(granter.word(TinyGuest.spare + 8) == 0xbeef)
    #expect(guest.result(3) >> 32 & 0xffff == 0, "status okay")
    #expect(guest.result(4) == 0)
    #expect(granter.host.memory.isUnused(MachineFrame(frame)))
  }

  @Test("the table of grants grows up to its limit, and its size can be asked")
  func grantTable() throws {
    let end = try guest.run { code in
      // struct gnttab_setup_table: dom | nr_frames << 32, status, frame_list.
      code.call(20, 2, at: Self.scratch, [0x7ff0 | 3 << 32, 0, TinyGuest.spare])
      code.hypercall(20, 2, Self.scratch, 1)
      code.loadRAX(from: Self.scratch + 8)
      code.storeRAX(at: Self.results)
      for (index, word) in ([0x7ff0 | 99 << 32, 0, TinyGuest.spare] as [UInt64]).enumerated() {
        code.store(word, at: Self.scratch + UInt64(index) * 8)
      }
      code.hypercall(20, 2, Self.scratch, 1)
      code.loadRAX(from: Self.scratch + 8)
      code.storeRAX(at: Self.results + 8)
      code.store(0x7ff0, at: Self.scratch)
      code.store(0, at: Self.scratch + 8)
      code.hypercall(20, 6, Self.scratch, 1)
      code.loadRAX(from: Self.scratch)
      code.storeRAX(at: Self.results + 16)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() & 0xffff == 0)
    #expect(Int16(truncatingIfNeeded: guest.result(1)) == -1)
    #expect(guest.result(2) >> 32 == 3)
    for index in 0..<3 {
      #expect(guest.word(TinyGuest.spare + UInt64(index) * 8) == guest.domain.grantFrames[index].rawValue)
    }
  }

  @Test("thousands of flushes use the shadow tables up, and the guest notices nothing")
  func manyFlushes() throws {
    let end = try guest.run { code in
      code.store(6, at: Self.scratch)
      // 2000 times: mmuext_op flush, in a loop counted down in rbx.
      code.move(2000, to: .rbx)
      let start = code.bytes.count
      code.hypercall(26, Self.scratch, 1, 0, 0x7ff0)
      code.raw(0x48, 0xff, 0xcb, 0x0f, 0x85)
      let back = UInt32(truncatingIfNeeded: start - code.bytes.count - 4)
      code.raw(
        UInt8(truncatingIfNeeded: back), UInt8(truncatingIfNeeded: back >> 8),
        UInt8(truncatingIfNeeded: back >> 16), UInt8(truncatingIfNeeded: back >> 24))
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    let recycled = guest.domain.statistics.first { $0.name == Counter.recycles.name }
    #expect((recycled?.count ?? 0) > 1)
  }
}
