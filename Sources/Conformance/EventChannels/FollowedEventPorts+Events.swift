// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

private let deliverySteps = Cases<DeliveryStep>()

extension FollowedEventPorts {
  public func send(_ port: EventPort, by domain: DomainID) -> EventStatus {
    tap.begin()
    let status = inner.send(port, by: domain)
    check { () throws(Divergence) in
      let (d, p) = (names.domain(domain), names.port(port))
      try grow(d, p)
      let place = model.port(d, p)
      switch kind(d, p) {
      case .interdomain: try followRaise(simulator[model.remote + place], simulator[model.remotePort + place])
      case .interprocessor: try followRaise(d, p)
      case .closed, .unbound, .virtualInterrupt: break
      }
      try take(model.send, [d, p], status)
      try deliver()
    }
    return status
  }

  public func raiseVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID) {
    tap.begin()
    inner.raiseVirtualInterrupt(number, on: vcpu, of: domain)
    check { () throws(Divergence) in
      guard number < UInt32(EventLimits.virtualInterruptCount) else { return }
      let (d, v, n) = (names.domain(domain), names.vcpu(vcpu), UInt64(number))
      let port = simulator[model.interruptPorts + model.vcpuInterrupt(d, v, n)]
      if port != 0 { try followRaise(d, port) }
      try oracle.take(model.raiseVirtualInterrupt, [d, n, v])
      try deliver()
    }
  }

  public func unmask(_ port: EventPort, of domain: DomainID) -> EventStatus {
    tap.begin()
    let status = inner.unmask(port, of: domain)
    check { () throws(Divergence) in
      let (d, p) = (names.domain(domain), names.port(port))
      try grow(d, p)
      if status == .okay { try feedMask(d, p, expect(.unmask, d, p)) }
      try take(model.unmask, [d, p], status)
      try deliver()
    }
    return status
  }

  public func poll(_ port: EventPort, by vcpu: Int, of domain: DomainID) -> Bool {
    tap.begin()
    let isAwake = inner.poll(port, by: vcpu, of: domain)
    check { () throws(Divergence) in
      let (d, v, p) = (names.domain(domain), names.vcpu(vcpu), names.port(port))
      // A number that names nothing is no reason to sleep.
      guard isReady(d, v), isNumber(d, p) else { return try expect(isAwake, true, at: "poll") }
      let isPending = try expect(.isPending, d, p)
      try feedPending(d, p, isPending)
      try oracle.take(model.poll, [d, v, p])
      try expect(isAwake, isPending == 1, at: "poll")
      try comparePoll(d, v, p)
    }
    return isAwake
  }

  public func resume(_ vcpu: Int, of domain: DomainID) -> Bool {
    tap.begin()
    let isDue = inner.resume(vcpu, of: domain)
    check { () throws(Divergence) in
      let (d, v) = (names.domain(domain), names.vcpu(vcpu))
      guard isReady(d, v) else { return try expect(isDue, false, at: "resume") }
      let isPending = try expect(.isUpcallPending, d, v)
      try feedUpcall(d, v, pending: isPending)
      if isPending == 1 { try feedUpcall(d, v, isMasked: expect(.isUpcallMasked, d, v)) }
      try oracle.take(model.resume, [d, v], expecting: [isDue ? 1 : 0])
      if isDue { try expect(.maskUpcalls, d, v) }
    }
    return isDue
  }

  // MARK: An event is told of

  /// A port is marked pending; whether it was counts.
  private func followRaise(_ d: UInt64, _ p: UInt64) throws(Divergence) {
    try feedPending(d, p, expect(.raise, d, p))
  }

  /// Follows the telling of an event, if the specification has begun it.
  func deliver() throws(Divergence) {
    guard isDelivering(.looking) else { return }
    let (d, p) = (simulator[model.deliveryDomain], simulator[model.deliveryPort])
    let v = simulator[model.channelVCPU + model.port(d, p)]
    // Where nobody can be told there is no reason to look.
    if isReady(d, v) {
      let isPending = try expect(.isPending, d, p)
      try feedPending(d, p, isPending)
      if isPending == 1 { try feedMask(d, p, expect(.isMasked, d, p)) }
    }
    try oracle.take(model.look, [])
    if isDelivering(.selecting) {
      let words = try expect(.select, d, v)
      try oracle.take(model.select, [])
      if words != 1 &<< (p / 64) {
        throw oracle.divergence(at: "select", "it selects words \(String(words, radix: 16)) for port \(p)")
      }
      let before = kicked(d)
      try feedUpcall(d, v, pending: expect(.notify, d, v))
      try oracle.take(model.notify, [])
      try followKicks(d, before: before)
    }
    let before = kicked(d)
    try oracle.take(model.wakePollers, [])
    try followKicks(d, before: before)
  }

  private func isDelivering(_ step: DeliveryStep) -> Bool {
    deliverySteps[simulator[model.deliveryStep]] == step
  }
}
