// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// The event channels of a host: who may send to whom, and which port that is at the other end.
///
/// One lock over all of them; handlers of back ends run without it.
final class EventChannels: Sendable {
  private struct State {
    var domains: [DomainID: EventPorts] = [:]
  }
  private let state = Mutex(State())

  /// Begins a domain without ports.
  func addDomain(_ domain: DomainID, sink: any EventSink) {
    state.withLock { $0.domains[domain] = EventPorts(sink: sink) }
  }

  /// Closes every port of a domain that has ended.
  func removeDomain(_ domain: DomainID) {
    state.withLock { state in
      guard let ports = state.domains[domain] else { return }
      for index in ports.ports.indices { Self.close(EventPort(UInt32(index)), of: domain, in: &state) }
      state.domains[domain] = nil
    }
  }

  // MARK: Back ends

  /// Binds a back end to a port that the guest, or the toolstack for it, left open for the host.
  func bindHost(
    to domain: DomainID, _ port: EventPort, handler: @escaping @Sendable () -> Void
  ) throws(HypercallError) -> HostEventChannel {
    let channel = HostEventChannel(domain: domain, remotePort: port, channels: self, handler: handler)
    try access { state throws(HypercallError) in
      guard var bound = state.domains[domain]?[port] else { throw .invalid }
      guard case .unbound(remote: .host) = bound.binding else { throw .invalid }
      bound.binding = .host(channel)
      state.domains[domain]?[port] = bound
    }
    // The guest may have sent before anybody listened: the back end looks once.
    handler()
    return channel
  }

  func raise(by channel: HostEventChannel) {
    state.withLock { state in
      guard let (bound, sink) = Self.guestEnd(of: channel, in: state) else { return }
      sink.deliver(channel.remotePort, to: bound.vcpu)
    }
  }

  func close(_ channel: HostEventChannel) {
    state.withLock { state in
      guard var (bound, _) = Self.guestEnd(of: channel, in: state) else { return }
      bound.binding = .unbound(remote: .host)
      state.domains[channel.domain]?[channel.remotePort] = bound
    }
  }

  private static func guestEnd(of channel: HostEventChannel, in state: State) -> (
    EventPortState, any EventSink
  )? {
    guard let ports = state.domains[channel.domain], let bound = ports[channel.remotePort],
      case .host(let current) = bound.binding, current === channel
    else { return nil }
    return (bound, ports.sink)
  }

  // MARK: Guests

  /// `EVTCHNOP_alloc_unbound`.
  func allocateUnbound(for domain: DomainID, remote: DomainID) throws(HypercallError) -> EventPort {
    try allocate(EventPortState(binding: .unbound(remote: remote)), for: domain)
  }

  /// `EVTCHNOP_bind_interdomain`, between two guests.
  func bindInterdomain(
    _ domain: DomainID, to remote: DomainID, _ remotePort: EventPort
  ) throws(HypercallError) -> EventPort {
    try access { state throws(HypercallError) in
      guard state.domains[remote] != nil else { throw .noSuchDomain }
      guard var other = state.domains[remote]?[remotePort], case .unbound(remote: domain) = other.binding
      else {
        throw .invalid
      }
      let binding = EventPortState.Binding.interdomain(remote: remote, port: remotePort)
      guard let port = try state.domains[domain]?.allocate(EventPortState(binding: binding)) else {
        throw .noSuchDomain
      }
      other.binding = .interdomain(remote: domain, port: port)
      state.domains[remote]?[remotePort] = other
      // The remote end may have sent before: the one who binds looks once.
      state.domains[domain]?.sink.deliver(port, to: 0)
      return port
    }
  }

  /// `EVTCHNOP_bind_virq`. A vCPU has each virtual interrupt once.
  func bindVirtualInterrupt(
    _ number: UInt32, on vcpu: Int, of domain: DomainID
  ) throws(HypercallError) -> EventPort {
    try access { state throws(HypercallError) in
      let bound = state.domains[domain]?.ports.contains { port in
        guard case .virtualInterrupt(number) = port.binding else { return false }
        return port.vcpu == vcpu
      }
      if bound == true { throw .exists }
      let port = EventPortState(binding: .virtualInterrupt(number), vcpu: vcpu)
      guard let number = try state.domains[domain]?.allocate(port) else { throw .noSuchDomain }
      return number
    }
  }

  /// `EVTCHNOP_bind_ipi`.
  func bindInterprocessor(on vcpu: Int, of domain: DomainID) throws(HypercallError) -> EventPort {
    try allocate(EventPortState(binding: .interprocessor, vcpu: vcpu), for: domain)
  }

  /// `EVTCHNOP_close`.
  func close(_ port: EventPort, of domain: DomainID) throws(HypercallError) {
    try access { state throws(HypercallError) in
      guard state.domains[domain]?[port] != nil else { throw .invalid }
      Self.close(port, of: domain, in: &state)
    }
  }

  /// `EVTCHNOP_send`: raises the event at the other end.
  func send(_ port: EventPort, of domain: DomainID) throws(HypercallError) {
    let channel: HostEventChannel? = try access { state throws(HypercallError) in
      guard let bound = state.domains[domain]?[port] else { throw .invalid }
      switch bound.binding {
      case .host(let channel):
        return channel
      case .interdomain(let remote, let remotePort):
        if let vcpu = state.domains[remote]?[remotePort]?.vcpu {
          state.domains[remote]?.sink.deliver(remotePort, to: vcpu)
        }
      case .interprocessor:
        state.domains[domain]?.sink.deliver(port, to: bound.vcpu)
      case .unbound:
        break
      case .virtualInterrupt, .free:
        throw .invalid
      }
      return nil
    }
    channel?.handler()
  }

  /// Raises a virtual interrupt at one vCPU, if the guest has bound it there.
  func raiseVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID) {
    state.withLock { state in
      guard let ports = state.domains[domain] else { return }
      for (index, port) in ports.ports.enumerated() where port.vcpu == vcpu {
        guard case .virtualInterrupt(number) = port.binding else { continue }
        ports.sink.deliver(EventPort(UInt32(index)), to: vcpu)
      }
    }
  }

  /// `EVTCHNOP_bind_vcpu`: moves a port; virtual interrupts of a vCPU and IPIs stay where they are.
  func move(_ port: EventPort, to vcpu: Int, of domain: DomainID) throws(HypercallError) {
    try access { state throws(HypercallError) in
      guard var bound = state.domains[domain]?[port] else { throw .invalid }
      switch bound.binding {
      case .unbound, .interdomain, .host: bound.vcpu = vcpu
      case .virtualInterrupt, .interprocessor, .free: throw .invalid
      }
      state.domains[domain]?[port] = bound
      // What is pending moves with the port.
      state.domains[domain]?.sink.announce(port, to: vcpu)
    }
  }

  /// `EVTCHNOP_unmask`: under the lock, so that a port that moves meanwhile is told of where it is.
  func unmask(_ port: EventPort, of domain: DomainID) {
    state.withLock { state in
      guard let ports = state.domains[domain] else { return }
      ports.sink.unmask(port, vcpu: ports[port]?.vcpu ?? 0)
    }
  }

  /// A port as `EVTCHNOP_status` sees it; nil if it is closed.
  func status(of port: EventPort, of domain: DomainID) -> EventPortState? {
    state.withLock { $0.domains[domain]?[port] }
  }

  /// Keeps events from being delivered meanwhile.
  func withLock(_ body: () -> Void) { state.withLock { _ in body() } }

  // MARK: Common parts

  private func allocate(_ port: EventPortState, for domain: DomainID) throws(HypercallError) -> EventPort {
    try access { state throws(HypercallError) in
      guard let number = try state.domains[domain]?.allocate(port) else { throw .noSuchDomain }
      return number
    }
  }

  /// Frees a port; a guest at the other end keeps an open port for this domain.
  private static func close(_ port: EventPort, of domain: DomainID, in state: inout State) {
    guard let bound = state.domains[domain]?[port] else { return }
    if case .interdomain(let remote, let remotePort) = bound.binding,
      var other = state.domains[remote]?[remotePort]
    {
      other.binding = .unbound(remote: domain)
      state.domains[remote]?[remotePort] = other
    }
    state.domains[domain]?[port] = nil
  }

  /// The lock, with typed errors.
  private func access<Value>(
    _ body: (inout State) throws(HypercallError) -> Value
  ) throws(HypercallError) -> Value {
    let result: Result<Value, HypercallError> = state.withLock { state in
      do throws(HypercallError) { return .success(try body(&state)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}
