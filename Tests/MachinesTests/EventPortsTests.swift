// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@Suite("Event channels")
struct EventPortsTests {
  private let one = EventHost.first
  private let two = EventHost.second

  @Test("the lowest closed port is taken, never port 0")
  func lowest() {
    let host = EventHost()
    let ports = (0..<100).map { _ in host.ports.allocateUnbound(one, remote: two).port.rawValue }
    #expect(ports == Array(1...100))
    for port in [70, 2, 64] as [UInt32] { #expect(host.ports.close(EventPort(port), of: one) == .okay) }
    #expect(
      (0..<4).map { _ in host.ports.bindInterprocessor(on: 0, of: one).port.rawValue } == [2, 64, 70, 101])
  }

  @Test("4095 ports can be open and no more; then the others' errors come first where the ABI has them first")
  func exhaustion() {
    let host = EventHost()
    for _ in 1..<EventLimits.portCount {
      #expect(host.ports.bindInterprocessor(on: 0, of: one).status == .okay)
    }
    #expect(host.ports.bindInterprocessor(on: 0, of: one).status == .noSpace)
    #expect(host.ports.bindInterprocessor(on: 2, of: one).status == .noEntry)
    #expect(host.ports.bindInterdomain(one, remote: two, remotePort: EventPort(9)).status == .noSpace)
    #expect(
      host.ports.bindInterdomain(one, remote: DomainID(7), remotePort: EventPort(9)).status == .noSuchDomain)
    #expect(host.ports.reset(one) == .okay)
    #expect(host.ports.bindInterprocessor(on: 0, of: one) == EventBound(status: .okay, port: EventPort(1)))
  }

  @Test("domains are connected only if one left a port open for the other; what was sent before is not lost")
  func interdomain() {
    let host = EventHost()
    let open = host.ports.allocateUnbound(one, remote: two).port
    #expect(host.ports.bindInterdomain(one, remote: one, remotePort: open).status == .invalid)
    let bound = host.ports.bindInterdomain(two, remote: one, remotePort: open)
    #expect(bound.status == .okay && host.guests[1].isPending(bound.port))
    #expect(host.guests[1].take() == (1, true))
    #expect(host.ports.send(bound.port, by: two) == .okay)
    #expect(host.guests[0].isPending(open) && host.guests[0].take() == (1, true))
    #expect(host.ports.send(bound.port, by: two) == .okay)
    #expect(host.guests[0].take() == (0, false), "what is pending already is not told again")
    #expect(host.guests[0].stirs == 2)
    #expect(host.ports.close(bound.port, of: two) == .okay)
    #expect(host.ports.status(of: open, in: one).state.binding == .unbound(remote: two))
    #expect(host.ports.status(of: bound.port, in: two) == (.okay, EventPortState()))
    #expect(!host.guests[1].isPending(bound.port))
  }

  @Test("a domain that goes, or resets, leaves no port bound to it")
  func removal() {
    for isReset in [false, true] {
      let host = EventHost()
      let (open, port) = host.connect()
      if isReset { #expect(host.ports.reset(two) == .okay) } else { host.ports.removeDomain(two) }
      #expect(host.ports.status(of: open, in: one).state.binding == .unbound(remote: two))
      #expect(host.ports.send(open, by: one) == .okay)
      #expect(host.ports.send(port, by: two) == (isReset ? .invalid : .noSuchDomain))
    }
  }

  @Test("a vCPU has each virtual interrupt once, and it goes only there")
  func virtualInterrupts() {
    let host = EventHost()
    let port = host.ports.bindVirtualInterrupt(3, on: 1, of: one).port
    #expect(host.ports.bindVirtualInterrupt(3, on: 1, of: one).status == .exists)
    #expect(host.ports.bindVirtualInterrupt(24, on: 1, of: one).status == .invalid)
    host.ports.raiseVirtualInterrupt(3, on: 0, of: one)
    #expect(!host.guests[0].isPending(port))
    host.ports.raiseVirtualInterrupt(3, on: 1, of: one)
    #expect(host.guests[0].isPending(port) && host.guests[0].take(1) == (1, true))
    #expect(host.ports.send(port, by: one) == .invalid)
    #expect(host.ports.bindVirtualCPU(port, to: 0, of: one) == .invalid)
    #expect(host.ports.close(port, of: one) == .okay)
    #expect(host.ports.bindVirtualInterrupt(3, on: 1, of: one).status == .okay)
  }

  @Test("a masked port is told of when it is unmasked, and one that moves where it is")
  func unmaskAndMove() {
    let host = EventHost()
    let (open, port) = host.connect()
    host.guests[0].setMask(open)
    #expect(host.ports.send(port, by: two) == .okay)
    #expect(host.guests[0].take() == (0, false))
    #expect(host.ports.unmask(open, of: one) == .okay)
    #expect(host.guests[0].take() == (1, true))
    #expect(host.ports.bindVirtualCPU(open, to: 1, of: one) == .okay)
    #expect(host.guests[0].take(1) == (1, true), "what is pending moves with the port")
  }

  @Test("who polls a port is kicked when it is pending, though it is masked; not once it has gone on")
  func polls() {
    let host = EventHost()
    let (open, port) = host.connect()
    host.guests[0].setMask(open)
    #expect(!host.ports.poll(open, by: 1, of: one))
    #expect(!host.ports.poll(EventPort(4095), by: 1, of: one))
    #expect(host.ports.poll(EventPort(4096), by: 1, of: one) && host.ports.poll(open, by: 2, of: one))
    #expect(host.ports.send(port, by: two) == .okay)
    #expect(host.guests[0].kicks == [0, 1, 0, 0])
    #expect(host.ports.poll(open, by: 1, of: one), "it is pending")
    #expect(!host.ports.resume(1, of: one))
    host.guests[0].clear(open)
    #expect(host.ports.send(port, by: two) == .okay)
    #expect(host.guests[0].kicks == [0, 1, 0, 0])
  }

  @Test("an up-call is made once, and masks the next")
  func upcalls() {
    let host = EventHost()
    let (_, port) = host.connect()
    host.guests[0].setUpcallMask(1)
    #expect(host.ports.send(port, by: two) == .okay)
    #expect(host.guests[0].kicks[0] == 1, "it is kicked though its up-calls are masked")
    #expect(!host.ports.resume(0, of: one))
    host.guests[0].setUpcallMask(0)
    #expect(host.ports.resume(0, of: one))
    #expect(!host.ports.resume(0, of: one))
  }

  @Test("everything counts as pending once where a vCPU's words are new")
  func registered() {
    let host = EventHost()
    let elsewhere = EventGuest()
    #expect(host.ports.register(1, of: one, info: elsewhere.base) == .okay)
    #expect(elsewhere.take() == (.max, false) && host.guests[0].kicks[1] == 1)
    #expect(host.ports.register(2, of: one, info: elsewhere.base) == .noEntry)
  }

  @Test("hostile port numbers are errors", arguments: [0, 5, 4096, UInt32.max])
  func hostilePorts(number: UInt32) {
    let host = EventHost()
    let port = EventPort(number)
    #expect(host.ports.send(port, by: one) == .invalid)
    #expect(host.ports.close(port, of: one) == .invalid)
    #expect(host.ports.bindVirtualCPU(port, to: 0, of: one) == .invalid)
    #expect(host.ports.bindInterdomain(one, remote: two, remotePort: port).status == .invalid)
    let exists = number == 5
    #expect(host.ports.unmask(port, of: one) == (exists ? .okay : .invalid))
    #expect(host.ports.status(of: port, in: one).status == (exists ? .okay : .invalid))
  }
}
