// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// The machines of a host, each beside its specification: what `lockstep run --check` runs guests on.
///
/// Nothing else in the hypervisor changes. Each machine is used by one thread at a time, as without a check; its
/// specification belongs to it alone; what they share is the monitor.
public struct CheckedMachinery: Machinery {
  public let monitor: CheckMonitor
  private let grants: GrantsMaker
  private let events: EventsMaker
  private let shadows: ShadowMaker
  private let sample: CheckSample?
  private let rings: RingMaker
  private let streams: StreamMaker

  /// How request/response rings are made: with the optimised side, or with one that a test has planted a bug in.
  public struct RingMaker: Sendable {
    let make: @Sendable (SharedRingMemory, CheckMonitor) -> any BackRing

    public init<Side: RingSide>(_ side: Side.Type) {
      // The difference of two indices matters up to the slots of a ring, at most 256; beyond, only that it is beyond.
      let model = RingModel(bits: 10)
      make = { CheckedBackRing<Side>($0, model: model, monitor: $1) }
    }
  }

  /// How byte streams are made, likewise.
  public struct StreamMaker: Sendable {
    let make: @Sendable (UnsafeMutableRawPointer, StreamRingLayout, CheckMonitor) -> any StreamRing

    public init<Reader: StreamSide, Writer: StreamSide>(_ reader: Reader.Type, _ writer: Writer.Type) {
      make = { page, layout, monitor in
        let ring = FollowedStreamRing(page: page, layout: layout, reader, writer)
        let watches = zip(ring.oracles, ring.starts).map { oracle, starts in
          (oracle: oracle, watch: monitor.watch(oracle, start: starts.map(TraceStart.init)))
        }
        ring.onOperation = { oracle in watches.first { $0.oracle === oracle }?.watch.finish() }
        ring.onDivergence = { divergence in
          for (_, watch) in watches { watch.flush() }
          watches.first?.watch.diverge(divergence)
        }
        return ring
      }
    }
  }

  /// - Parameter sample: which operations on shadow page tables are compared; nil for all. Those on the other machines all
  ///   are.
  public init(
    monitor: CheckMonitor, sample: CheckSample? = nil, grants: GrantsMaker = .optimised,
    events: EventsMaker = .optimised,
    shadows: ShadowMaker = .optimised,
    rings: RingMaker = RingMaker(OptimisedBackSide.self),
    streams: StreamMaker = StreamMaker(OptimisedStreamReader.self, OptimisedStreamWriter.self)
  ) {
    self.monitor = monitor
    self.sample = sample
    self.grants = grants
    self.events = events
    self.shadows = shadows
    self.rings = rings
    self.streams = streams
  }

  public func makeGrantTables(frames: any FrameOwnership, memory: any FrameMemory) -> any GrantTables {
    let model = GrantsModel.host(frameCount: memory.frameCount)
    let (tap, frames, oracle) = (GrantTap(names: frames), FrameTap(frames), Oracle(model.programs))
    let tables = FollowedGrantTables(
      grants.make(frames, memory, TappedGrantEntries(tap)), tap: tap, frames: frames, model: model,
      names: GrantNames(model, isOpen: true), oracle: oracle)
    let watch = monitor.watch(oracle)
    tables.onCall = { isCompared in
      if isCompared { watch.finish() } else { watch.skip(because: GrantsModel.hostLimit) }
    }
    tables.onDivergence = { watch.diverge($0) }
    return tables
  }

  public func makeEventPorts() -> any EventPorts {
    let model = EventsModel.host
    let (tap, oracle) = (EventTap(), Oracle(model.programs))
    let ports = FollowedEventPorts(
      events.make(TappedEventWords(tap)), tap: tap, model: model, names: EventNames(model), oracle: oracle)
    let watch = monitor.watch(oracle)
    ports.onCall = { isCompared in
      if isCompared { watch.finish() } else { watch.skip(because: EventsModel.hostLimit) }
    }
    ports.onDivergence = { watch.diverge($0) }
    return ports
  }

  public func makeShadowTables(
    memory: UnsafeMutableRawPointer, frameCount: Int, pages: ShadowPages, vcpuCount: Int, stub: any ShadowStub
  ) -> any ShadowTables {
    FollowedShadowTables(
      shadows, memory: memory, pages: pages, vcpuCount: vcpuCount, stub: stub,
      model: HostShadowModel(frameCount: frameCount, vcpuCount: vcpuCount), monitor: monitor, sample: sample)
  }

  public func makeBackRing(page: UnsafeMutableRawPointer, slotCount: Int, slotSize: Int) -> any BackRing {
    rings.make(SharedRingMemory(page: page, slotCount: slotCount, slotSize: slotSize), monitor)
  }

  public func makeStreamRing(page: UnsafeMutableRawPointer, layout: StreamRingLayout) -> any StreamRing {
    streams.make(page, layout, monitor)
  }
}

extension GrantsModel {
  /// Domains of a host that are modelled at a time, the host itself among them.
  private static let hostDomains = 8

  /// Why a call on a host of this program is not compared.
  static let hostLimit =
    "more than \(hostDomains) domains at a time: the grants of the last ones are not modelled"

  /// The model for a running host: as many frames as it has, and as many of all else as a domain of it can have. One
  /// more of each stands for what there is not; see `GrantNames`. Memory is taken only for what is used.
  static func host(frameCount: Int) -> GrantsModel {
    GrantsModel(
      domains: hostDomains + 1, references: 64 * GrantEntry.perFrame + 1, handles: (1 << 16) + 1,
      frames: frameCount + 1, useBits: 12)
  }
}

extension EventsModel {
  /// Domains of a host that are modelled at a time, the host itself among them.
  private static let hostDomains = 4
  /// vCPUs of a domain.
  private static let hostVCPUs = 32

  /// Why an operation on a host of this program is not compared.
  static let hostLimit =
    "more than \(hostDomains) domains at a time, or one that others named before it came: no event is modelled then"

  /// The model for a running host; see `EventNames` for what the last of each stands for.
  static var host: EventsModel {
    EventsModel(
      domains: hostDomains + 1, ports: EventLimits.portCount, vcpus: hostVCPUs + 1,
      interrupts: EventLimits.virtualInterruptCount)
  }
}
