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
  }
  private static let virtualInterrupts: UInt32 = 24

  func eventChannelOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    guard let operation = EventOperation(rawValue: command) else { throw .notImplemented }
    let events = domain.host.events
    let own = domain.id
    switch operation {
    case .bindInterdomain:
      var block = try argument(address, byteCount: 12)
      // A guest may bind to itself.
      let remote = DomainID(block.u16(0)) == .current ? own : DomainID(block.u16(0))
      block.set(8, u32: try events.bindInterdomain(own, to: remote, EventPort(block.u32(4))).rawValue)
      try reply(block, byteCount: 12, to: address)
    case .bindVirtualInterrupt:
      var block = try argument(address, byteCount: 12)
      guard block.u32(0) < Self.virtualInterrupts else { throw .invalid }
      let vcpu = try peer(UInt64(block.u32(4))).index
      block.set(8, u32: try events.bindVirtualInterrupt(block.u32(0), on: vcpu, of: own).rawValue)
      try reply(block, byteCount: 12, to: address)
    case .close:
      try events.close(EventPort(try argument(address, byteCount: 4).u32(0)), of: own)
    case .send:
      try events.send(EventPort(try argument(address, byteCount: 4).u32(0)), of: own)
    case .status:
      try status(address)
    case .allocateUnbound:
      var block = try argument(address, byteCount: 8)
      try requireSelf(DomainID(block.u16(0)))
      let remote = DomainID(block.u16(2))
      block.set(
        4, u32: try events.allocateUnbound(for: own, remote: remote == .current ? own : remote).rawValue)
      try reply(block, byteCount: 8, to: address)
    case .bindInterprocessor:
      var block = try argument(address, byteCount: 8)
      let vcpu = try peer(UInt64(block.u32(0))).index
      block.set(4, u32: try events.bindInterprocessor(on: vcpu, of: own).rawValue)
      try reply(block, byteCount: 8, to: address)
    case .bindVirtualCPU:
      let block = try argument(address, byteCount: 8)
      try events.move(EventPort(block.u32(0)), to: try peer(UInt64(block.u32(4))).index, of: own)
    case .unmask:
      try unmask(EventPort(try argument(address, byteCount: 4).u32(0)))
    }
    return 0
  }

  /// Clears the mask of a port, and tells the guest if it is pending.
  private func unmask(_ port: EventPort) throws(HypercallError) {
    guard port.rawValue < UInt32(EventPorts.maximum) else { throw .invalid }
    domain.host.events.unmask(port, of: domain.id)
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
    guard block.u32(4) < UInt32(EventPorts.maximum) else { throw .invalid }
    let state = domain.host.events.status(of: EventPort(block.u32(4)), of: domain.id) ?? EventPortState()
    func set(_ status: Status, _ first: UInt32 = 0, _ second: UInt32 = 0) {
      block.set(8, u32: status.rawValue)
      block.set(16, u32: first)
      block.set(20, u32: second)
    }
    block.set(12, u32: UInt32(state.vcpu))
    switch state.binding {
    case .free: set(.closed)
    case .unbound(let remote): set(.unbound, UInt32(remote.rawValue))
    case .host(let channel): set(.interdomain, UInt32(DomainID.host.rawValue), channel.remotePort.rawValue)
    case .interdomain(let remote, let port): set(.interdomain, UInt32(remote.rawValue), port.rawValue)
    case .virtualInterrupt(let number): set(.virtualInterrupt, number)
    case .interprocessor: set(.interprocessor)
    }
    try reply(block, byteCount: 24, to: address)
  }
}
