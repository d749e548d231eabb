// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What an exception at CPL 3 leads to: a mended shadow, an emulated instruction, or the guest's own handler.
extension Processor {
  func handleException(_ vector: Int) {
    statistics.count(vector: vector)
    guard let frame = pages.exceptionFrame(at: registers.pointee.rsp, hasError: Vector.hasError(vector))
    else {
      crash("exception \(vector) left no frame on the monitor's stack")
      return
    }
    let fault = VirtualAddress(special.pointee.cr2)
    guard frame.codeSelector & 3 == 3 else {
      crash("exception \(vector) in the monitor's own code at \(hex(frame.instruction)), address \(fault)")
      return
    }
    let context = GuestContext(
      instruction: frame.instruction, codeSelector: frame.codeSelector, flags: frame.flags,
      stack: frame.stack,
      stackSelector: frame.stackSelector)
    registers.pointee.rsp = frame.stack
    switch vector {
    case Vector.pageFault:
      handlePageFault(fault, PageFaultError(rawValue: frame.error), context)
    case Vector.generalProtection, Vector.invalidOpcode:
      handlePrivileged(vector, frame.error, context)
    default:
      deliver(vector: vector, error: frame.error, context)
    }
  }

  private func handlePageFault(_ address: VirtualAddress, _ error: PageFaultError, _ context: GuestContext) {
    guard let pager else { return }
    do throws(HostError) {
      switch try pager.fault(at: address, error: error, in: mode) {
      case .resume:
        statistics.count(.shadowFills)
        resume(context)
      case .reflect(let code):
        statistics.count(.reflectedFaults)
        info.faultAddress.storeShared(address.rawValue)
        deliver(vector: Vector.pageFault, error: code, context)
      case .wild(let entry):
        crash(entry.description)
      }
    } catch {
      crash("the shadow page tables could not be filled: \(error)")
    }
  }

  /// Instructions that only ring 0 may execute, or that are asked to trap, and INT with a gate that allows it.
  private func handlePrivileged(_ vector: Int, _ error: UInt64, _ context: GuestContext) {
    var emulator = InstructionEmulator(self, context)
    switch emulator.run() {
    case .done(let after):
      statistics.count(.emulations)
      resume(after)
    case .interrupt(let number, let after)
    where trapGates[number].privilege == 3 && trapGates[number].handler != 0:
      let gate = trapGates[number]
      bounce(to: gate.handler, masksEvents: gate.masksEvents, error: nil, after)
    case .interrupt, .notOurs:
      deliver(vector: vector, error: error, context)
    }
  }
}
