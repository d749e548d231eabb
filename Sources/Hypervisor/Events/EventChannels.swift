// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// The event channels of a host, and the host's own end of them.
///
/// The host is a domain like others: it has ports, and one vCPU whose words lie in memory of this process. Its handler
/// runs on whichever thread has just made an operation, when the lock is free again.
final class EventChannels: Sendable {
  private let ports: Locked<any EventPorts>
  private let back = HostEvents()

  init(_ ports: any EventPorts) {
    let back = back
    let added = ports.addDomain(
      .host, sharedInfo: back.page.base, portCount: EventLimits.portCount, virtualCPUCount: 1, recipient: back
    )
    precondition(added == .okay, "a host that is there already")
    _ = ports.register(0, of: .host, info: back.page.base)
    self.ports = Locked(ports)
  }

  /// Makes an operation, under the lock; then calls the handlers of back ends that got an event, without it.
  func perform<Result>(_ body: (any EventPorts) -> Result) -> Result {
    defer { back.serve() }
    return ports.withLock { body($0) }
  }

  // MARK: Domains

  /// Begins a domain whose vCPUs share what `infos` says. Nothing is pending.
  func addDomain(_ domain: Domain) throws(HostError) {
    let status = perform { ports in
      let added = ports.addDomain(
        domain.id, sharedInfo: domain.shared.base, portCount: EventLimits.portCount,
        virtualCPUCount: domain.processors.count, recipient: domain)
      guard added == .okay else { return added }
      for processor in domain.processors {
        _ = ports.register(processor.index, of: domain.id, info: processor.info.base)
        // A vCPU that has never run has missed nothing.
        processor.info.pendingSelector.storeShared(0)
        processor.info.upcallPending.storeShared(0)
      }
      return .okay
    }
    guard status == .okay else {
      throw .badConfiguration("the event channels take no domain \(domain.id): \(status)")
    }
  }

  /// Closes every port of a domain that has ended, and the back ends' ends of its channels.
  func removeDomain(_ domain: DomainID) {
    perform { ports in
      ports.removeDomain(domain)
      for channel in back.release(where: { $0.domain == domain }) { _ = ports.close(channel.port, of: .host) }
    }
  }

  // MARK: Back ends

  /// Binds a back end to a port that the guest, or the toolstack for it, left open for the host. The guest may have
  /// sent before anybody listened: the handler is called once.
  func bindHost(
    to domain: DomainID, _ port: EventPort, handler: @escaping @Sendable () -> Void
  ) throws(HypercallError) -> HostEventChannel {
    let (status, channel) = perform { ports in
      let bound = ports.bindInterdomain(.host, remote: domain, remotePort: port)
      let channel = HostEventChannel(
        domain: domain, remotePort: port, port: bound.port, channels: self, handler: handler)
      if bound.status == .okay { back.hold(channel) }
      return (bound.status, channel)
    }
    try status.check()
    return channel
  }

  func raise(by channel: HostEventChannel) {
    perform { ports in
      if back.holds(channel) { _ = ports.send(channel.port, by: .host) }
    }
  }

  func close(_ channel: HostEventChannel) {
    perform { ports in
      for closing in back.release(where: { $0 === channel }) { _ = ports.close(closing.port, of: .host) }
    }
  }
}

extension EventStatus {
  /// - Throws: what it says, unless all is well.
  func check() throws(HypercallError) {
    if self != .okay { throw HypercallError(rawValue: rawValue) ?? .invalid }
  }
}
