// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Domains and vCPUs come, ports and domains go.
extension EventMachine {
  public func addDomain(
    _ domain: DomainID, sharedInfo: UnsafeMutableRawPointer, portCount: Int, virtualCPUCount: Int,
    recipient: any EventRecipient
  ) -> EventStatus {
    precondition((2...EventLimits.portCount).contains(portCount) && (1...256).contains(virtualCPUCount))
    guard domain < .firstReserved else { return .noSuchDomain }
    guard known(domain) == nil else { return .exists }
    while domains.count <= Int(domain.rawValue) { domains.append(nil) }
    domains[Int(domain.rawValue)] = EventDomain(
      id: domain, sharedInfo: sharedInfo, portCount: portCount, virtualCPUCount: virtualCPUCount,
      recipient: recipient)
    return .okay
  }

  public func removeDomain(_ domain: DomainID) {
    guard let ending = known(domain) else { return }
    for port in 1..<ending.channels.count { releaseOtherEnd(of: EventPort(UInt32(port)), in: ending) }
    domains[Int(domain.rawValue)] = nil
  }

  public func register(_ vcpu: Int, of domain: DomainID, info: UnsafeMutableRawPointer) -> EventStatus {
    guard let owner = known(domain) else { return .noSuchDomain }
    guard owner.vcpus.indices.contains(vcpu) else { return .noEntry }
    owner.vcpus[vcpu].info = info
    let place = UpcallPlace(domain: domain, vcpu: vcpu, info: info)
    words.select(.max, place)
    _ = words.notify(place)
    owner.recipient.kick(vcpu)
    return .okay
  }

  public func close(_ port: EventPort, of domain: DomainID) -> EventStatus {
    guard let owner = known(domain) else { return .noSuchDomain }
    guard owner.open(port) != nil else { return .invalid }
    releaseOtherEnd(of: port, in: owner)
    owner.shut(port)
    words.clear(owner.place(port))
    return .okay
  }

  public func reset(_ domain: DomainID) -> EventStatus {
    guard let owner = known(domain) else { return .noSuchDomain }
    for number in 1..<owner.channels.count where owner.channels[number].kind != .closed {
      releaseOtherEnd(of: EventPort(UInt32(number)), in: owner)
      owner.shut(EventPort(UInt32(number)))
    }
    for word in 0..<owner.wordCount { words.clearWord(owner.place(EventPort(UInt32(word * 64)))) }
    return .okay
  }

  /// The other end of a port that closes waits for the port's domain to bind again. Where both ends are the domain's own,
  /// the other is released first, and closed after it if the domain goes on to close that.
  private func releaseOtherEnd(of port: EventPort, in owner: EventDomain) {
    let channel = owner.channels[Int(port.rawValue)]
    guard channel.kind == .interdomain, let other = known(channel.remote) else { return }
    other.channels[Int(channel.number)].kind = .unbound
    other.channels[Int(channel.number)].remote = owner.id
  }
}
