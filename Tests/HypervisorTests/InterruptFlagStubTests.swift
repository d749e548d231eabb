// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

/// CLI of a guest's kernel without an exit, on software KVM. On hardware KVM it exits, to the same effect.
@Suite("CLI in ring 0 on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class InterruptFlagStubTests: GuestSetting {
  private func faults(of guest: TinyGuest) -> UInt64 {
    let name = "exception \(Vector.generalProtection)"
    return guest.paravirtual.processors[0].statistics.all.first { $0.name == name }?.count ?? 0
  }

  @Test("CLI of a guest's kernel changes no register, and takes no exit; other instructions do")
  func carriedOut() throws {
    let end = try guest.run { code in
      code.move(0x1234, to: .rax)
      // xor %ecx, %ecx; then 50 CLI; setz %cl; STI.
      code.raw(0x31, 0xc9)
      for _ in 0..<50 { code.raw(0xfa) }
      code.raw(0x0f, 0x94, 0xc1, 0xfb)
      code.storeRAX(at: Self.results)
      code.raw(0x48, 0x89, 0xc8)
      code.storeRAX(at: Self.results + 8)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == 0x1234 && guest.result(1) == 1)
    #expect(faults(of: guest) == (guest.host.system.kind == .software ? 1 : 51))
  }

  @Test("CLI of a guest's user is a fault that its kernel hears of")
  func users() throws {
    let user: UInt64 = 0x1b000
    guest.store(guest.machine(TinyGuest.tables.levelFour) >> 12, at: TinyGuest.spare + 0x108)
    guest.store(15, at: TinyGuest.spare + 0x100)
    for (index, word) in [0, 0, 0, 0, user, 0xe033, 0x202, 0x14000, 0xe02b].enumerated() {
      guest.store(UInt64(word), at: TinyGuest.spare + UInt64(index) * 8)
    }
    guest.store(UInt64(Vector.generalProtection), at: TinyGuest.spare + 0x200)
    guest.store(Self.handler, at: TinyGuest.spare + 0x208)
    loadHandler(at: user) { $0.raw(0xfa) }
    loadHandler { code in
      code.loadRAX(fromStack: 24)
      code.storeRAX(at: Self.results)
      code.shutdown(scratch: Self.scratch)
    }
    let end = try guest.run { code in
      code.raw(0xfa)
      code.hypercall(0, TinyGuest.spare + 0x200)
      code.hypercall(26, TinyGuest.spare + 0x100, 1, 0, 0x7ff0)
      code.hypercall(3, 0xe02b, 0x16000)
      code.move(TinyGuest.spare, to: .rsp)
      code.hypercall(23)
    }
    #expect(end == .poweroff)
    #expect(UInt64(guest.result()) == user)
  }

  @Test("a vCPU that was stopped there, wherever it is, goes on behind CLI with the guest's own registers")
  func stopped() throws {
    let code = InterruptFlagStub.code
    let out = (code.offsets[.otherRestored] ?? 0)
    for offset in code.offsets.values.sorted() + [0] where offset < code.bytes.count {
      let guest = try TinyGuest()
      guest.load([0xfa], at: TinyGuest.code)
      let processor = guest.paravirtual.processors[0]
      try processor.begin(root: guest.initialState.root)
      let place = InterruptFlagStub.address + UInt64(offset)
      let progress = try #require(InterruptFlagStub.progress(at: place))
      let stack = guest.host.memory.monitorWords(processor.pages.stack)
      let frame: [UInt64] = [
        0, TinyGuest.code + (progress.isDone ? 1 : 0), 0xe033, 0x246, TinyGuest.stack, 0xe02b,
      ]
      for (index, word) in frame.enumerated() { stack[entriesPerTable - 6 + index] = word }
      stack[entriesPerTable - 7] = progress.isSaved ? 0x1234 : 0x9999
      processor.setMonitorSegments()
      processor.registers.pointee.rip = place
      processor.registers.pointee.rax = progress.isSaved ? 0x9999 : 0x1234
      #expect(progress.isSaved == (1..<(code.offsets[.restored] ?? 0)).contains(offset) || offset == out - 1)
      #expect(processor.leaveInterruptFlagStub())
      #expect(processor.registers.pointee.rip == TinyGuest.code + 1, "from offset \(offset)")
      #expect(processor.registers.pointee.rax == 0x1234 && processor.registers.pointee.rsp == TinyGuest.stack)
      #expect(processor.special.pointee.cs.dpl == 3)
      #expect(!processor.leaveInterruptFlagStub())
    }
    #expect(InterruptFlagStub.progress(at: InterruptFlagStub.address - 1) == nil)
  }
}
