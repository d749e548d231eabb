// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// A PV guest's side: it names machine frames, and reaches what it owns or was granted through shadow page tables.
///
/// The whole pool is the memory of its virtual machine; what keeps it from what is not its own are those tables.
final class ParavirtualSpace: GuestSpace {
  let frames: DomainFrames
  let machine: VirtualMachine
  let window: DomainWindow
  let pager: ShadowPager
  private(set) var processors: [ParavirtualProcessor] = []
  private let stub = DowngradeStub()

  /// Where the guest's kernel is supposed to map all its memory, for `noteUpdate`: that of Linux.
  var directMap: UInt64 = 0xffff_8880_0000_0000
  var grantMappings: [GrantHandle: GrantedFrame] = [:]
  /// Where the guest may poll.
  private(set) var polled: PolledFrame?

  /// The domain that it is made for, once that has vCPUs.
  var domain: Domain? { processors.first?.domain }

  init(_ configuration: DomainConfiguration, _ frames: DomainFrames, on host: Host) throws(HostError) {
    self.frames = frames
    let memory = host.memory
    do throws(KVMError) { machine = try VirtualMachine(host.system, memory: memory.file) } catch {
      throw .kvm(error)
    }
    window = try DomainWindow(
      memory, shared: host.monitor, shadowPages: Self.shadowPages(for: configuration))
    pager = ShadowPager(
      frames: frames,
      tables: host.machinery.makeShadowTables(
        memory: memory.base, frameCount: memory.frameCount, pages: window.pool,
        vcpuCount: configuration.virtualCPUCount * 2, stub: stub),
      window: window, processorCount: configuration.virtualCPUCount)
    stub.space = self
  }

  /// Room for the shadows of tables that map all memory four times over, and some.
  private static func shadowPages(for configuration: DomainConfiguration) -> Int {
    min(
      PagingLimits.shadowPageCount,
      256 + 16 * configuration.virtualCPUCount + configuration.frameCount / entriesPerTable * 4)
  }

  func makeProcessor(_ domain: Domain, index: Int) throws(HostError) -> Processor {
    let processor = try ParavirtualProcessor(domain, space: self, index: index)
    processors.append(processor)
    return processor
  }

  func begin(_ processor: Processor, _ initial: FirstState) throws(HostError) {
    guard let processor = processor as? ParavirtualProcessor, case .paravirtual(let initial) = initial else {
      throw .badConfiguration("a PV domain begins with page tables")
    }
    guard frames.owns(initial.root) else {
      throw .badConfiguration("the initial page table, machine frame \(initial.root), is not the domain's")
    }
    frames.pinned.insert(initial.root)
    pager.pin(initial.root)
    try processor.begin(root: initial.root)
    processor.registers.pointee.rsi = initial.startInfo.rawValue
    processor.resume(
      GuestContext(
        instruction: initial.entry.rawValue, codeSelector: Selector.code, flags: 0,
        stack: initial.stack.rawValue, stackSelector: Selector.data))
    processor.wasInitialised = true
    processor.isUp.store(true, ordering: .sequentiallyConsistent)
  }

  func arrive(_ frame: MachineFrame) { pager.arrive(frame) }

  func machineFrame(named number: UInt64) -> MachineFrame? { MachineFrame(number) }

  func number(of frame: GuestFrame, _ machine: MachineFrame) -> UInt64 { machine.rawValue }

  func expectPolling(of frame: PolledFrame) { polled = frame }

  func populate(_ count: Int, at number: UInt64?) throws(HypercallError) -> UInt64? {
    guard let first = frames.memory.allocate(contiguous: count, for: frames.domain) else { throw .noMemory }
    for offset in 0..<UInt64(count) {
      let frame = MachineFrame(first.rawValue + offset)
      pager.arrive(frame)
      frames.memory.machineToPhysical[frame] = number.map { $0 &+ offset } ?? MachineToPhysical.invalidEntry
    }
    return first.rawValue
  }

  func giveBack(_ number: UInt64) throws(HypercallError) {
    let frame = MachineFrame(number)
    guard frames.owns(frame), frames.memory.isUnused(frame), pager.leave(frame) else { throw .invalid }
    guard frames.memory.free(frame, ownedBy: frames.domain) else {
      pager.arrive(frame)
      throw .invalid
    }
    frames.pinned.remove(frame)
  }
}

extension ParavirtualProcessor {
  /// Gives the vCPU its page tables.
  func begin(root: MachineFrame) throws(HostError) {
    kernelRoot = root
    guard space.pager.load(kernel: root, userRoot: nil, of: index) == .okay else {
      throw .badConfiguration("the page table, machine frame \(root), can have no shadow")
    }
    hasTables = true
  }
}
