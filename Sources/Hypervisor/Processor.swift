// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization

/// One vCPU of a domain, as its guest knows it, on top of one of KVM's.
///
/// Its own thread runs it. All of its state but the atomics is touched with the domain's lock held, and by other
/// threads only while the vCPU is not in the guest.
final class Processor: @unchecked Sendable {
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

  /// Where the guest's kernel keeps its stack for entries from user mode.
  struct KernelStack {
    var pointer: UInt64 = 0
  }

  unowned let domain: Domain
  let index: Int
  let virtual: VirtualCPU
  let pages: ProcessorPages
  let statistics = Statistics()
  let wakeUp = WakeUp()

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
  var kernelStack = KernelStack()
  /// GS base of the mode that does not run.
  var otherGSBase: UInt64 = 0
  var control0: UInt64 = 0x8005_0033
  var control4: UInt64 = 0
  var extendedControl: UInt64 = 1
  var debugRegisters = [UInt64](repeating: 0, count: 8)
  var descriptorFrames: [MachineFrame] = []
  var info: ProcessorInfo
  /// The frame that `info` was moved to; it keeps its owner.
  var infoFrame: MachineFrame?
  /// The guest's time-stamp counter minus the host's.
  let timeStampOffset: UInt64

  /// The tables to which its kernel stores entries without an exit.
  var updatable = UpdatableTables()

  // MARK: Between threads

  /// Whether the guest wants this vCPU to run.
  let isUp = Atomic(false)
  /// The vCPU is, or is about to be, in the guest.
  let inGuest = Atomic(false)
  /// Its processor may have translations that are not given any more: they are dropped before it enters again.
  let isStale = Atomic(false)
  var pagingView: PagingView {
    PagingView(processor: index, mode: mode, kernelRoot: kernelRoot, userRoot: userRoot)
  }

  /// What it waits for when its thread has left the lock.
  var sleep: Sleep?
  /// It has polled, and the event channels do not know yet that it goes on.
  var isPolling = false
  /// The number of wake-ups that the guest has seen at its last yield.
  var seenGeneration: UInt64 = 0
  var wasInitialised = false
  /// Whether it polls its console, as far as is known.
  var polling = PollingGuess()

  init(_ domain: Domain, index: Int, machine: VirtualMachine) throws(HostError) {
    self.domain = domain
    self.index = index
    let host = domain.host
    info = domain.shared.processor(index)
    pages = try ProcessorPages(
      host.memory, window: domain.window, processor: index,
      guestReachesSystemCallPort: host.system.kind == .software)
    do throws(KVMError) {
      virtual = try VirtualCPU(machine, number: index)
      try virtual.setCPUID(host.identification.table)
      // Software KVM lets CPL 3 read the host's counter, whatever it keeps for the vCPU.
      let offset: UInt64? =
        host.system.kind == .software
        ? 0 : virtual.modelSpecific(timeStampRegister).map { $0 &- hostTimeStamp() }
      timeStampOffset = offset ?? 0
      try prepare()
    } catch { throw .kvm(error) }
  }

  // MARK: The thread

  /// Runs the guest until the domain ends.
  func run() {
    VirtualCPU.acceptKicks()
    let slices = SliceTimer()
    while !domain.hasEnded {
      guard mayRun else {
        let generation = wakeUp.generation
        if !mayRun, !domain.hasEnded {
          wakeUp.wait(after: generation, nanoseconds: nil)
        }
        continue
      }
      if let sleep {
        self.sleep = nil
        statistics.count(.waits)
        setSlice(slices, nanoseconds: 0)
        wait(sleep)
        continue
      }
      let ready = act { prepareEntry() }
      guard ready else { continue }
      do throws(KVMError) {
        statistics.count(.entries)
        setSlice(slices, nanoseconds: polling.slice)
        let exit = try virtual.enter()
        inGuest.store(false, ordering: .sequentiallyConsistent)
        act { handle(exit) }
      } catch {
        inGuest.store(false, ordering: .sequentiallyConsistent)
        crash("KVM gave up: \(error)")
      }
    }
  }

  /// Does something with the domain's lock held.
  private func act<Result>(_ body: () -> Result) -> Result {
    domain.lock.withLock { _ in
      domain.acting = self
      defer { domain.acting = nil }
      return body()
    }
  }

  private var mayRun: Bool { isUp.load(ordering: .acquiring) && !domain.isPaused }

  /// Does what is due before the guest runs; false if it is not to run now.
  private func prepareEntry() -> Bool {
    virtual.clearKick()
    guard !domain.hasEnded, mayRun, hasTables else { return false }
    if isInterruptible { deliverUpcall() }
    guard !domain.hasEnded, let root = domain.pager.root(of: index, in: mode)?.address.rawValue else {
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
    if mode == .kernel { dropUnwritable(root: MachineAddress(root).frame) }
    inGuest.store(true, ordering: .sequentiallyConsistent)
    return true
  }

  private func handle(_ exit: Exit) {
    switch exit {
    case .interrupted:
      statistics.count(.interruptions)
      if !leaveInterruptedStub() { suspectPolling() }
    case .port(MonitorWindow.Port.systemCall):
      handleSystemCallPort()
    case .port(let port) where port < MonitorWindow.Port.firstShared:
      handleException(Int(port))
    case .port(let port):
      crash("an exit through port \(port), which no stub uses")
    case .halted:
      crash("the processor halted in the monitor's own code")
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
    address >= MonitorWindow.systemCall && address - MonitorWindow.systemCall < UInt64(frameSize)
  }

  /// Makes the vCPU's thread look at what has changed, wherever it is.
  func kick() {
    virtual.kick()
    wakeUp.notify()
  }

  /// Ends the domain, and says what this vCPU was doing.
  func crash(_ reason: String) {
    domain.end(.crashed(CrashReport(reason: reason, registers: describeRegisters())))
  }
}

/// IA32_TIME_STAMP_COUNTER.
private let timeStampRegister: UInt32 = 0x10
