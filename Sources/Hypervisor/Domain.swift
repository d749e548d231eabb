// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
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

  unowned let host: Host
  let maximumGrantFrames: Int
  private let initialFrames: [MachineFrame]

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
    var frames = try host.memory.allocate(configuration.frameCount + 1, for: id)
    sharedInfo = frames.removeLast()
    initialFrames = frames
  }

  // MARK: Memory, for the builder

  /// The machine frame behind a guest frame as the domain was created; nil if there is none.
  public func machineFrame(of frame: GuestFrame) -> MachineFrame? {
    guard frame.rawValue < UInt64(initialFrames.count) else { return nil }
    return initialFrames[Int(frame.rawValue)]
  }

  /// The 4096 bytes of a guest frame; nil if there is none.
  public func bytes(of frame: GuestFrame) -> UnsafeMutableRawBufferPointer? {
    guard let machine = machineFrame(of: frame), let bytes = host.memory.bytes(of: machine) else {
      return nil
    }
    return UnsafeMutableRawBufferPointer(start: bytes, count: frameSize)
  }

  /// Writes one entry of the domain's own grant table, as the toolstack does for console (entry 0) and xenstore
  /// (entry 1) before the start.
  public func setGrant(_ reference: GrantReference, _ entry: GrantEntry) {}

  /// Fills a hypercall page: 128 slots of 32 bytes, one a hypercall number.
  public func fillHypercallPage(_ frame: GuestFrame) {}

  // MARK: Life

  /// Starts vCPU 0; the others are the guest's to bring up.
  public func start(_ initial: InitialState) throws(HostError) {}

  /// Blocks until the domain has ended and all its vCPUs have stopped.
  public func wait() -> DomainEnd { .killed }

  /// Starts, and waits for the end.
  public func run(_ initial: InitialState) throws(HostError) -> DomainEnd {
    try start(initial)
    return wait()
  }

  /// Ends the domain from outside; `wait` returns `.killed` unless it had ended already.
  public func kill() {}

  /// Ends the domain for what its guest did to memory that it shares with a back end, or the like.
  /// - Parameter reason: one line that names the cause.
  public func crash(_ reason: String) {}

  /// How often what happened since the start: exits by kind, hypercalls by name; for `--stats`.
  public var statistics: [(name: String, count: UInt64)] { [] }

  func releaseMemory() -> Bool { true }
}
