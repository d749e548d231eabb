// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What an exception at CPL 3 leads to: a mended shadow, an emulated instruction, or the guest's own handler.
extension ParavirtualProcessor {
  func handleException(_ vector: Int) {
    statistics.count(vector: vector)
    guard let frame = pages.exceptionFrame(at: registers.pointee.rsp, hasError: Vector.hasError(vector))
    else {
      crash("exception \(vector) left no frame on the monitor's stack")
      return
    }
    let fault = VirtualAddress(special.pointee.cr2)
    guard frame.codeSelector & 3 == 3 else {
      if leaveInterruptFlagStub(faultAt: frame.instruction) { return }
      crash("exception \(vector) in the monitor's own code at \(hex(frame.instruction)), address \(fault)")
      return
    }
    let context = showFrame(frame)
    if vector == Vector.pageFault || vector == Vector.generalProtection, leaveStub() { return }
    switch vector {
    case Vector.pageFault:
      handlePageFault(fault, PageFaultError(rawValue: frame.error), context)
    case Vector.generalProtection, Vector.invalidOpcode:
      handlePrivileged(vector, frame.error, context)
    default:
      deliver(vector: vector, error: frame.error, context)
    }
  }

  /// What the guest was doing. A report of a crash shows its registers, not the stub's.
  func showFrame(_ frame: ProcessorPages.ExceptionFrame) -> GuestContext {
    registers.pointee.rip = frame.instruction
    registers.pointee.rsp = frame.stack
    registers.pointee.rflags = frame.flags
    return GuestContext(
      instruction: frame.instruction, codeSelector: frame.codeSelector, flags: frame.flags,
      stack: frame.stack, stackSelector: frame.stackSelector)
  }

  private func handlePageFault(_ address: VirtualAddress, _ error: PageFaultError, _ context: GuestContext) {
    if let after = loadFromTable(address, error, context) {
      statistics.count(.emulations)
      resume(after)
      return
    }
    switch space.pager.fault(at: address, error, pagingView) {
    case .resume:
      statistics.count(.shadowFills)
      resume(context)
      noteMendedFault(at: address)
    case .reflect(let code):
      statistics.count(.reflectedFaults)
      info.faultAddress.storeShared(address.rawValue)
      deliver(vector: Vector.pageFault, error: code, context)
    case .wild(let entry):
      crash(entry.description)
    case .exhausted:
      crash("the shadow page tables have no memory that could be freed")
    }
  }

  /// A guest kernel's load from the machine-to-physical table where it lies by custom, at the beginning of level-4
  /// slot 256. CPL 3 cannot use that slot on software KVM, so the table is not mapped there: the load is carried out.
  private func loadFromTable(_ address: VirtualAddress, _ error: PageFaultError, _ context: GuestContext)
    -> GuestContext?
  {
    guard mode == .kernel, error.access == .read, address.tableIndex(4) == 256, address.isCanonical else {
      return nil
    }
    let offset = address.rawValue - MonitorWindow.customaryTable
    let table = domain.frames.memory.machineToPhysical
    var emulator = InstructionEmulator(self, context)
    let outcome = emulator.runLoad { byteCount in
      guard offset % UInt64(byteCount) == 0, offset < UInt64(table.byteCount) else { return nil }
      let entry = table[MachineFrame(offset / 8)]
      return byteCount == 8 ? entry : entry >> (offset % 8 * 8) & 0xffff_ffff
    }
    guard case .done(let after) = outcome else { return nil }
    return after
  }

  /// Instructions that only ring 0 may execute, or that are asked to trap, and INT with a gate that allows it.
  func handlePrivileged(_ vector: Int, _ error: UInt64, _ context: GuestContext) {
    var emulator = InstructionEmulator(self, context)
    switch emulator.run() {
    case .done(let after):
      statistics.count(.emulations)
      resume(after)
    case .interrupt(let number, let after)
    where trapGates[number].privilege >= (mode == .kernel ? 1 : 3) && trapGates[number].handler != 0:
      let gate = trapGates[number]
      bounce(to: gate.handler, masksEvents: gate.masksEvents, error: nil, after)
    case .fault(let address):
      handlePageFault(address, PageFaultError(rawValue: PageFaultError.write | PageFaultError.user), context)
    case .interrupt, .notOurs:
      deliver(vector: vector, error: error, context)
    }
  }
}
