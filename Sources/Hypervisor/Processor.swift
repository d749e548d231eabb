// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization

/// One vCPU of a domain, as its guest knows it, on top of one of KVM's: what all kinds of guests have of it. What it runs,
/// how it leaves the guest, and how the guest's addresses are reached, is its subclass's.
///
/// Its own thread runs it. All of its state but the atomics is touched with the domain's lock held, and by other
/// threads only while the vCPU is not in the guest.
class Processor: @unchecked Sendable {
  unowned let domain: Domain
  let index: Int
  let virtual: VirtualCPU
  let statistics = Statistics()
  let wakeUp = WakeUp()

  var info: ProcessorInfo
  /// The frame that `info` was moved to; it keeps its owner.
  var infoFrame: MachineFrame?
  /// The guest's time-stamp counter minus the host's.
  let timeStampOffset: UInt64

  // MARK: Between threads

  /// Whether the guest wants this vCPU to run.
  let isUp = Atomic(false)
  /// The vCPU is, or is about to be, in the guest.
  let inGuest = Atomic(false)
  /// What it waits for when its thread has left the lock.
  var sleep: Sleep?
  /// It has polled, and the event channels do not know yet that it goes on.
  var isPolling = false
  /// The number of wake-ups that the guest has seen at its last yield.
  var seenGeneration: UInt64 = 0
  var wasInitialised = false
  /// The period that the thread's timer has now; 0 while it is stopped.
  private var currentSlice = 0

  /// - Parameter identification: what CPUID answers where KVM intercepts it.
  init(_ domain: Domain, index: Int, machine: VirtualMachine, identification: [CPUIDEntry]) throws(HostError)
  {
    self.domain = domain
    self.index = index
    info = domain.shared.processor(index)
    do throws(KVMError) {
      virtual = try VirtualCPU(machine, number: index)
      try virtual.setCPUID(identification)
      // Software KVM lets CPL 3 read the host's counter, whatever it keeps for the vCPU.
      let offset: UInt64? =
        domain.host.system.kind == .software
        ? 0 : virtual.modelSpecific(timeStampRegister).map { $0 &- hostTimeStamp() }
      timeStampOffset = offset ?? 0
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
        setSlice(slices, nanoseconds: slice)
        let exit = try virtual.enter()
        inGuest.store(false, ordering: .sequentiallyConsistent)
        act { handle(exit) }
      } catch {
        inGuest.store(false, ordering: .sequentiallyConsistent)
        crash("KVM gave up: \(error)")
      }
    }
  }

  /// Sets the timer of the vCPU's thread, unless it is set that way already.
  private func setSlice(_ timer: SliceTimer, nanoseconds: Int) {
    guard currentSlice != nanoseconds else { return }
    currentSlice = nanoseconds
    timer.setPeriod(nanoseconds: nanoseconds)
  }

  /// Does something with the domain's lock held.
  private func act<Result>(_ body: () -> Result) -> Result {
    domain.lock.withLock { _ in
      domain.acting = self
      defer { domain.acting = nil }
      return body()
    }
  }

  var mayRun: Bool { isUp.load(ordering: .acquiring) && !domain.isPaused }

  // MARK: What kinds of guests differ in

  /// Without an exit for so many nanoseconds it is interrupted, and looked at; 0: it is left alone.
  var slice: Int { 0 }

  /// Does what is due before the guest runs, with the domain's lock held; false if it is not to run now.
  func prepareEntry() -> Bool { abstract() }

  /// The vCPU has left the guest. Called with the domain's lock held.
  func handle(_ exit: Exit) { abstract() }

  /// An event is pending for the vCPU. Called on any thread, with the lock of the event channels held.
  func noticeEvent() { kick() }

  /// The page behind an address of the guest.
  func reach(_ address: VirtualAddress, for access: Access) throws(HypercallError) -> UnsafeMutableRawPointer
  { abstract() }

  /// The registers as some lines of text, for a person.
  func describeRegisters() -> String { abstract() }

  /// Executes a hypercall that kinds of guests have in different ways, or that not all have.
  func specialHypercall(_ hypercall: HypercallNumber, _ arguments: HypercallArguments) throws(HypercallError)
    -> Int64
  { throw .notImplemented }

  /// An operation of `memory_op`, likewise.
  func specialMemoryOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    throw .notImplemented
  }

  /// An operation of `grant_table_op`, likewise.
  func specialGrantOperation(_ operation: GrantOperation, _ block: inout ArgumentBlock)
    throws(HypercallError) -> GrantStatus
  { throw .notImplemented }

  /// `VCPUOP_initialise`: the first state of a vCPU that is down, at an address of the caller's.
  func initialise(from address: UInt64, of caller: Processor) throws(HypercallError) {
    throw .notImplemented
  }

  /// What `XENVER_get_features` says.
  var features: UInt32 { 0 }

  private func abstract() -> Never { preconditionFailure("each kind of processor has its own") }

  // MARK: For all

  var registers: UnsafeMutablePointer<Registers> { virtual.registers }
  var special: UnsafeMutablePointer<SpecialRegisters> { virtual.special }

  /// The registers as some lines of text, for a person.
  func registerLines(below heading: String) -> String {
    let general = registers.pointee
    let segments = special.pointee
    func word(_ name: String, _ value: UInt64) -> String {
      let digits = String(value, radix: 16)
      return name + " " + String(repeating: "0", count: max(0, 16 - digits.count)) + digits
    }
    let rows: [[(String, UInt64)]] = [
      [("rip", general.rip), ("rsp", general.rsp), ("flg", general.rflags), ("cr2", segments.cr2)],
      [("rax", general.rax), ("rbx", general.rbx), ("rcx", general.rcx), ("rdx", general.rdx)],
      [("rsi", general.rsi), ("rdi", general.rdi), ("rbp", general.rbp), ("r8 ", general.r8)],
      [("r9 ", general.r9), ("r10", general.r10), ("r11", general.r11), ("r12", general.r12)],
      [("r13", general.r13), ("r14", general.r14), ("r15", general.r15), ("gs ", segments.gs.base)],
    ]
    let text = rows.map { $0.map(word).joined(separator: "  ") }.joined(separator: "\n")
    return heading + "\n" + text
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
