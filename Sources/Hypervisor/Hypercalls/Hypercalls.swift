// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The arguments of a hypercall: rdi, rsi, rdx, r10, r8.
struct HypercallArguments {
  var first: UInt64
  var second: UInt64
  var third: UInt64
  var fourth: UInt64
  var fifth: UInt64

  init(_ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64, _ fifth: UInt64) {
    self.first = first
    self.second = second
    self.third = third
    self.fourth = fourth
    self.fifth = fifth
  }
}

extension Processor {
  /// Executes a hypercall with the domain's lock held; the result is the guest's rax.
  func hypercall(_ number: UInt64, _ arguments: HypercallArguments, inMulticall: Bool = false) -> Int64 {
    statistics.count(hypercall: number)
    guard let hypercall = HypercallNumber(rawValue: number) else {
      return HypercallError.notImplemented.rawValue
    }
    do throws(HypercallError) {
      return try dispatch(hypercall, arguments, inMulticall: inMulticall)
    } catch { return error.rawValue }
  }

  private func dispatch(_ hypercall: HypercallNumber, _ arguments: HypercallArguments, inMulticall: Bool)
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
    case .memoryOperation: return try memoryOperation(arguments.first, arguments.second)
    case .multicall:
      guard !inMulticall else { throw .invalid }
      return try multicall(arguments.first, count: arguments.second)
    case .updateVirtualMapping: return try updateVirtualMapping(arguments)
    case .setTimer: return setTimer(arguments.first)
    case .version: return try version(arguments.first, arguments.second)
    case .consoleIO: return try consoleIO(arguments)
    case .grantTableOperation: return try grantTableOperation(arguments)
    case .virtualMachineAssist: return try assist(arguments)
    case .virtualCPUOperation: return try virtualCPUOperation(arguments)
    case .setSegmentBase: return try setSegmentBase(arguments)
    case .extendedMMUOperation: return try extendedMMUOperations(arguments)
    case .schedulerOperation: return try schedulerOperation(arguments.first, arguments.second)
    case .callbackOperation: return try callbackOperation(arguments.first, arguments.second)
    case .eventChannelOperation: return try eventChannelOperation(arguments.first, arguments.second)
    case .physicalDeviceOperation: return try physicalDeviceOperation(arguments.first)
    // iret is taken where it comes in, in a multicall too.
    case .interruptReturn, .platformOperation: throw .notImplemented
    }
  }

  /// `HYPERVISOR_multicall`: `struct multicall_entry` is op, result, args[6]; 64 bytes.
  ///
  /// An iret among them ends the list: what follows must not run with the rights of the kernel that was left.
  private func multicall(_ list: UInt64, count: UInt64) throws(HypercallError) -> Int64 {
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

  /// Does something for each element of a guest's list, as long as the domain lives.
  ///
  /// A list may be long: it costs its own domain's time alone, and ends when the domain is ended.
  /// - Parameter isOver: ends the list early.
  func forEach(
    _ count: UInt64, until isOver: () -> Bool = { false },
    _ body: (UInt64) throws(HypercallError) -> Void
  ) throws(HypercallError) {
    var index: UInt64 = 0
    while index < count, !isOver() {
      if index & 63 == 63, domain.hasEnded { throw .tryAgain }
      try body(index)
      index += 1
    }
  }

  /// Resolves DOMID_SELF; a guest has no say in another domain.
  func requireSelf(_ domain: DomainID) throws(HypercallError) {
    guard domain == .current || domain == self.domain.id else { throw .notPermitted }
  }

  /// A vCPU of this domain by number.
  func peer(_ number: UInt64) throws(HypercallError) -> Processor {
    guard number < UInt64(domain.processors.count) else { throw .noEntry }
    return domain.processors[Int(number)]
  }
}
