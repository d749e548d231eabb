// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// `event_channel_op`, two-level channels. Source: xen/include/public/event_channel.h.
extension Processor {
  private enum EventOperation: UInt64 {
    case bindInterdomain = 0
    case bindVirtualInterrupt = 1
    case close = 3
    case send = 4
    case status = 5
    case allocateUnbound = 6
    case bindInterprocessor = 7
    case bindVirtualCPU = 8
    case unmask = 9
    case reset = 10
  }

  func eventChannelOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    guard let operation = EventOperation(rawValue: command) else { throw .notImplemented }
    let events = domain.host.events
    let own = domain.id
    switch operation {
    case .bindInterdomain:
      var block = try argument(address, byteCount: 12)
      let (remote, port) = (named(block.u16(0)), EventPort(block.u32(4)))
      block.set(
        8, u32: try bound(events.perform { $0.bindInterdomain(own, remote: remote, remotePort: port) }))
      try reply(block, byteCount: 12, to: address)
    case .bindVirtualInterrupt:
      var block = try argument(address, byteCount: 12)
      let (number, vcpu) = (block.u32(0), Int(block.u32(4)))
      block.set(8, u32: try bound(events.perform { $0.bindVirtualInterrupt(number, on: vcpu, of: own) }))
      try reply(block, byteCount: 12, to: address)
    case .close:
      let port = EventPort(try argument(address, byteCount: 4).u32(0))
      try events.perform { $0.close(port, of: own) }.check()
    case .send:
      let port = EventPort(try argument(address, byteCount: 4).u32(0))
      try events.perform { $0.send(port, by: own) }.check()
    case .status:
      try status(address)
    case .allocateUnbound:
      var block = try argument(address, byteCount: 8)
      try requireSelf(DomainID(block.u16(0)))
      let remote = named(block.u16(2))
      block.set(4, u32: try bound(events.perform { $0.allocateUnbound(own, remote: remote) }))
      try reply(block, byteCount: 8, to: address)
    case .bindInterprocessor:
      var block = try argument(address, byteCount: 8)
      let vcpu = Int(block.u32(0))
      block.set(4, u32: try bound(events.perform { $0.bindInterprocessor(on: vcpu, of: own) }))
      try reply(block, byteCount: 8, to: address)
    case .bindVirtualCPU:
      let block = try argument(address, byteCount: 8)
      let (port, vcpu) = (EventPort(block.u32(0)), Int(block.u32(4)))
      try events.perform { $0.bindVirtualCPU(port, to: vcpu, of: own) }.check()
    case .unmask:
      let port = EventPort(try argument(address, byteCount: 4).u32(0))
      try events.perform { $0.unmask(port, of: own) }.check()
    case .reset:
      try requireSelf(DomainID(try argument(address, byteCount: 2).u16(0)))
      try events.perform { $0.reset(own) }.check()
    }
    return 0
  }

  /// The domain that a guest names; it may name itself.
  private func named(_ number: UInt16) -> DomainID {
    DomainID(number) == .current ? domain.id : DomainID(number)
  }

  /// The port's number.
  private func bound(_ bound: EventBound) throws(HypercallError) -> UInt32 {
    try bound.status.check()
    return bound.port.rawValue
  }

  private enum Status: UInt32 {
    case closed = 0
    case unbound = 1
    case interdomain = 2
    case virtualInterrupt = 4
    case interprocessor = 5
  }

  /// `struct evtchn_status`: dom (16 bits), port (32), status (32), vcpu (32), then what it is bound to.
  private func status(_ address: UInt64) throws(HypercallError) {
    var block = try argument(address, byteCount: 24)
    try requireSelf(DomainID(block.u16(0)))
    let port = EventPort(block.u32(4))
    let (status, state) = domain.host.events.perform { $0.status(of: port, in: domain.id) }
    try status.check()
    func set(_ status: Status, _ first: UInt32 = 0, _ second: UInt32 = 0) {
      block.set(8, u32: status.rawValue)
      block.set(16, u32: first)
      block.set(20, u32: second)
    }
    block.set(12, u32: UInt32(state.vcpu))
    switch state.binding {
    case .closed: set(.closed)
    case .unbound(let remote): set(.unbound, UInt32(remote.rawValue))
    case .interdomain(let remote, let port): set(.interdomain, UInt32(remote.rawValue), port.rawValue)
    case .virtualInterrupt(let number): set(.virtualInterrupt, number)
    case .interprocessor: set(.interprocessor)
    }
    try reply(block, byteCount: 24, to: address)
  }
}
