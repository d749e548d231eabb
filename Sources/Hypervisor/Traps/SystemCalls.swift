// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// SYSCALL: a hypercall from the guest's kernel, a system call of its user, or the return from an exception.
extension ParavirtualProcessor {
  func handleSystemCallPort() {
    noteActivity()
    guard isSystemCallPage(registers.pointee.rip) else {
      deliverForbiddenOut()
      return
    }
    guard registers.pointee.rip < UpdateStub.compatibility else {
      refuseCompatibleSystemCall()
      return
    }
    handleSystemCall()
  }

  /// SYSCALL of 32-bit code, which some processors do not have: the guest was told that it cannot be entered by it, and
  /// is shown the exception that those raise.
  private func refuseCompatibleSystemCall() {
    let size: UInt64 = 2
    var context = contextOfSystemCall
    context.instruction = (context.instruction &- size) & 0xffff_ffff
    context.codeSelector = Selector.compatibilityCode
    deliver(vector: Vector.invalidOpcode, error: 0, context)
  }

  /// Where 64-bit code goes on behind its SYSCALL, which keeps RIP in rcx and RFLAGS in r11; rsp is still the guest's.
  var contextOfSystemCall: GuestContext {
    GuestContext(
      instruction: registers.pointee.rcx, codeSelector: Selector.code, flags: registers.pointee.r11,
      stack: registers.pointee.rsp, stackSelector: Selector.data)
  }

  /// A SYSCALL that has arrived in its page, with the registers as they were then.
  func handleSystemCall() {
    let context = contextOfSystemCall
    guard mode == .kernel else {
      statistics.count(.systemCalls)
      guard systemCallCallback.handler != 0 else {
        deliver(vector: Vector.invalidOpcode, error: 0, context)
        return
      }
      bounce(
        to: systemCallCallback.handler, masksEvents: systemCallCallback.masksEvents, error: nil, context)
      return
    }
    if registers.pointee.rax == HypercallNumber.interruptReturn.rawValue {
      statistics.count(hypercall: registers.pointee.rax)
      interruptReturn()
      return
    }
    let arguments = HypercallArguments(
      registers.pointee.rdi, registers.pointee.rsi, registers.pointee.rdx, registers.pointee.r10,
      registers.pointee.r8)
    resume(context)
    let result = hypercall(registers.pointee.rax, arguments)
    registers.pointee.rax = UInt64(bitPattern: result)
    virtual.registersChanged = true
  }

  /// The guest executed an OUT to the port of the system-call page itself: on software KVM the processor lets it.
  private func deliverForbiddenOut() {
    var context = currentContext
    // OUT is over already there: let the guest see the fault at its beginning.
    let immediate: [UInt8] = [0xe6, UInt8(MonitorWindow.Port.systemCall)]
    let throughRegister: [UInt8] = [0xee]
    for bytes in [immediate, throughRegister] {
      let start = context.instruction &- UInt64(bytes.count)
      var found = [UInt8](repeating: 0, count: bytes.count)
      let count = found.withUnsafeMutableBytes { copyInstruction(start, into: $0) }
      guard count == bytes.count, found == bytes else { continue }
      context.instruction = start
      break
    }
    deliver(vector: Vector.generalProtection, error: 0, context)
  }

  /// `HYPERVISOR_iret`. The frame, from low to high: rax, r11, rcx, flags, rip, cs, rflags, rsp, ss.
  /// Source: xen/include/public/arch-x86/xen-x86_64.h, `struct iret_context`.
  func interruptReturn() {
    let frame = registers.pointee.rsp
    space.pager.returns(index)
    let registersSaved: ArgumentBlock
    let stackSelector: UInt64
    do throws(HypercallError) {
      registersSaved = try argument(frame, byteCount: 64)
      stackSelector = try readWord(frame &+ 64)
    } catch {
      crash("iret with a frame at \(hex(frame)), which cannot be read")
      return
    }
    let context = GuestContext(
      instruction: registersSaved.u64(32), codeSelector: registersSaved.u16(40),
      flags: registersSaved.u64(48),
      stack: registersSaved.u64(56), stackSelector: UInt16(truncatingIfNeeded: stackSelector))
    if context.codeSelector & 3 == 3 {
      guard userRoot != nil else {
        crash("iret to user mode, and the guest has loaded no user table")
        return
      }
      enterUserMode()
    }
    registers.pointee.rax = registersSaved.u64(0)
    registers.pointee.r11 = registersSaved.u64(8)
    registers.pointee.rcx = registersSaved.u64(16)
    // The guest says with this flag that it came from SYSCALL: rcx and r11 are what SYSRET would leave.
    let inSystemCall: UInt64 = 1 << 8
    if registersSaved.u64(24) & inSystemCall != 0 {
      registers.pointee.rcx = context.instruction
      registers.pointee.r11 = context.flags
    }
    info.upcallMask.storeShared(context.flags & Flags.interrupt == 0 ? 1 : 0)
    guard VirtualAddress(context.instruction).isCanonical else {
      deliver(vector: Vector.generalProtection, error: 0, context)
      return
    }
    resume(context)
  }
}
