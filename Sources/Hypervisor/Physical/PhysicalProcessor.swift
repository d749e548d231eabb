// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization

/// A vCPU of a PVH guest: it has all privilege levels and a local APIC, and leaves the guest for hypercalls and for what is
/// not there. It waits without leaving it.
final class PhysicalProcessor: Processor, @unchecked Sendable {
  unowned let space: PhysicalSpace
  /// The interrupt that tells the guest of events; 0: it has not said.
  private let upcallVector = Atomic<UInt8>(0)
  /// There was an interrupt that its local APIC did not take.
  private let isUpcallDue = Atomic(false)

  init(_ domain: Domain, space: PhysicalSpace, index: Int) throws(HostError) {
    self.space = space
    try super.init(
      domain, index: index, machine: space.machine,
      identification: domain.host.identification.physicalTable(for: index, of: domain.id))
    // Such a guest masks its interrupts, not its up-calls.
    info.upcallMask.storeShared(0)
  }

  override func prepareEntry() -> Bool {
    virtual.clearKick()
    guard !domain.hasEnded, mayRun else { return false }
    if isPolling {
      isPolling = false
      if domain.host.events.perform({ $0.resume(index, of: domain.id) }) {
        info.upcallMask.storeShared(0)
        raiseUpcall()
      }
    }
    if isUpcallDue.exchange(false, ordering: .sequentiallyConsistent), info.isPending { raiseUpcall() }
    inGuest.store(true, ordering: .sequentiallyConsistent)
    return true
  }

  override func handle(_ exit: Exit) {
    switch exit {
    case .interrupted: statistics.count(.interruptions)
    case .hypercall: virtual.endHypercall(answer(virtual.hypercall))
    case .port(SleepPort.control) where !virtual.isPortInput: enterSleep(virtual.portOutput)
    case .port:
      statistics.count(.emulations)
      virtual.endPortAccess()
    case .unmapped:
      statistics.count(.emulations)
      virtual.endMemoryAccess()
    case .halted: crash("the processor halted without an interrupt controller")
    case .failed(let reason): crash("the virtual processor stopped: \(reason)")
    }
  }

  /// The guest has no power button, but a switch.
  private func enterSleep(_ value: UInt8) {
    if value & SleepPort.enable != 0, value >> 2 & 7 == SleepPort.off { domain.end(.poweroff) }
  }

  // MARK: Events

  /// The guest wants to be told of this vCPU's events by an interrupt of its local APIC.
  func setUpcallVector(_ vector: UInt8) {
    upcallVector.store(vector, ordering: .sequentiallyConsistent)
    if info.isPending { raiseUpcall() }
  }

  override func noticeEvent() {
    raiseUpcall()
    wakeUp.notify()
    if isUpcallDue.load(ordering: .sequentiallyConsistent) { virtual.kick() }
  }

  /// Interrupts the guest. Its local APIC may be off: then it is tried again until it is on.
  private func raiseUpcall() {
    let vector = upcallVector.load(ordering: .sequentiallyConsistent)
    guard vector != 0 else { return }
    statistics.count(.upcalls)
    let isTaken = space.machine.interrupt(index, vector: vector)
    isUpcallDue.store(!isTaken, ordering: .sequentiallyConsistent)
  }

  /// While an up-call is due there is an exit from time to time, to try it again.
  override var slice: Int {
    isUpcallDue.load(ordering: .sequentiallyConsistent) ? PollingGuess.longSlice : 0
  }

  // MARK: Hypercalls

  /// Only 64-bit kernels call.
  private func answer(_ call: VirtualCPU.Hypercall) -> Int64 {
    guard call.isKernels else { return HypercallError.notPermitted.rawValue }
    guard call.is64Bit else { return HypercallError.notImplemented.rawValue }
    let given = call.arguments
    return hypercall(call.number, HypercallArguments(given[0], given[1], given[2], given[3], given[4]))
  }

  override func reach(_ address: VirtualAddress, for access: Access) throws(HypercallError)
    -> UnsafeMutableRawPointer
  {
    // Rights are the guest kernel's own affair: what it reaches is its own in any case.
    guard let physical = virtual.guestPhysicalAddress(of: address.rawValue & ~0xfff),
      let frame = space.map[GuestFrame(physical >> 12)], let bytes = domain.frames.memory.bytes(of: frame)
    else { throw .badAddress }
    return bytes
  }

  override func describeRegisters() -> String {
    let code = special.pointee.cs.selector
    return registerLines(
      below: "vcpu \(index), code segment \(hex(UInt64(code))), table \(hex(special.pointee.cr3))")
  }

  override func specialHypercall(_ hypercall: HypercallNumber, _ arguments: HypercallArguments)
    throws(HypercallError) -> Int64
  {
    guard hypercall == .hardwareMachineOperation else { throw .notImplemented }
    return try hardwareMachineOperation(arguments.first, arguments.second)
  }

  override func specialMemoryOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    try physicalMapOperation(command, address)
  }

  /// Features of submap 0: memory that the guest numbers itself (auto_translated_physmap), up-calls by interrupts
  /// (hvm_callback_vector), and a clock that it may read (hvm_safe_pvclock).
  override var features: UInt32 { 1 << 2 | 1 << 8 | 1 << 9 }
}
