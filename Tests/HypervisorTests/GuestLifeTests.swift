// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization
import Testing

@testable import Hypervisor

/// Events, time and vCPUs as guests use them.
@Suite("Life of a guest on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class GuestLifeTests: GuestSetting {
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

  @Test("a guest has two watchdogs, and is ended by one that it does not set anew in time")
  func watchdogs() throws {
    let calls: [(id: UInt64, seconds: UInt64, result: Int64)] = [
      (0, 0, -22), (1, 5, -22), (0, 1000, 1), (0, 0xffff_ffff, 2), (0, 1000, -28), (3, 1, -22),
      (0xffff_ffff, 1, -22), (1, 2000, 0), (1, 0, 0), (1, 5, -22), (0, 1000, 1), (2, 1, 0),
    ]
    let end = try guest.run { code in
      for (index, call) in calls.enumerated() {
        code.call(29, 6, at: Self.scratch, [call.id | call.seconds << 32])
        code.storeRAX(at: Self.results + UInt64(index) * 8)
      }
      code.spin()
    }
    #expect(calls.indices.map(guest.result) == calls.map(\.result))
    #expect(end == .crashed(CrashReport(reason: "the guest's watchdog was not set anew in time")))
    #expect(guest.domain.clock.now >= 1_000_000_000)
  }
}
