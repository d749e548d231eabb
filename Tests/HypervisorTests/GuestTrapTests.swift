// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization
import Testing

@testable import Hypervisor

/// Exceptions, system calls and emulated instructions.
@Suite("Traps of a guest on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class GuestTrapTests: GuestSetting {
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

  @Test("GS of a 32-bit program is loaded by its selector, and a selector of nothing loads nothing")
  func userSegment() throws {
    // Entry 12 is writable data at 0x12345678, as Linux has it for a thread's memory; entry 13 is not present.
    guest.store(0x12cf_f334_5678_ffff, at: TinyGuest.spare + 12 * 8)
    guest.store(0x12cf_7334_5678_ffff, at: TinyGuest.spare + 13 * 8)
    guest.store(guest.machine(GuestFrame(TinyGuest.spare >> 12)) >> 12, at: Self.scratch + 512)
    let monitorData: UInt64 = 0xe010
    let end = try guest.run { code in
      code.hypercall(2, Self.scratch + 512, 512)
      code.hypercall(25, 2, 0x7000)
      for (index, selector) in [0x63, 0x6b, 0, monitorData].enumerated() {
        code.hypercall(25, 1, 0x5000)
        code.hypercall(25, 3, selector)
        code.move(UInt64(ModelSpecific.kernelGSBase), to: .rcx)
        code.raw(0x0f, 0x32)
        code.storeRAX(at: Self.results + UInt64(index) * 8)
      }
      code.move(UInt64(ModelSpecific.gsBase), to: .rcx)
      code.raw(0x0f, 0x32)
      code.storeRAX(at: Self.results + 32)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect((0..<5).map(guest.result) == [0x1234_5678, 0, 0, 0, 0x7000])
  }

  @Test("INS reads ones, OUTS is lost, each as often as it says, and a page that is not there is a fault")
  func stringPorts() throws {
    guest.store(14 | 4 << 8, at: TinyGuest.spare)
    guest.store(Self.handler, at: TinyGuest.spare + 8)
    loadHandler { code in
      // The fault's address, and what rdi and rcx have come to.
      code.loadRAX(from: Self.shared + 16)
      code.storeRAX(at: Self.results + 40)
      code.raw(0x48, 0x89, 0xf8)
      code.storeRAX(at: Self.results + 48)
      code.raw(0x48, 0x8b, 0x0c, 0x24, 0x48, 0x89, 0xc8)
      code.storeRAX(at: Self.results + 56)
      code.shutdown(scratch: Self.scratch)
    }
    let place = TinyGuest.spare + 512
    let end = try guest.run { code in
      mapShared(&code)
      code.hypercall(0, TinyGuest.spare)
      // insb; insw; outsl, of which rdi and rsi tell.
      code.move(place, to: .rdi)
      code.move(0x60, to: .rdx)
      code.raw(0x6c, 0x66, 0x6d)
      code.raw(0x48, 0x89, 0xf8)
      code.storeRAX(at: Self.results)
      code.move(0x5000_0000, to: .rsi)
      code.move(3, to: .rcx)
      code.raw(0xf3, 0x6f)
      code.raw(0x48, 0x89, 0xf0)
      code.storeRAX(at: Self.results + 8)
      // Downwards, and not at all.
      code.move(place + 16, to: .rdi)
      code.move(1, to: .rcx)
      code.raw(0xfd, 0xf3, 0x6c, 0xf3, 0x6c, 0xfc)
      code.raw(0x48, 0x89, 0xf8)
      code.storeRAX(at: Self.results + 16)
      // More than at once; then to the end of what is mapped.
      code.move(0x3000, to: .rcx)
      code.move(0x20000, to: .rdi)
      code.raw(0xf3, 0x6c)
      code.raw(0x48, 0x89, 0xf8)
      code.storeRAX(at: Self.results + 24)
      code.move(0x100, to: .rcx)
      code.move(UInt64(TinyGuest.frameCount) << 12 - 16, to: .rdi)
      code.raw(0xf3, 0x6d)
    }
    #expect(end == .poweroff)
    #expect(guest.word(place) == 0xff_ffff && guest.word(place + 16) == 0xff)
    let last = Int64(TinyGuest.frameCount) << 12
    #expect(
      [0, 1, 2, 3, 5, 6, 7].map(guest.result) == [
        Int64(place) + 3, 0x5000_000c, Int64(place) + 15, 0x23000, last, last, 0xfc,
      ])
    #expect(guest.word(0x20000) == .max && guest.word(0x22ff8) == .max && guest.word(0x23000) == 0)
  }
}
