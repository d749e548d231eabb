// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Synchronization
import Testing

@testable import Hypervisor

/// Parts of the ABI that small kernels of all kinds use, beyond what GRUB does.
@Suite("The ABI as guests on /dev/kvm see it", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class GuestInterfaceTests: GuestSetting {
  private static let customary: UInt64 = 0xffff_8000_0000_0000

  @Test("the machine-to-physical table can also be read where it lies by custom")
  func customaryTable() throws {
    let frame = guest.machine(GuestFrame(20)) >> 12
    let end = try guest.run { code in
      // movabs address, %rax; then mov (%rdx, %rcx, 8), %r9; mov 8(%rdx), %eax (32 bits); mov (%r10), %rax.
      code.loadRAX(from: Self.customary + frame * 8)
      code.storeRAX(at: Self.results)
      code.move(Self.customary, to: .rdx)
      code.move(frame, to: .rcx)
      code.raw(0x4c, 0x8b, 0x0c, 0xca)
      code.raw(0x4c, 0x89, 0xc8)
      code.storeRAX(at: Self.results + 8)
      code.move(Self.customary + frame * 8 - 8, to: .rdx)
      code.move(.max, to: .rax)
      code.raw(0x8b, 0x42, 0x08)
      code.storeRAX(at: Self.results + 16)
      code.move(Self.customary + frame * 8, to: .r10)
      code.raw(0x49, 0x8b, 0x02)
      code.storeRAX(at: Self.results + 24)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<4).map(guest.result) == [20, 20, 20, 20])
  }

  @Test("beside that table, and for stores to it, the guest has a fault", arguments: [true, false])
  func besideTable(isStore: Bool) throws {
    let beyond = Self.customary + UInt64(guest.host.memory.machineToPhysical.byteCount)
    let end = try guest.run { code in
      if isStore { code.storeRAX(at: Self.customary + 8) } else { code.loadRAX(from: beyond) }
    }
    guard case .crashed(let report) = end else {
      Issue.record("the guest \(end)")
      return
    }
    #expect(report.reason.contains("exception 14"))
  }

  @Test("an iret in a multicall is taken, and ends it (XSA-213)")
  func returnInMulticall() throws {
    let frame = TinyGuest.spare + 0x200
    loadHandler { code in
      code.storeRAX(at: Self.results)
      code.shutdown(scratch: Self.scratch)
    }
    // rax, r11, rcx, flags, rip, cs of the kernel, rflags, rsp, ss.
    for (index, word) in [0xdead, 0, 0, 0, Self.handler, 0xe030, 0x202, 0x14000, 0xe02b].enumerated() {
      guest.store(UInt64(word), at: frame + UInt64(index) * 8)
    }
    for (index, number) in [UInt64(17), 23, 17].enumerated() {
      guest.store(number, at: TinyGuest.spare + UInt64(index) * 64)
    }
    let end = try guest.run { code in
      code.move(frame, to: .rsp)
      code.hypercall(13, TinyGuest.spare, 3)
      code.shutdown(1, scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == 0xdead)
    #expect(guest.word(TinyGuest.spare + 8) == UInt64(XenVersion.number))
    #expect(guest.word(TinyGuest.spare + 128 + 8) == 0)
  }

  @Test("a breakpoint instruction reaches its handler, and the guest goes on behind it")
  func breakpoint() throws {
    guest.store(3 | 3 << 8, at: TinyGuest.spare)
    guest.store(Self.handler, at: TinyGuest.spare + 8)
    loadHandler { code in
      code.store(1, at: Self.results)
      // pop %rcx; pop %r11; and back with iret: rax, r11, rcx, flags below rip.
      code.raw(0x59, 0x41, 0x5b, 0x6a, 0, 0x51, 0x41, 0x53, 0x50)
      code.hypercall(23)
    }
    let end = try guest.run { code in
      code.hypercall(0, TinyGuest.spare)
      code.raw(0xcc)
      code.store(2, at: Self.results + 8)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<2).map(guest.result) == [1, 2])
  }

  @Test("a periodic timer fires again and again, until it is stopped")
  func periodicTimer() throws {
    let end = try guest.run { code in
      mapShared(&code)
      code.call(32, 1, at: Self.scratch, [0, 0])
      code.storeRAX(at: Self.results)
      code.store(999_999, at: Self.scratch + 64)
      code.hypercall(24, 6, 0, Self.scratch + 64)
      code.storeRAX(at: Self.results + 8)
      code.store(2_000_000, at: Self.scratch + 64)
      code.hypercall(24, 6, 0, Self.scratch + 64)
      code.storeRAX(at: Self.results + 16)
      for _ in 0..<3 {
        code.waitForWord(at: Self.shared + 2048)
        code.store(0, at: Self.shared + 2048)
      }
      code.hypercall(24, 7, 0, 0)
      code.storeRAX(at: Self.results + 24)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<4).map(guest.result) == [0, -22, 0, 0])
    #expect(guest.domain.clock.now >= 6_000_000)
  }

  @Test("callbacks: which can be registered and taken back, and what is no address")
  func callbacks() throws {
    let requests: [(UInt64, UInt64, UInt64, Int64)] = [
      (0, 0, Self.handler, 0), (0, 1, 0, 0), (0, 2, 0, 0), (0, 4, 0, 0), (0, 5, 0, -38),
      (0, 7, 0, -38), (0, 3, 0, -38), (0, 6, 0, -22), (0, 99, 0, -22), (0, 0, 1 << 47, -22), (1, 4, 0, 0),
      (1, 0, 0, -22),
      (2, 0, 0, -38),
    ]
    let end = try guest.run { code in
      for (index, request) in requests.enumerated() {
        code.call(30, request.0, at: Self.scratch, [request.1, request.2])
        code.storeRAX(at: Self.results + UInt64(index) * 8)
      }
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect(requests.indices.map(guest.result) == requests.map(\.3))
  }

  @Test("a table is pinned once, and may map itself only to be read")
  func tables() throws {
    let root = guest.machine(TinyGuest.tables.levelFour)
    let other = guest.machine(GuestFrame(30)) >> 12
    let end = try guest.run { code in
      for (index, call) in [(3, root >> 12), (4, root >> 12), (3, other), (3, other), (4, other)].enumerated()
      {
        code.store(UInt64(call.0), at: Self.scratch)
        code.store(call.1, at: Self.scratch + 8)
        code.hypercall(26, Self.scratch, 1, 0, 0x7ff0)
        code.storeRAX(at: Self.results + UInt64(index) * 8)
      }
      for (index, flags) in [UInt64(0x27), 0x25].enumerated() {
        code.store(root + 100 * 8, at: Self.scratch)
        code.store(root | flags, at: Self.scratch + 8)
        code.hypercall(1, Self.scratch, 1, 0, 0x7ff0)
        code.storeRAX(at: Self.results + 40 + UInt64(index) * 8)
      }
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<7).map(guest.result) == [-22, 0, 0, -22, 0, -22, 0])
  }

  @Test("an empty LDT is taken, and a filled one is said not to be there")
  func localDescriptors() throws {
    let end = try guest.run { code in
      for (index, entries) in ([0, 1, 8192, .max, 7 << 32] as [UInt64]).enumerated() {
        code.store(13, at: Self.scratch)
        code.store(TinyGuest.spare, at: Self.scratch + 8)
        code.store(entries, at: Self.scratch + 16)
        code.hypercall(26, Self.scratch, 1, 0, 0x7ff0)
        code.storeRAX(at: Self.results + UInt64(index) * 8)
      }
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<5).map(guest.result) == [0, -38, -38, -38, 0])
  }

  @Test("reservations are told to their own domain, by number or as itself")
  func reservations() throws {
    let own = UInt64(guest.domain.id.rawValue)
    let end = try guest.run { code in
      for (index, domain) in [0x7ff0, own, own + 1].enumerated() {
        code.call(12, 4, at: Self.scratch, [domain])
        code.storeRAX(at: Self.results + UInt64(index) * 8)
      }
      code.hypercall(12, 3, 0)
      code.storeRAX(at: Self.results + 24)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<4).map(guest.result) == [64, 64, -1, -14])
  }

  @Test("a shutdown for a reason that nobody knows ends the domain, and says so")
  func unknownReason() throws {
    let end = try guest.run { $0.shutdown(77, scratch: Self.scratch) }
    guard case .crashed(let report) = end else {
      Issue.record("the guest \(end)")
      return
    }
    #expect(report.reason.contains("reason 77"))
  }

  @Test("an event channel may lead from a guest to itself")
  func loopback() throws {
    let end = try guest.run { code in
      mapShared(&code)
      // alloc_unbound for itself; its port, in the upper half of the first word, is where bind_interdomain wants it.
      code.call(32, 6, at: Self.scratch, [0x7ff0 | 0x7ff0 << 16])
      code.storeRAX(at: Self.results)
      code.hypercall(32, 0, Self.scratch)
      code.storeRAX(at: Self.results + 8)
      code.loadRAX(from: Self.shared + 2048)
      code.storeRAX(at: Self.results + 16)
      // The new end stands behind it: port 2. Sending there raises port 1.
      code.call(32, 4, at: Self.scratch + 64, [2])
      code.storeRAX(at: Self.results + 24)
      code.loadRAX(from: Self.shared + 2048)
      code.storeRAX(at: Self.results + 32)
      code.shutdown(scratch: Self.scratch + 128)
    }
    #expect(end == .poweroff)
    #expect(guest.word(Self.scratch + 8) & 0xffff_ffff == 2)
    // Who binds looks once: its own end is pending from the beginning.
    #expect((0..<5).map(guest.result) == [0, 0, 4, 0, 6])
  }

  // MARK: Polling

  /// Runs a guest that waits for a word in its console's page, or elsewhere; the host sets it after a while.
  /// - Returns: how often the vCPU slept.
  private func sleeps(waitingAt address: UInt64) throws -> UInt64 {
    guest.domain.expectPolling(of: GuestFrame(TinyGuest.spare >> 12), indexOffset: 3072)
    let domain = guest.domain
    let waker = try Hypervisor.Thread {
      usleep(400_000)
      domain.bytes(of: GuestFrame(address >> 12))?
        .storeBytes(of: 1, toByteOffset: Int(address & 0xfff), as: UInt64.self)
    }
    let end = try guest.run { code in
      code.waitForWord(at: address)
      code.shutdown(scratch: Self.scratch)
    }
    waker.join()
    #expect(end == .poweroff)
    return guest.domain.statistics.first { $0.name == Counter.waits.name }?.count ?? 0
  }

  @Test("a guest that polls its console, and nothing else, is put to sleep")
  func pollsConsole() throws {
    #expect(try sleeps(waitingAt: TinyGuest.spare + 3072) >= 5)
  }

  @Test("a guest that computes, or polls something else, is not")
  func polls() throws {
    #expect(try sleeps(waitingAt: TinyGuest.spare + 0x1000) == 0)
  }
}
