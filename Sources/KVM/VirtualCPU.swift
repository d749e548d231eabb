// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc
import Synchronization

/// General registers of a vCPU (`struct kvm_regs`).
public typealias Registers = kvm_regs
/// Segments, control registers and the like (`struct kvm_sregs`).
public typealias SpecialRegisters = kvm_sregs
/// One segment register (`struct kvm_segment`).
public typealias Segment = kvm_segment

/// Why a vCPU stopped running.
public enum Exit: Sendable, Hashable {
  /// An OUT to a port, or an IN from one; the port's number.
  case port(UInt16)
  /// A load or store that found no memory.
  case unmapped
  /// A hypercall by Xen's convention, if the machine asked to be told of them.
  case hypercall
  /// Somebody kicked it, or a signal came.
  case interrupted
  /// It executed HLT.
  case halted
  /// It can make no progress: the cause, in a few words.
  case failed(String)
}

/// A vCPU. One thread runs it; only `kick` may be called from others.
///
/// The registers lie in memory shared with KVM: after `run` they are the guest's, and what is changed in them
/// counts if `registersChanged` is set before the next `run`.
public final class VirtualCPU: @unchecked Sendable {
  /// The general registers.
  public let registers: UnsafeMutablePointer<Registers>
  /// Segments and control registers.
  public let special: UnsafeMutablePointer<SpecialRegisters>
  /// Set it after a change of `registers` or `special`; `run` clears it.
  public var registersChanged = false
  /// Set it after a change of `special` alone, which may be made while an exception is pending too: KVM forgets the
  /// exception when general registers are written. `run` clears it.
  public var specialChanged = false

  let descriptor: Int32
  private let machine: VirtualMachine
  let run: UnsafeMutablePointer<kvm_run>
  private let events: UnsafeMutablePointer<kvm_vcpu_events>
  /// The thread inside KVM_RUN, or 0.
  private let runner = Atomic<UInt>(0)

  /// Makes vCPU number `number` of a machine.
  public init(_ machine: VirtualMachine, number: Int) throws(KVMError) {
    self.machine = machine
    descriptor = kvm_call(machine.descriptor, kvm_request_create_vcpu, UInt(number))
    guard descriptor >= 0 else { throw .failed(operation: "KVM_CREATE_VCPU", errno: errno) }
    let size = machine.system.runByteCount
    guard let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      mapped != MAP_FAILED
    else {
      let reason = errno
      close(descriptor)
      throw .failed(operation: "mapping a vCPU", errno: reason)
    }
    run = mapped.assumingMemoryBound(to: kvm_run.self)
    let synchronised = kvm_run_registers(run)
    registers = kvm_sync_general(synchronised)
    special = kvm_sync_special(synchronised)
    events = kvm_sync_events(synchronised)
    run.pointee.kvm_valid_regs = UInt64(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)
    Self.installKickHandler
  }

  deinit {
    munmap(run, machine.system.runByteCount)
    close(descriptor)
  }

  /// Whether KVM still has an exception to deliver when the vCPU runs next. It does not say so of breakpoints.
  public var exceptionPending: Bool {
    events.pointee.exception.injected != 0 || events.pointee.exception.pending != 0
  }

  /// Whether KVM may have a breakpoint (INT3) to deliver when the vCPU runs next: it does not report those, since
  /// it expects the instruction to be executed again. But software KVM is already past it, and one that is forgotten
  /// is lost. What it does report is the vector, of the latest exception that there was.
  public var breakpointMayBePending: Bool {
    wasInterrupted && events.pointee.exception.nr == Self.breakpointVector
  }
  private static let breakpointVector: UInt8 = 3
  private var wasInterrupted = false

  /// Reads the registers as they are after creation, so that they can be changed before the first `run`.
  public func readRegisters() throws(KVMError) {
    guard kvm_call_pointer(descriptor, kvm_request_get_regs, registers) == 0,
      kvm_call_pointer(descriptor, kvm_request_get_sregs, special) == 0
    else { throw .failed(operation: "reading a vCPU's registers", errno: errno) }
  }

  /// Writes the registers at once, and so finds out whether KVM takes them.
  public func writeRegisters() throws(KVMError) {
    guard kvm_call_pointer(descriptor, kvm_request_set_sregs, special) == 0,
      kvm_call_pointer(descriptor, kvm_request_set_regs, registers) == 0
    else { throw .failed(operation: "setting a vCPU's registers", errno: errno) }
  }

  /// Lets kicks reach the calling thread: whoever made it may have had signals blocked, and it has inherited that.
  /// Call it once in the thread that is to `enter`.
  public static func acceptKicks() {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, kickSignal)
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }

  /// Runs until the next exit.
  public func enter() throws(KVMError) -> Exit {
    let general = registersChanged ? KVM_SYNC_X86_REGS : 0
    let others = registersChanged || specialChanged ? KVM_SYNC_X86_SREGS : 0
    run.pointee.kvm_dirty_regs = UInt64(general | others)
    registersChanged = false
    specialChanged = false
    runner.store(UInt(pthread_self()), ordering: .sequentiallyConsistent)
    let result = kvm_call(descriptor, kvm_request_run, 0)
    let reason = errno
    runner.store(0, ordering: .sequentiallyConsistent)
    wasInterrupted = result < 0 || run.pointee.exit_reason == UInt32(KVM_EXIT_INTR)
    if result < 0 {
      if reason == EFAULT { return .failed("an access to a frame that is not there") }
      guard reason == EINTR || reason == EAGAIN else { throw .failed(operation: "KVM_RUN", errno: reason) }
      return .interrupted
    }
    switch run.pointee.exit_reason {
    case UInt32(KVM_EXIT_IO): return .port(kvm_run_io_port(run))
    case UInt32(KVM_EXIT_INTR): return .interrupted
    case UInt32(KVM_EXIT_HLT): return .halted
    case UInt32(KVM_EXIT_SHUTDOWN): return .failed("a triple fault")
    case UInt32(KVM_EXIT_MMIO): return .unmapped
    case UInt32(KVM_EXIT_XEN): return .hypercall
    case UInt32(KVM_EXIT_FAIL_ENTRY):
      return .failed("the processor refused its state, reason \(kvm_run_entry_failure_reason(run))")
    case UInt32(KVM_EXIT_INTERNAL_ERROR):
      return .failed("KVM could not go on, internal error \(kvm_run_internal_suberror(run))")
    case let reason: return .failed("an exit of kind \(reason)")
    }
  }

  /// Makes the vCPU leave the guest soon; if it is not in the guest, its next `enter` returns at once.
  public func kick() {
    kvm_run_set_immediate_exit(run, 1)
    let thread = runner.load(ordering: .sequentiallyConsistent)
    if thread != 0 { pthread_kill(pthread_t(thread), kickSignal) }
  }

  /// Forgets kicks. What a kick is about must be looked at afterwards, before the next `enter`.
  public func clearKick() { kvm_run_set_immediate_exit(run, 0) }

  /// A handler that does nothing: the signal only interrupts KVM_RUN.
  private static let installKickHandler: Void = {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in }
    sigaction(kickSignal, &action, nil)
  }()
}

/// The signal that kicks vCPUs; the process uses it for nothing else.
let kickSignal = SIGUSR1
