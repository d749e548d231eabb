// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization

/// A host: one pool of memory, the grant tables and event channels of all its domains, and the domains.
///
/// Lock order, outermost first; a thread that holds one takes only those below it:
///  1. the host's registry of domains;
///  2. a domain's lock (`Domain.state`): its page tables, vCPUs and hypercalls; two domains are never locked together;
///  3. the grant tables (`withGrants`);
///  4. the owners of frames (inside `MachineMemory`);
///  5. the event channels (inside `EventChannels`);
///  6. the back ends' channels (inside `HostEvents`);
///  7. a vCPU's wake-up state.
/// Handlers of `HostEventChannel` are called with no lock of 1 and 4 to 7 held.
public final class Host: Sendable {
  /// The machine's memory: where frames lie, and who owns them.
  public let memory: MachineMemory
  /// Makes rings for back ends; with `--check`, ones that are compared with their specification.
  public let machinery: any Machinery

  let system: System
  let monitor: MonitorPages
  let identification: Identification
  let events: EventChannels
  private let grants: Locked<any GrantTables>
  private struct Registry {
    var domains: [DomainID: Domain] = [:]
    var next: UInt16 = 1
  }
  private let registry = Mutex(Registry())

  /// Opens /dev/kvm and sets the memory aside.
  /// - Parameter guestFrames: memory for all domains together, in 4 KiB frames; add some for their shared pages
  ///   (`Domain.overheadFrames` a domain).
  public init(guestFrames: Int, machinery: any Machinery) throws(HostError) {
    do throws(KVMError) {
      system = try System()
      identification = try Identification(system)
    } catch { throw .kvm(error) }
    memory = try MachineMemory(guestFrames: guestFrames)
    monitor = try MonitorPages(memory, updatesWithoutExit: system.kind == .software)
    self.machinery = machinery
    let tables = machinery.makeGrantTables(frames: memory, memory: memory)
    _ = tables.addDomain(.host, maximumFrames: 0, maximumHandles: 1 << 16)
    grants = Locked(tables)
    events = EventChannels(machinery.makeEventPorts())
  }

  /// The grant tables, for one caller at a time. Back ends map and copy as `DomainID.host`.
  public func withGrants<Result>(_ body: (any GrantTables) throws -> Result) rethrows -> Result {
    try grants.withLock { try body($0) }
  }

  // MARK: Domains

  /// Makes a domain with its memory, all zero, and no vCPU running.
  public func createDomain(_ configuration: DomainConfiguration) throws(HostError) -> Domain {
    let number: DomainID? = registry.withLock { registry in
      var tried = 0
      while registry.domains[DomainID(registry.next)] != nil, tried < Int(DomainID.firstReserved.rawValue) {
        registry.next = registry.next + 1 < DomainID.firstReserved.rawValue ? registry.next + 1 : 1
        tried += 1
      }
      let number = DomainID(registry.next)
      guard registry.domains[number] == nil else { return nil }
      registry.next = registry.next + 1 < DomainID.firstReserved.rawValue ? registry.next + 1 : 1
      return number
    }
    guard let number else { throw .outOfDomains }
    let domain = try Domain(number, configuration, host: self)
    registry.withLock { $0.domains[number] = domain }
    return domain
  }

  /// The domain of a number, if there is one.
  public func domain(_ number: DomainID) -> Domain? { registry.withLock { $0.domains[number] } }

  /// All domains, by number.
  public var domains: [Domain] {
    registry.withLock { $0.domains.values.sorted { $0.id < $1.id } }
  }

  /// Takes a domain's memory back, once its back ends have unmapped its grants. If it still runs it is ended.
  /// - Returns: false if somebody still maps its grants: call again when they have let go.
  public func destroyDomain(_ domain: Domain) -> Bool {
    guard domain.releaseMemory() else { return false }
    registry.withLock { _ = $0.domains.removeValue(forKey: domain.id) }
    return true
  }

  /// A clock that begins now, at the rate of the processors' time-stamp counter.
  func makeClock() throws(KVMError) -> SystemClock {
    SystemClock(kilohertz: try system.timeStampKilohertz())
  }

  // MARK: Event channels

  /// Opens a port of a guest to which the host will bind: the toolstack does so for console and xenstore.
  public func allocateUnbound(for domain: Domain) throws(HypercallError) -> EventPort {
    let bound = events.perform { $0.allocateUnbound(domain.id, remote: .host) }
    try bound.status.check()
    return bound.port
  }

  /// Binds a back end to a port that a guest left open for the host.
  /// - Parameter handler: see `HostEventChannel`; called once at the binding, too.
  /// - Throws: `noSuchDomain`; `invalid` if the port is not open, or not for the host.
  public func bindInterdomain(
    domain: DomainID, remotePort: EventPort, handler: @escaping @Sendable () -> Void
  ) throws(HypercallError) -> HostEventChannel {
    try events.bindHost(to: domain, remotePort, handler: handler)
  }
}
