// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Hypercalls that say where the guest wants to be entered.
extension ParavirtualProcessor {
  /// `set_trap_table`: `struct trap_info` is vector (8 bits), flags (8), cs (16), padding, address (64); the list
  /// ends with address 0. Flags: bits 0 and 1 the privilege level, bit 2 masks events.
  func setTrapTable(_ list: UInt64) throws(HypercallError) -> Int64 {
    guard list != 0 else {
      trapGates = [TrapGate](repeating: TrapGate(), count: 256)
      return 0
    }
    // A vector may stand there twice, but no list is longer than this.
    for index in 0..<512 {
      let entry = try argument(list &+ UInt64(index) * 16, byteCount: 16)
      guard entry.u64(8) != 0 else { return 0 }
      setTrapGate(Int(entry.u8(0)), flags: entry.u8(1), handler: entry.u64(8))
    }
    throw .tooBig
  }

  func setTrapGate(_ vector: Int, flags: UInt8, handler: UInt64) {
    trapGates[vector] = TrapGate(
      handler: handler, privilege: flags & 3, masksEvents: flags & 4 != 0)
  }

  /// `set_callbacks`: event, failsafe and system-call handler.
  func setCallbacks(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    eventCallback = Callback(handler: arguments.first, masksEvents: true)
    failsafeCallback = Callback(handler: arguments.second)
    systemCallCallback = Callback(handler: arguments.third)
    return 0
  }

  /// `callback_op`: `struct callback_register` is type (16 bits), flags (16), padding, address (64).
  /// Source: xen/include/public/callback.h.
  func callbackOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    let (register, unregister): (UInt64, UInt64) = (0, 1)
    guard command == register || command == unregister else { throw .notImplemented }
    let block = try argument(address, byteCount: command == register ? 16 : 8)
    let type = block.u16(0)
    if command == unregister {
      // Only that for NMIs can be taken back; none ever comes.
      guard type == 4 else { throw .invalid }
      return 0
    }
    guard VirtualAddress(block.u64(8)).isCanonical else { throw .invalid }
    let callback = Callback(handler: block.u64(8), masksEvents: block.u16(2) & 1 != 0)
    switch type {
    case 0: eventCallback = callback
    case 1: failsafeCallback = callback
    case 2: systemCallCallback = callback
    // NMIs: accepted, since kernels insist; none ever comes.
    case 4: break
    // Machine checks, SYSENTER and 32-bit SYSCALL do not reach a guest: its 32-bit code has INT 0x80.
    case 3, 5, 7: throw .notImplemented
    default: throw .invalid
    }
    return 0
  }

  /// `stack_switch`: where the kernel is entered from user mode. Its selector is always the flat one.
  func switchStack(pointer: UInt64) -> Int64 {
    kernelStack = pointer
    return 0
  }

  /// `fpu_taskswitch`.
  func switchFloatingPoint(_ set: UInt64) -> Int64 {
    setTaskSwitched(set != 0)
    return 0
  }

  /// `set_debugreg` and `get_debugreg`: kept for the guest, but no breakpoint is armed.
  func setDebugRegister(_ number: UInt64, _ value: UInt64) throws(HypercallError) -> Int64 {
    guard number < 8 else { throw .invalid }
    debugRegisters[Int(number)] = value
    return 0
  }

  func getDebugRegister(_ number: UInt64) throws(HypercallError) -> Int64 {
    guard number < 8 else { throw .invalid }
    return Int64(bitPattern: debugRegisters[Int(number)])
  }

  /// `set_segment_base`.
  func setSegmentBase(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    guard let segment = SegmentBase(rawValue: arguments.first), setSegmentBase(segment, arguments.second)
    else {
      throw .invalid
    }
    return 0
  }
}
