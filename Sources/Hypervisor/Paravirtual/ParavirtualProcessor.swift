// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization

/// A vCPU of a PV guest: kernel and user run at CPL 3, on shadow page tables, and leave it through the monitor's stubs.
final class ParavirtualProcessor: Processor, @unchecked Sendable {
  /// A handler in the guest for a trap. Source: xen/include/public/arch-x86/xen.h, `struct trap_info`.
  struct TrapGate {
    var handler: UInt64 = 0
    /// The lowest privilege that may name it with INT: 0 or 3.
    var privilege: UInt8 = 0
    var masksEvents = false
  }

  /// A handler in the guest for events, failed segment loads or system calls.
  struct Callback {
    var handler: UInt64 = 0
    var masksEvents = false
  }

  unowned let space: ParavirtualSpace
  let pages: ProcessorPages

  // MARK: The guest's view

  /// It has page tables to run on.
  var hasTables = false
  var mode = VirtualMode.kernel
  /// The guest's level-4 tables.
  var kernelRoot = MachineFrame(0)
  var userRoot: MachineFrame?
  var trapGates = [TrapGate](repeating: TrapGate(), count: 256)
  var eventCallback = Callback()
  var failsafeCallback = Callback()
  var systemCallCallback = Callback()
  /// Where the guest's kernel keeps its stack for entries from user mode: a word that the guest may write itself.
  var kernelStack: UInt64 {
    get { (space.window.kernelStacks + index).loadShared() }
    set { (space.window.kernelStacks + index).storeShared(newValue) }
  }
  /// GS base of the mode that does not run.
  var otherGSBase: UInt64 = 0
  var control0: UInt64 = 0x8005_0033
  var control4: UInt64 = 0
  var extendedControl: UInt64 = 1
  var debugRegisters = [UInt64](repeating: 0, count: 8)
  var descriptorFrames: [MachineFrame] = []
  /// The tables to which its kernel stores entries without an exit.
  var updatable = UpdatableTables()

  /// Its processor may have translations that are not given any more: they are dropped before it enters again.
  let isStale = Atomic(false)
  var pagingView: PagingView {
    PagingView(processor: index, mode: mode, kernelRoot: kernelRoot, userRoot: userRoot)
  }

  /// Whether it polls its console, as far as is known.
  var polling = PollingGuess()

  init(_ domain: Domain, space: ParavirtualSpace, index: Int) throws(HostError) {
    self.space = space
    let host = domain.host
    pages = try ProcessorPages(
      host.memory, window: space.window, processor: index,
      guestReachesSystemCallPort: host.system.kind == .software)
    try super.init(
      domain, index: index, machine: space.machine, identification: host.identification.table)
    do throws(KVMError) { try prepare() } catch { throw .kvm(error) }
  }

  override var slice: Int { polling.slice }

  /// Does what is due before the guest runs; false if it is not to run now.
  override func prepareEntry() -> Bool {
    virtual.clearKick()
    guard !domain.hasEnded, mayRun, hasTables else { return false }
    if isInterruptible { deliverUpcall() }
    guard !domain.hasEnded, let root = space.pager.root(of: index, in: mode)?.address.rawValue else {
      return false
    }
    if isStale.exchange(false, ordering: .sequentiallyConsistent) {
      // Any change of a control register that matters to paging makes KVM flush the vCPU's translations.
      special.pointee.cr4 ^= ControlFour.performanceCounters
      virtual.specialChanged = true
    }
    if special.pointee.cr3 != root {
      special.pointee.cr3 = root
      virtual.specialChanged = true
    }
    if mode == .kernel { dropUnreachable(root: MachineAddress(root).frame) }
    inGuest.store(true, ordering: .sequentiallyConsistent)
    return true
  }

  override func handle(_ exit: Exit) {
    switch exit {
    case .interrupted:
      statistics.count(.interruptions)
      if !leaveInterruptedStub(), !leaveInterruptFlagStub() { suspectPolling() }
    case .port(MonitorWindow.Port.systemCall):
      handleSystemCallPort()
    case .port(let port) where port < MonitorWindow.Port.firstShared:
      handleException(Int(port))
    case .port(let port):
      crash("an exit through port \(port), which no stub uses")
    case .halted:
      crash("the processor halted in the monitor's own code")
    case .failed where leaveInterruptFlagStub():
      // A KVM that cannot return from ring 0 by IRETQ.
      domain.host.monitor.withdrawInterruptFlagStub()
    case .unmapped:
      crash("the virtual processor stopped: an access outside of the machine's memory")
    case .hypercall:
      crash("an exit for a hypercall that is none of the monitor's")
    case .failed(let reason):
      crash("the virtual processor stopped: \(reason)")
    }
  }

  /// Whether the vCPU's registers are the guest's own, at CPL 3: not those of a stub, and no exception on its way.
  private var isInterruptible: Bool {
    let code = virtual.special.pointee.cs
    return code.dpl == 3 && code.selector & 3 == 3 && !virtual.exceptionPending
      && !isSystemCallPage(virtual.registers.pointee.rip) && !isAtBreakpoint
  }

  /// Whether KVM may have a breakpoint to deliver, at this instruction or behind it. If it has none, an up-call comes at
  /// the next exit, and each slice has one.
  private var isAtBreakpoint: Bool {
    guard virtual.breakpointMayBePending else { return false }
    let instruction = registers.pointee.rip
    return [instruction, instruction &- 1].contains { address in
      var byte: UInt8 = 0
      let count = withUnsafeMutableBytes(of: &byte) { copyInstruction(address, into: $0) }
      return count == 1 && byte == 0xcc
    }
  }

  func isSystemCallPage(_ address: UInt64) -> Bool {
    address >= MonitorWindow.systemCall && address < MonitorWindow.endOfSystemCall
  }

  // MARK: Hypercalls

  override func reach(_ address: VirtualAddress, for access: Access) throws(HypercallError)
    -> UnsafeMutableRawPointer
  { try reachThroughTables(address, for: access) }

  override func describeRegisters() -> String {
    registerLines(
      below: "vcpu \(index), guest \(mode == .kernel ? "kernel" : "user"), table "
        + hex(kernelRoot.address.rawValue))
  }

  override func specialHypercall(_ hypercall: HypercallNumber, _ arguments: HypercallArguments)
    throws(HypercallError) -> Int64
  { try paravirtualHypercall(hypercall, arguments) }

  override func specialMemoryOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    try paravirtualMemoryOperation(command, address)
  }

  override func specialGrantOperation(_ operation: GrantOperation, _ block: inout ArgumentBlock)
    throws(HypercallError) -> GrantStatus
  { try paravirtualGrantOperation(operation, &block) }

  override func initialise(from address: UInt64, of caller: Processor) throws(HypercallError) {
    try setInitialState(from: address, of: caller)
  }

  /// Features of submap 0: the update that keeps accessed and dirty bits, map_available_bits of grants, and page
  /// directories above 4 GiB.
  override var features: UInt32 { 1 << 4 | 1 << 5 | 1 << 7 | 1 << 13 }
}
