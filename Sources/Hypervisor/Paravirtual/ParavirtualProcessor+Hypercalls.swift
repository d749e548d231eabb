// SPDX-License-Identifier: Apache-2.0

import Interfaces

extension ParavirtualProcessor {
  /// Hypercalls that only PV guests have.
  func paravirtualHypercall(_ hypercall: HypercallNumber, _ arguments: HypercallArguments)
    throws(HypercallError) -> Int64
  {
    switch hypercall {
    case .setTrapTable: return try setTrapTable(arguments.first)
    case .mmuUpdate: return try mmuUpdate(arguments)
    case .setGDT: return try setDescriptorTable(arguments.first, entries: arguments.second)
    case .stackSwitch: return switchStack(pointer: arguments.second)
    case .setCallbacks: return try setCallbacks(arguments)
    case .fpuTaskSwitch: return switchFloatingPoint(arguments.first)
    case .setDebugRegister: return try setDebugRegister(arguments.first, arguments.second)
    case .getDebugRegister: return try getDebugRegister(arguments.first)
    case .updateDescriptor: return try updateDescriptor(MachineAddress(arguments.first), arguments.second)
    case .multicall: return try multicall(arguments.first, count: arguments.second)
    case .updateVirtualMapping: return try updateVirtualMapping(arguments)
    case .virtualMachineAssist: return try assist(arguments)
    case .setSegmentBase: return try setSegmentBase(arguments)
    case .extendedMMUOperation: return try extendedMMUOperations(arguments)
    case .callbackOperation: return try callbackOperation(arguments.first, arguments.second)
    case .physicalDeviceOperation: return try physicalDeviceOperation(arguments.first)
    // iret is taken where it comes in, in a multicall too. The others are every guest's.
    default: throw .notImplemented
    }
  }

  /// `HYPERVISOR_multicall`: `struct multicall_entry` is op, result, args[6]; 64 bytes.
  ///
  /// An iret among them ends the list: what follows must not run with the rights of the kernel that was left.
  func multicall(_ list: UInt64, count: UInt64) throws(HypercallError) -> Int64 {
    var isOver = false
    try forEach(count & 0xffff_ffff, until: { isOver }) { index throws(HypercallError) in
      let entry = list &+ index &* 64
      let call = try argument(entry, byteCount: 56)
      if call.u64(0) == HypercallNumber.interruptReturn.rawValue {
        statistics.count(hypercall: call.u64(0))
        interruptReturn()
        isOver = true
        return
      }
      let result = hypercall(
        call.u64(0),
        HypercallArguments(call.u64(16), call.u64(24), call.u64(32), call.u64(40), call.u64(48)),
        inMulticall: true)
      try write(result, to: entry &+ 8)
    }
    return isOver ? Int64(bitPattern: registers.pointee.rax) : 0
  }

  // MARK: memory_op

  /// The operation of `memory_op` that only PV guests have. Source: xen/include/public/memory.h.
  func paravirtualMemoryOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    let machphysMapping: UInt64 = 12
    guard command == machphysMapping else { throw .notImplemented }
    return try writeMachphysMapping(address)
  }

  /// `struct xen_machphys_mapping`: v_start, v_end, max_mfn.
  private func writeMachphysMapping(_ address: UInt64) throws(HypercallError) -> Int64 {
    var block = ArgumentBlock()
    let memory = domain.frames.memory
    block.set(0, u64: MonitorWindow.machineToPhysical)
    block.set(8, u64: MonitorWindow.machineToPhysical + UInt64(memory.machineToPhysical.byteCount))
    block.set(16, u64: UInt64(memory.frameCount - 1))
    try reply(block, byteCount: 24, to: address)
    return 0
  }

  // MARK: Small ones

  /// `vm_assist`: enable (0) or disable (1) one of the known kinds. None needs anything done here: page tables are
  /// always writable the way that the ABI wants, and 32-bit segments are always whole.
  func assist(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    let knownKinds: UInt64 = 6
    let strictTable: UInt64 = 32
    guard arguments.first <= 1, arguments.second < knownKinds || arguments.second == strictTable else {
      throw .invalid
    }
    return 0
  }

  /// `physdev_op`: a virtual I/O privilege level and port bitmap are accepted, and give nothing.
  func physicalDeviceOperation(_ command: UInt64) throws(HypercallError) -> Int64 {
    let setPrivilegeLevel: UInt64 = 6
    let setPortBitmap: UInt64 = 7
    guard command == setPrivilegeLevel || command == setPortBitmap else { throw .notImplemented }
    return 0
  }
}
