// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization

/// A domain: memory, vCPUs, and what the toolstack does with them.
///
/// The builder fills the memory in and calls `start`; `wait` returns when the domain has ended; then
/// `Host.destroyDomain` takes the memory back.
public final class Domain: @unchecked Sendable {
  /// As many as there are `vcpu_info` structures in the shared page.
  public static let maximumVirtualCPUs = 32
  /// Frames that a domain takes from the host's pool beside its memory: shared page, grant table.
  public static let overheadFrames = 65

  public let id: DomainID
  public let name: String
  /// The memory's size in frames: guest frames are 0 ..< frameCount.
  public let frameCount: Int
  public let virtualCPUCount: Int
  /// The machine frame of the shared page (`struct shared_info`); `start_info.shared_info` is its address.
  public let sharedInfo: MachineFrame

  /// The host keeps the domain until `Host.destroyDomain`.
  let host: Host
  let maximumGrantFrames: Int
  let initialFrames: [MachineFrame]
  let shared: SharedInfo
  let clock: SystemClock
  let timers: TimerThread

  /// The lock of everything below, and of the vCPUs' state. See `Host` for the order of locks.
  let lock = Mutex(())
  let frames: DomainFrames
  /// What makes them the guest's memory.
  let space: any GuestSpace
  /// The vCPU whose thread holds the lock, if it is one's.
  var acting: Processor?
  /// The frames of the domain's own grant table.
  var grantFrames: [MachineFrame] = []
  /// The guest's watchdogs that are set, of `watchdogCount`: see `SCHEDOP_watchdog`.
  var watchdogs: Set<Int> = []
  static let watchdogCount = 2
  /// Frames that count against the domain's size. Another domain that transfers a frame here adds to it.
  let currentFrames: Atomic<Int>
  private(set) var processors: [Processor] = []

  /// What the guest writes to the emergency console (`console_io`); set it before the start. Called on a vCPU's
  /// thread: be quick, and call nothing of this domain.
  public var emergencyConsole: (@Sendable ([UInt8]) -> Void)?

  struct Life {
    var end: DomainEnd?
    var threads: [Thread] = []
    /// Threads that have not come to their end.
    var running = 0
    var started = false
    /// The shared page, the grant table and the like are no longer held.
    var letGo = false
  }
  /// Notified when a thread has come to its end.
  let threadEnded = WakeUp()
  let life = Mutex(Life())
  /// Set with, and read more cheaply than, `Life.end`.
  let ended = Atomic(false)
  /// No vCPU enters the guest while this is set.
  let paused = Atomic(false)

  init(_ id: DomainID, _ configuration: DomainConfiguration, host: Host) throws(HostError) {
    guard configuration.frameCount > 0 else { throw .badConfiguration("a domain needs some memory") }
    guard (1...Self.maximumVirtualCPUs).contains(configuration.virtualCPUCount) else {
      throw .badConfiguration("a domain has 1 to \(Self.maximumVirtualCPUs) vcpus")
    }
    guard (1...64).contains(configuration.maximumGrantFrames) else {
      throw .badConfiguration("a grant table has 1 to 64 frames")
    }
    self.id = id
    self.host = host
    name = configuration.name
    frameCount = configuration.frameCount
    virtualCPUCount = configuration.virtualCPUCount
    maximumGrantFrames = configuration.maximumGrantFrames
    currentFrames = Atomic(configuration.frameCount)

    let memory = host.memory
    var allocated = try memory.allocate(configuration.frameCount + 2, for: id)
    guard let table = allocated.popLast(), let page = allocated.popLast(), let bytes = memory.bytes(of: page)
    else {
      throw .outOfFrames(needed: configuration.frameCount + 2, free: 0)
    }
    sharedInfo = page
    shared = SharedInfo(base: bytes)
    grantFrames = [table]
    if configuration.type.wantsFramesInOrder { allocated.sort() }
    Self.keepApart(&allocated)
    initialFrames = allocated
    frames = DomainFrames(id, memory: memory)
    // The shared page and the grant table stay the domain's, whatever it gives away.
    _ = memory.retain(page, ownedBy: id)
    _ = memory.retain(table, ownedBy: id)
    for (index, frame) in allocated.enumerated() { memory.machineToPhysical[frame] = UInt64(index) }

    do throws(HostError) {
      do throws(KVMError) { clock = try host.makeClock() } catch { throw .kvm(error) }
      space = try configuration.type.makeSpace(configuration, frames, initial: allocated, on: host)
    } catch {
      memory.release(page)
      memory.release(table)
      _ = memory.freeAll(ownedBy: id)
      throw error
    }
    for frame in allocated + [page, table] { space.arrive(frame) }
    let number = id
    let events = host.events
    let processorCount = configuration.virtualCPUCount
    timers = TimerThread(count: processorCount + Self.watchdogCount, clock: clock) { [weak host] timer in
      if timer < processorCount {
        events.perform { $0.raiseVirtualInterrupt(VirtualInterrupt.timer, on: timer, of: number) }
      } else {
        host?.domain(number)?.crash("the guest's watchdog was not set anew in time")
      }
    }
    try finishInitialisation()
  }

  private func finishInitialisation() throws(HostError) {
    let wallClock = clock.wallClockOrigin
    shared.setWallClock(seconds: wallClock.seconds, nanoseconds: wallClock.nanoseconds)
    for index in 0..<Self.maximumVirtualCPUs { shared.processor(index).upcallMask.storeShared(1) }
    do throws(HostError) {
      for index in 0..<virtualCPUCount {
        let processor = try space.makeProcessor(self, index: index)
        clock.publish(to: processor.info, offset: processor.timeStampOffset)
        processors.append(processor)
      }
      try beginGrantTable()
      try host.events.addDomain(self)
    } catch {
      _ = releaseMemory()
      throw error
    }
  }

  /// The number of a watchdog's timer: they follow those of the vCPUs.
  func watchdogTimer(_ index: Int) -> Int { virtualCPUCount + index }

  /// Sees to it that no frame has the same number as a machine's and as the guest's: what mixes them up is seen.
  private static func keepApart(_ frames: inout [MachineFrame]) {
    for index in frames.indices where frames[index].rawValue == UInt64(index) {
      frames.swapAt(index, index == 0 ? frames.count - 1 : index - 1)
    }
  }

  /// Names the guest frame of a ring that the guest may poll without a hypercall, its console's: a guest that does
  /// nothing else is put to sleep until an event comes, or for some milliseconds. Call it before the start.
  /// - Parameter indexOffset: where the ring's indices lie in the frame, 16 bytes; a multiple of 8.
  public func expectPolling(of frame: GuestFrame, indexOffset: Int) {
    precondition(indexOffset >= 0 && indexOffset % 8 == 0 && indexOffset <= frameSize - 16)
    guard let machine = machineFrame(of: frame) else { return }
    space.expectPolling(of: PolledFrame(frame: machine, indexOffset: indexOffset))
  }

  /// How often what happened since the start, summed over the vCPUs: exits, hypercalls and exceptions by name.
  public var statistics: [(name: String, count: UInt64)] {
    guard var total = processors.first?.statistics.all else { return [] }
    for processor in processors.dropFirst() {
      for (index, counter) in processor.statistics.all.enumerated() { total[index].count += counter.count }
    }
    return total.filter { $0.count > 0 }
  }
}

/// Virtual interrupts by number. Source: xen/include/public/xen.h, `VIRQ_*`.
enum VirtualInterrupt {
  static let timer: UInt32 = 0
}
