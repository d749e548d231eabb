// SPDX-License-Identifier: Apache-2.0
//
// The event channels of a host, optimised: constant work and no allocation an operation (reset, and removing a domain:
// in proportion to its ports). The rules stand in Specs/EventChannels. What a guest may write at any time is touched
// only through `Words`; the rest is private.

import Interfaces

/// Event channels over words in shared memory.
public typealias OptimisedEventPorts = EventMachine<SharedEventWords>

/// Event channels over any access to words.
public final class EventMachine<Words: EventWordAccess>: EventPorts {
  let words: Words
  /// By domain number.
  var domains: ContiguousArray<EventDomain?> = []

  /// - Parameter words: how shared words are accessed.
  public init(words: Words) { self.words = words }

  func known(_ domain: DomainID) -> EventDomain? {
    Int(domain.rawValue) < domains.count ? domains[Int(domain.rawValue)] : nil
  }

  // MARK: Binding

  public func allocateUnbound(_ domain: DomainID, remote: DomainID) -> EventBound {
    guard let owner = known(domain) else { return EventBound(status: .noSuchDomain) }
    return open(EventChannel(kind: .unbound, remote: remote), of: owner)
  }

  public func bindInterdomain(_ domain: DomainID, remote: DomainID, remotePort: EventPort) -> EventBound {
    guard let owner = known(domain), let other = known(remote) else {
      return EventBound(status: .noSuchDomain)
    }
    guard owner.lowestClosed != nil else { return EventBound(status: .noSpace) }
    guard let awaiting = other.open(remotePort), awaiting.kind == .unbound, awaiting.remote == domain else {
      return EventBound(status: .invalid)
    }
    let bound = open(
      EventChannel(kind: .interdomain, remote: remote, number: remotePort.rawValue), of: owner)
    other.channels[Int(remotePort.rawValue)].kind = .interdomain
    other.channels[Int(remotePort.rawValue)].number = bound.port.rawValue
    // The other end may have sent before: the one who binds looks once.
    _ = words.raise(owner.place(bound.port))
    announce(bound.port, of: owner)
    return bound
  }

  public func bindVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID) -> EventBound {
    guard let owner = known(domain) else { return EventBound(status: .noSuchDomain) }
    guard number < UInt32(EventLimits.virtualInterruptCount) else { return EventBound(status: .invalid) }
    guard owner.isReady(vcpu) else { return EventBound(status: .noEntry) }
    guard owner.interruptPort(number, vcpu) == nil else { return EventBound(status: .exists) }
    return open(EventChannel(kind: .virtualInterrupt, vcpu: UInt8(vcpu), number: number), of: owner)
  }

  public func bindInterprocessor(on vcpu: Int, of domain: DomainID) -> EventBound {
    guard let owner = known(domain) else { return EventBound(status: .noSuchDomain) }
    guard owner.isReady(vcpu) else { return EventBound(status: .noEntry) }
    return open(EventChannel(kind: .interprocessor, vcpu: UInt8(vcpu)), of: owner)
  }

  public func bindVirtualCPU(_ port: EventPort, to vcpu: Int, of domain: DomainID) -> EventStatus {
    guard let owner = known(domain) else { return .noSuchDomain }
    guard owner.isReady(vcpu) else { return .noEntry }
    guard let channel = owner.open(port), channel.kind == .unbound || channel.kind == .interdomain else {
      return .invalid
    }
    owner.channels[Int(port.rawValue)].vcpu = UInt8(vcpu)
    announce(port, of: owner)
    return .okay
  }

  /// Opens the closed port of the lowest number, without an event of its past.
  private func open(_ channel: EventChannel, of owner: EventDomain) -> EventBound {
    guard let port = owner.lowestClosed else { return EventBound(status: .noSpace) }
    owner.take(port, channel)
    words.clear(owner.place(port))
    return EventBound(status: .okay, port: port)
  }

  // MARK: Events

  public func send(_ port: EventPort, by domain: DomainID) -> EventStatus {
    guard let sender = known(domain) else { return .noSuchDomain }
    guard let channel = sender.open(port) else { return .invalid }
    switch channel.kind {
    case .closed, .virtualInterrupt: return .invalid
    case .unbound: break
    case .interdomain:
      // A domain that goes leaves no port bound to it.
      guard let receiver = known(channel.remote) else { preconditionFailure("a channel outlived its end") }
      raise(EventPort(channel.number), of: receiver)
    case .interprocessor: raise(port, of: sender)
    }
    return .okay
  }

  public func raiseVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID) {
    guard let receiver = known(domain), let port = receiver.interruptPort(number, vcpu) else { return }
    raise(port, of: receiver)
  }

  public func unmask(_ port: EventPort, of domain: DomainID) -> EventStatus {
    guard let owner = known(domain) else { return .noSuchDomain }
    guard owner.hasPort(port) else { return .invalid }
    if words.unmask(owner.place(port)) { announce(port, of: owner) }
    return .okay
  }

  public func status(of port: EventPort, in domain: DomainID) -> (status: EventStatus, state: EventPortState)
  {
    guard let owner = known(domain) else { return (.noSuchDomain, EventPortState()) }
    guard owner.hasPort(port) else { return (.invalid, EventPortState()) }
    return (.okay, owner.channels[Int(port.rawValue)].state)
  }

  public func poll(_ port: EventPort, by vcpu: Int, of domain: DomainID) -> Bool {
    guard let owner = known(domain), owner.isReady(vcpu), owner.hasPort(port) else { return true }
    // Under the caller's lock: who raises the port next finds it here.
    if words.isPending(owner.place(port)) { return true }
    owner.setPolled(port, by: vcpu)
    return false
  }

  public func resume(_ vcpu: Int, of domain: DomainID) -> Bool {
    guard let owner = known(domain), let place = owner.upcall(vcpu) else { return false }
    owner.endPoll(of: vcpu)
    guard words.isUpcallPending(place), !words.isUpcallMasked(place) else { return false }
    words.maskUpcalls(place)
    return true
  }

  // MARK: Telling of an event

  /// Marks a port pending, and tells of it if it was not.
  private func raise(_ port: EventPort, of receiver: EventDomain) {
    if !words.raise(receiver.place(port)) { announce(port, of: receiver) }
    receiver.recipient.stir()
  }

  /// Tells of a port: its vCPU, if the port is pending and not masked; and those who poll it.
  private func announce(_ port: EventPort, of owner: EventDomain) {
    tell(port, of: owner)
    for vcpu in owner.vcpus.indices where owner.isPolled(port, by: vcpu) { owner.recipient.kick(vcpu) }
  }

  /// The order matters: a guest that sees the up-call must find the word. The vCPU is kicked even while its up-calls are
  /// masked: the guest's store that unmasks them may not have reached memory when the guest has made its own look for a
  /// pending up-call.
  private func tell(_ port: EventPort, of owner: EventDomain) {
    let vcpu = Int(owner.channels[Int(port.rawValue)].vcpu)
    guard let upcall = owner.upcall(vcpu) else { return }
    let place = owner.place(port)
    guard words.isPending(place), !words.isMasked(place) else { return }
    words.select(1 &<< UInt64(port.rawValue / 64), upcall)
    if !words.notify(upcall) { owner.recipient.kick(vcpu) }
  }
}
