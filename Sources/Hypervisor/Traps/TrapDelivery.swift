// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Exceptions by vector. Source: Intel SDM volume 3, chapter 6.
enum Vector {
  static let invalidOpcode = 6
  static let generalProtection = 13
  static let pageFault = 14
  /// Those with which the processor pushes an error code: 8, 10 … 14, 17, 21, 29, 30.
  static func hasError(_ vector: Int) -> Bool { vector < 32 && 0x6022_7d00 >> vector & 1 != 0 }
}

/// Enters handlers of the guest's kernel, as real Xen does with a bounce frame on the kernel's stack.
/// Source: xen/include/public/arch-x86/xen-x86_64.h; the frame, from low to high, is rcx, r11, [error], rip,
/// cs | saved mask << 32, rflags, rsp, ss.
extension ParavirtualProcessor {
  /// Delivers an exception to the guest's handler; without one the domain ends.
  func deliver(vector: Int, error: UInt64, _ context: GuestContext) {
    let gate = trapGates[vector]
    guard gate.handler != 0 else {
      let address = vector == Vector.pageFault ? " at address \(hex(special.pointee.cr2))" : ""
      crash("exception \(vector), error \(hex(error))\(address), and the guest has no handler for it")
      return
    }
    bounce(
      to: gate.handler, masksEvents: gate.masksEvents, error: Vector.hasError(vector) ? error : nil, context)
  }

  /// Tells the guest of pending events, if it wants to be told; ends its poll.
  func deliverUpcall() {
    let isDue = eventCallback.handler != 0 && info.isPending && !info.isMasked
    guard isDue || isPolling else { return }
    isPolling = false
    guard domain.host.events.perform({ $0.resume(index, of: domain.id) }) else { return }
    guard eventCallback.handler != 0 else {
      // A guest without a handler takes its up-calls by doing nothing.
      info.upcallMask.storeShared(0)
      return
    }
    statistics.count(.upcalls)
    bounce(to: eventCallback.handler, masksEvents: true, error: nil, currentContext, wereMasked: false)
  }

  /// Enters the guest's kernel at `handler` with a frame of what ran before.
  /// - Parameter wereMasked: whether up-calls were masked then; nil if they still are as they were.
  func bounce(
    to handler: UInt64, masksEvents: Bool, error: UInt64?, _ context: GuestContext, wereMasked: Bool? = nil
  ) {
    noteActivity()
    guard VirtualAddress(handler).isCanonical else {
      crash("the guest's handler lies at \(hex(handler)), which is no address")
      return
    }
    let fromKernel = mode == .kernel
    let mask: UInt64 = wereMasked ?? info.isMasked ? 1 : 0
    enterKernelMode()
    let code = UInt64(context.codeSelector) & (fromKernel ? 0xfffc : 0xffff) | mask << 32
    let flags =
      context.flags & ~(Flags.interrupt | Flags.privilege) | (mask == 0 ? Flags.interrupt : 0)

    var frame = ArgumentBlock()
    var size = 0
    func push(_ value: UInt64) {
      frame.set(size, u64: value)
      size += 8
    }
    push(registers.pointee.rcx)
    push(registers.pointee.r11)
    if let error { push(error) }
    push(context.instruction)
    push(code)
    push(flags)
    push(context.stack)
    push(UInt64(context.stackSelector))

    let top = (fromKernel ? context.stack : kernelStack) & ~0xf
    let bottom = top &- UInt64(size)
    do throws(HypercallError) {
      try reply(frame, byteCount: size, to: bottom)
    } catch {
      crash("the guest's kernel stack at \(hex(bottom)) cannot take an exception frame")
      return
    }
    if masksEvents { info.upcallMask.storeShared(1) }
    let cleared = Flags.trap | Flags.nestedTask | Flags.resume | Flags.alignmentCheck | Flags.virtual8086
    resume(
      GuestContext(
        instruction: handler, codeSelector: Selector.code, flags: context.flags & ~cleared, stack: bottom,
        stackSelector: Selector.data))
  }

  // MARK: Modes

  func enterKernelMode() {
    guard mode == .user else { return }
    swap(&special.pointee.gs.base, &otherGSBase)
    mode = .kernel
    setGates()
  }

  func enterUserMode() {
    guard mode == .kernel else { return }
    swap(&special.pointee.gs.base, &otherGSBase)
    mode = .user
    setGates()
  }
}
