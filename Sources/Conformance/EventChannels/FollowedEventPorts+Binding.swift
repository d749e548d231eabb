// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension FollowedEventPorts {
  public func allocateUnbound(_ domain: DomainID, remote: DomainID) -> EventBound {
    tap.begin()
    let bound = inner.allocateUnbound(domain, remote: remote)
    check { () throws(Divergence) in
      names.mention(remote)
      let d = names.domain(domain)
      let p = try chosenPort(bound, d)
      if bound.status == .okay { try expect(.clear, d, p) }
      try take(model.allocateUnbound, [d, names.domain(remote), p], bound.status)
      try comparePort(d, p)
    }
    return bound
  }

  public func bindInterdomain(_ domain: DomainID, remote: DomainID, remotePort: EventPort) -> EventBound {
    tap.begin()
    let bound = inner.bindInterdomain(domain, remote: remote, remotePort: remotePort)
    check { () throws(Divergence) in
      let (d, other, otherPort) = (names.domain(domain), names.domain(remote), names.port(remotePort))
      try grow(other, otherPort)
      let p = try chosenPort(bound, d)
      if bound.status == .okay {
        try expect(.clear, d, p)
        try expect(.raise, d, p)
      }
      try take(model.bindInterdomain, [d, other, otherPort, p], bound.status)
      try deliver()
      try comparePort(d, p)
      try comparePort(other, otherPort)
    }
    return bound
  }

  public func bindVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID) -> EventBound {
    tap.begin()
    let bound = inner.bindVirtualInterrupt(number, on: vcpu, of: domain)
    check { () throws(Divergence) in
      let (d, v) = (names.domain(domain), names.vcpu(vcpu))
      let isKnown = number < UInt32(EventLimits.virtualInterruptCount)
      let p = try chosenPort(bound, d)
      if bound.status == .okay { try expect(.clear, d, p) }
      let n = isKnown ? UInt64(number) : 0
      try take(model.bindVirtualInterrupt, [d, n, isKnown ? 1 : 0, v, p], bound.status)
      try comparePort(d, p)
      if isKnown { try compareInterrupt(d, v, n) }
    }
    return bound
  }

  public func bindInterprocessor(on vcpu: Int, of domain: DomainID) -> EventBound {
    tap.begin()
    let bound = inner.bindInterprocessor(on: vcpu, of: domain)
    check { () throws(Divergence) in
      let d = names.domain(domain)
      let p = try chosenPort(bound, d)
      if bound.status == .okay { try expect(.clear, d, p) }
      try take(model.bindInterprocessor, [d, names.vcpu(vcpu), p], bound.status)
      try comparePort(d, p)
    }
    return bound
  }

  public func bindVirtualCPU(_ port: EventPort, to vcpu: Int, of domain: DomainID) -> EventStatus {
    tap.begin()
    let status = inner.bindVirtualCPU(port, to: vcpu, of: domain)
    check { () throws(Divergence) in
      let (d, p) = (names.domain(domain), names.port(port))
      try grow(d, p)
      try take(model.bindVirtualCPU, [d, p, names.vcpu(vcpu)], status)
      try deliver()
      try comparePort(d, p)
    }
    return status
  }

  public func close(_ port: EventPort, of domain: DomainID) -> EventStatus {
    tap.begin()
    let status = inner.close(port, of: domain)
    check { () throws(Divergence) in
      let (d, p) = (names.domain(domain), names.port(port))
      try grow(d, p)
      let place = model.port(d, p)
      let wasKind = kind(d, p)
      let other = (simulator[model.remote + place], simulator[model.remotePort + place])
      let interrupt = (simulator[model.channelVCPU + place], simulator[model.interrupt + place])
      if status == .okay { try expect(.clear, d, p) }
      try take(model.close, [d, p], status)
      try comparePort(d, p)
      if wasKind == .interdomain { try comparePort(other.0, other.1) }
      if wasKind == .virtualInterrupt { try compareInterrupt(d, interrupt.0, interrupt.1) }
    }
    return status
  }

  public func status(of port: EventPort, in domain: DomainID) -> (status: EventStatus, state: EventPortState)
  {
    tap.begin()
    let result = inner.status(of: port, in: domain)
    check { () throws(Divergence) in
      let (d, p) = (names.domain(domain), names.port(port))
      try grow(d, p)
      try take(model.status, [d, p], result.status)
      let state = result.status == .okay ? result.state : nil
      if result.status == .okay, !isSame(state, d, p) {
        throw oracle.divergence(at: "status", "it answers \(result.state), it should be \(describe(d, p))")
      }
    }
    return result
  }

  public func reset(_ domain: DomainID) -> EventStatus {
    tap.begin()
    let status = inner.reset(domain)
    check { () throws(Divergence) in
      let d = names.domain(domain)
      if status == .okay { try followClearing(d) }
      try take(model.reset, [d], status)
      if status == .okay { try compareRemembered() }
    }
    return status
  }
}
