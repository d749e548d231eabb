// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

@Suite("Hypercalls of a guest on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
struct HypercallTests {
  static let scratch = TinyGuest.scratch
  static let selfDomain: UInt64 = 0x7ff0

  /// Runs a guest that makes one hypercall and stores the result.
  static func result(of guest: TinyGuest, _ number: UInt64, _ arguments: [UInt64]) throws -> Int64 {
    let end = try guest.run { code in
      for (value, register) in zip(arguments, [Assembler.Register.rdi, .rsi, .rdx, .r10, .r8]) {
        code.move(value, to: register)
      }
      code.move(number, to: .rax)
      code.raw(0x0f, 0x05)
      code.storeRAX(at: TinyGuest.results)
      code.shutdown(scratch: scratch + 0xf00)
    }
    #expect(end == .poweroff)
    return guest.result()
  }

  @Test("a guest that asks for it is switched off, or started again")
  func shutdown() throws {
    let ends: [(UInt64, DomainEnd)] = [(0, .poweroff), (1, .reboot)]
    for (reason, expected) in ends {
      #expect(try TinyGuest().run { $0.shutdown(reason, scratch: Self.scratch) } == expected)
    }
  }

  @Test("a guest that says it crashed has crashed, and its registers are shown")
  func crash() throws {
    let end = try TinyGuest().run {
      $0.move(0x1234_5678_9abc, to: .r12)
      $0.shutdown(3, scratch: Self.scratch)
    }
    guard case .crashed(let report) = end else {
      Issue.record("the guest \(end)")
      return
    }
    #expect(report.reason == "the guest says that it crashed")
    #expect(report.registers.contains("r12 0000123456789abc"))
  }

  @Test("xen_version answers in rax, and the guest goes on behind the call")
  func version() throws {
    #expect(try Self.result(of: TinyGuest(), 17, [0, 0]) == Int64(XenVersion.number))
  }

  @Test("rbx, rbp, r8 … r15 and the arguments survive a hypercall")
  func preservedRegisters() throws {
    let guest = try TinyGuest()
    let kept: [Assembler.Register] = [.rbx, .rbp, .rdi, .rsi, .rdx, .r8, .r9, .r10, .r12, .r13, .r14, .r15]
    let end = try guest.run { code in
      for (index, register) in kept.enumerated() { code.move(UInt64(index) << 40, to: register) }
      code.move(17, to: .rax)
      code.raw(0x0f, 0x05)
      for (index, register) in kept.enumerated() {
        // mov %register, %rax
        code.raw(0x48 | (register.rawValue >> 3) << 2, 0x89, 0xc0 | (register.rawValue & 7) << 3)
        code.storeRAX(at: TinyGuest.results + UInt64(index) * 8)
      }
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    for index in kept.indices {
      #expect(guest.word(TinyGuest.results + UInt64(index) * 8) == UInt64(index) << 40)
    }
  }

  @Test(
    "hypercalls that do not exist, or do nothing here, say so",
    arguments: [6, 7, 11, 16, 19, 22, 27, 28, 31, 34, 41, 63, 64, 1 << 32, UInt64.max])
  func unknown(number: UInt64) throws {
    #expect(try Self.result(of: TinyGuest(), number, []) == -38)
  }

  /// Hypercalls with a pointer argument: number, arguments before the pointer, arguments behind it.
  static let withPointers: [(UInt64, [UInt64], [UInt64])] = [
    (0, [], []), (1, [], [1, 0, selfDomain]), (2, [], [1]), (12, [12], []), (13, [], [1]), (17, [1], []),
    (17, [6], []), (18, [0, 16], []), (20, [2], [1]), (20, [0], [1]), (20, [5], [1]), (24, [8, 0], []),
    (26, [], [1, 0, selfDomain]), (29, [2], []), (29, [3], []), (30, [0], []), (32, [6], []), (32, [4], []),
  ]

  @Test(
    "a pointer that leads nowhere, or to the monitor, is a bad address",
    arguments: withPointers,
    [0, 0x7fff_f000, 0x8000_0000_0000, 0xffff_8080_0001_1000, 0xffff_8080_4000_0000, UInt64.max - 3])
  func badPointer(call: (UInt64, [UInt64], [UInt64]), pointer: UInt64) throws {
    // set_trap_table with 0 empties the table.
    if call.0 == 0, pointer == 0 { return }
    #expect(try Self.result(of: TinyGuest(), call.0, call.1 + [pointer] + call.2) == -14)
  }

  @Test("what the guest may not write itself is not written for it")
  func readOnlyPointer() throws {
    let table = UInt64(TinyGuest.levelOne.rawValue) << 12
    #expect(try Self.result(of: TinyGuest(), 17, [3, table]) == -14)
    #expect(try Self.result(of: TinyGuest(), 12, [12, table]) == -14)
  }

  @Test("structures may cross pages")
  func crossingPages() throws {
    let guest = try TinyGuest()
    let place = TinyGuest.spare + 0xff4
    #expect(try Self.result(of: guest, 12, [12, place]) == 0)
    let low = guest.word(TinyGuest.spare + 0xff0) >> 32
    let high = guest.word(TinyGuest.spare + 0xff8) & 0xffff_ffff
    #expect(high << 32 | low == MonitorWindow.machineToPhysical)
  }

  @Test("the emergency console gets what the guest writes")
  func emergencyConsole() throws {
    let guest = try TinyGuest()
    let text = Locked("")
    guest.domain.emergencyConsole = { bytes in text.withLock { $0 += String(decoding: bytes, as: UTF8.self) }
    }
    guest.load(Array("hello".utf8), at: TinyGuest.spare)
    #expect(try Self.result(of: guest, 18, [0, 5, TinyGuest.spare]) == 0)
    #expect(text.withLock { $0 } == "hello")
  }

  @Test("a multicall makes each of its calls, and none inside of another")
  func multicall() throws {
    let guest = try TinyGuest()
    let calls: [[UInt64]] = [[17, 99, 0, 0], [99, 99], [13, 99, 0, 0], [18, 99, 1, 0]]
    for (index, call) in calls.enumerated() {
      for (field, value) in call.enumerated() {
        guest.store(value, at: TinyGuest.spare + UInt64(index * 64 + field * 8))
      }
    }
    #expect(try Self.result(of: guest, 13, [TinyGuest.spare, 4]) == 0)
    let results = (0..<4).map { Int64(bitPattern: guest.word(TinyGuest.spare + UInt64($0 * 64 + 8))) }
    #expect(results == [Int64(XenVersion.number), -38, -22, 0])
  }

  @Test("the slots of a hypercall page work")
  func hypercallPage() throws {
    let guest = try TinyGuest()
    guest.domain.fillHypercallPage(GuestFrame(TinyGuest.spare >> 12))
    let end = try guest.run { code in
      code.move(0, to: .rdi)
      code.move(0, to: .rsi)
      code.move(TinyGuest.spare + 17 * 32, to: .rax)
      code.raw(0xff, 0xd0)
      code.storeRAX(at: TinyGuest.results)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == Int64(XenVersion.number))
  }

  @Test("the machine-to-physical table can be read where the guest is told, and says what the guest said")
  func machineToPhysical() throws {
    let guest = try TinyGuest()
    let frame = guest.machine(GuestFrame(20)) >> 12
    let end = try guest.run { code in
      code.loadRAX(from: MonitorWindow.machineToPhysical + frame * 8)
      code.storeRAX(at: TinyGuest.results)
      code.store(frame << 12 | 1, at: Self.scratch)
      code.store(4711, at: Self.scratch + 8)
      code.hypercall(1, Self.scratch, 1, 0, Self.selfDomain)
      code.storeRAX(at: TinyGuest.results + 8)
      code.loadRAX(from: MonitorWindow.machineToPhysical + frame * 8)
      code.storeRAX(at: TinyGuest.results + 16)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<3).map(guest.result) == [20, 0, 4711])
  }

  @Test("no guest frame has the same number as the machine's")
  func numbersDiffer() throws {
    let guest = try TinyGuest()
    for index in 0..<UInt64(TinyGuest.frameCount) {
      #expect(guest.domain.machineFrame(of: GuestFrame(index))?.rawValue != index)
    }
    #expect(guest.domain.machineFrame(of: GuestFrame(UInt64(TinyGuest.frameCount))) == nil)
    #expect(guest.domain.bytes(of: GuestFrame(.max)) == nil)
  }
}
