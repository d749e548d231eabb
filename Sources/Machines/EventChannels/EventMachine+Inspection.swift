// SPDX-License-Identifier: Apache-2.0
//
// What event channels remember: read, for comparison with the specification; and set, to begin in any state.

import Interfaces

/// All that is remembered of a domain.
public struct EventDomainView {
  public var sharedInfo: UnsafeMutableRawPointer
  public var recipient: any EventRecipient
  /// By port, port 0 included.
  public var ports: [EventPortState]
  /// What each vCPU shares; nil for one that is not registered.
  public var infos: [UnsafeMutableRawPointer?]
  /// The ports that each vCPU polls.
  public var polled: [[EventPort]]

  public init(
    sharedInfo: UnsafeMutableRawPointer, recipient: any EventRecipient, ports: [EventPortState],
    infos: [UnsafeMutableRawPointer?], polled: [[EventPort]]
  ) {
    self.sharedInfo = sharedInfo
    self.recipient = recipient
    self.ports = ports
    self.infos = infos
    self.polled = polled
  }
}

/// Event channels that can be looked into.
public protocol InspectableEventPorts: EventPorts {
  func isThere(_ domain: DomainID) -> Bool
  /// A port, open or closed; nil for a number that is no port's.
  func port(_ port: EventPort, of domain: DomainID) -> EventPortState?
  /// The port of a vCPU's virtual interrupt; nil if there is none.
  func interruptPort(_ number: UInt32, on vcpu: Int, of domain: DomainID) -> EventPort?
  /// Which virtual interrupts of a vCPU have a port, a bit each.
  func boundInterrupts(on vcpu: Int, of domain: DomainID) -> UInt32
  /// Whether a vCPU is registered.
  func isReady(_ vcpu: Int, of domain: DomainID) -> Bool
  /// Of 64 ports, the first of them 64 × `word`: those that a vCPU polls, a bit each.
  func polledPorts(_ word: Int, by vcpu: Int, of domain: DomainID) -> UInt64
  /// Of 64 ports, the first of them 64 × `word`: those that are not as every closed port is, a bit each.
  func usedPorts(_ word: Int, of domain: DomainID) -> UInt64

  /// Forgets everything and remembers what the views say; nil stands for a domain that is not there.
  /// - Parameter views: by domain number. They fit together: the two ends of a channel name each other.
  func restore(_ views: [EventDomainView?])
}

extension InspectableEventPorts {
  public func polls(_ port: EventPort, by vcpu: Int, of domain: DomainID) -> Bool {
    polledPorts(Int(port.rawValue / 64), by: vcpu, of: domain) & 1 &<< UInt64(port.rawValue % 64) != 0
  }
}

extension EventMachine: InspectableEventPorts {
  public func isThere(_ domain: DomainID) -> Bool { known(domain) != nil }

  public func port(_ port: EventPort, of domain: DomainID) -> EventPortState? {
    guard let owner = known(domain), owner.hasPort(port) else { return nil }
    return owner.channels[Int(port.rawValue)].state
  }

  public func interruptPort(_ number: UInt32, on vcpu: Int, of domain: DomainID) -> EventPort? {
    known(domain)?.interruptPort(number, vcpu)
  }

  public func boundInterrupts(on vcpu: Int, of domain: DomainID) -> UInt32 {
    known(domain)?.boundInterrupts(on: vcpu) ?? 0
  }

  public func isReady(_ vcpu: Int, of domain: DomainID) -> Bool { known(domain)?.isReady(vcpu) ?? false }

  public func polledPorts(_ word: Int, by vcpu: Int, of domain: DomainID) -> UInt64 {
    guard let owner = known(domain), owner.vcpus.indices.contains(vcpu) else { return 0 }
    return owner.polledPorts(word, by: vcpu)
  }

  public func usedPorts(_ word: Int, of domain: DomainID) -> UInt64 {
    known(domain)?.usedPorts(word) ?? 0
  }

  public func restore(_ views: [EventDomainView?]) {
    domains.removeAll(keepingCapacity: true)
    for (number, view) in views.enumerated() {
      domains.append(view.map { EventDomain(id: DomainID(UInt16(number)), $0) })
    }
  }
}

extension EventDomain {
  fileprivate convenience init(id: DomainID, _ view: EventDomainView) {
    self.init(
      id: id, sharedInfo: view.sharedInfo, portCount: view.ports.count, virtualCPUCount: view.infos.count,
      recipient: view.recipient)
    for (number, state) in view.ports.enumerated() where state.binding != .closed {
      take(EventPort(UInt32(number)), EventChannel(state))
    }
    for (vcpu, info) in view.infos.enumerated() { vcpus[vcpu].info = info }
    for (vcpu, ports) in view.polled.enumerated() {
      for port in ports { setPolled(port, by: vcpu) }
    }
  }
}

extension EventChannel {
  fileprivate init(_ state: EventPortState) {
    vcpu = UInt8(state.vcpu)
    switch state.binding {
    case .closed: break
    case .unbound(let domain): (kind, remote) = (.unbound, domain)
    case .interdomain(let domain, let port): (kind, remote, number) = (.interdomain, domain, port.rawValue)
    case .virtualInterrupt(let interrupt): (kind, number) = (.virtualInterrupt, interrupt)
    case .interprocessor: kind = .interprocessor
    }
  }
}
