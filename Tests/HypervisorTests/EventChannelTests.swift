// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization
import Testing

@testable import Hypervisor

@Suite("Event channels")
struct EventChannelTests {
  /// Notes what is delivered.
  final class Sink: EventSink {
    let delivered = Mutex<[String]>([])
    func deliver(_ port: EventPort, to vcpu: Int) { delivered.withLock { $0.append("\(port)@\(vcpu)") } }
    func announce(_ port: EventPort, to vcpu: Int) {
      delivered.withLock { $0.append("\(port) now @\(vcpu)") }
    }
    func unmask(_ port: EventPort, vcpu: Int) {
      delivered.withLock { $0.append("\(port) unmasked @\(vcpu)") }
    }
    func clearPending(_ port: EventPort) {}
    func take() -> [String] {
      delivered.withLock { list in
        defer { list = [] }
        return list
      }
    }
  }

  let channels = EventChannels()
  let sinks = [Sink(), Sink()]
  let first = DomainID(1)
  let second = DomainID(2)

  init() {
    channels.addDomain(first, sink: sinks[0])
    channels.addDomain(second, sink: sinks[1])
  }

  @Test("the lowest free port is taken, never port 0")
  func ports() throws {
    let ports = try (0..<3).map { _ in try channels.allocateUnbound(for: first, remote: .host) }
    #expect(ports == [EventPort(1), EventPort(2), EventPort(3)])
    try channels.close(EventPort(2), of: first)
    #expect(try channels.bindInterprocessor(on: 0, of: first) == EventPort(2))
  }

  @Test("events pass both ways between a guest and a back end, until one closes")
  func host() throws {
    let port = try channels.allocateUnbound(for: first, remote: .host)
    let calls = Atomic(0)
    let channel = try channels.bindHost(to: first, port) { calls.wrappingAdd(1, ordering: .relaxed) }
    #expect(calls.load(ordering: .relaxed) == 1, "the back end looks once when it binds")
    try channels.send(port, of: first)
    #expect(calls.load(ordering: .relaxed) == 2)
    channel.notify()
    #expect(sinks[0].take() == ["1@0"])
    try channels.move(port, to: 3, of: first)
    #expect(sinks[0].take() == ["1 now @3"], "what is pending moves with the port")
    channels.unmask(port, of: first)
    #expect(sinks[0].take() == ["1 unmasked @3"])
    channel.notify()
    #expect(sinks[0].take() == ["1@3"])
    channel.close()
    channel.notify()
    try channels.send(port, of: first)
    #expect(sinks[0].take().isEmpty)
    #expect(calls.load(ordering: .relaxed) == 2)
  }

  @Test("a back end binds only to a port that was left open for the host")
  func refusedHost() throws {
    #expect(throws: HypercallError.invalid) { try channels.bindHost(to: first, EventPort(9)) {} }
    let port = try channels.allocateUnbound(for: first, remote: second)
    #expect(throws: HypercallError.invalid) { try channels.bindHost(to: first, port) {} }
    let open = try channels.allocateUnbound(for: first, remote: .host)
    _ = try channels.bindHost(to: first, open) {}
    #expect(throws: HypercallError.invalid) { try channels.bindHost(to: first, open) {} }
  }

  @Test("two guests are connected only if one left a port open for the other")
  func interdomain() throws {
    let open = try channels.allocateUnbound(for: first, remote: second)
    #expect(throws: HypercallError.invalid) { try channels.bindInterdomain(first, to: first, open) }
    #expect(throws: HypercallError.noSuchDomain) {
      try channels.bindInterdomain(second, to: DomainID(7), open)
    }
    let port = try channels.bindInterdomain(second, to: first, open)
    #expect(sinks[1].take() == ["\(port)@0"], "what was sent before is not lost")
    try channels.send(port, of: second)
    try channels.send(open, of: first)
    #expect(sinks[0].take() == ["\(open)@0"])
    #expect(sinks[1].take() == ["\(port)@0"])
    try channels.close(port, of: second)
    guard case .unbound(remote: second)? = channels.status(of: open, of: first)?.binding else {
      Issue.record("the other end is not open again")
      return
    }
  }

  @Test("a vCPU has each virtual interrupt once, and it goes only there")
  func virtualInterrupts() throws {
    let port = try channels.bindVirtualInterrupt(0, on: 1, of: first)
    #expect(throws: HypercallError.exists) { try channels.bindVirtualInterrupt(0, on: 1, of: first) }
    channels.raiseVirtualInterrupt(0, on: 0, of: first)
    #expect(sinks[0].take().isEmpty)
    channels.raiseVirtualInterrupt(0, on: 1, of: first)
    #expect(sinks[0].take() == ["\(port)@1"])
    #expect(throws: HypercallError.invalid) { try channels.send(port, of: first) }
    #expect(throws: HypercallError.invalid) { try channels.move(port, to: 0, of: first) }
  }

  @Test("hostile port numbers are errors", arguments: [0, 5, 4096, UInt32.max])
  func hostilePorts(number: UInt32) {
    let port = EventPort(number)
    #expect(throws: HypercallError.invalid) { try channels.send(port, of: first) }
    #expect(throws: HypercallError.invalid) { try channels.close(port, of: first) }
    #expect(throws: HypercallError.invalid) { try channels.move(port, to: 0, of: first) }
    #expect(channels.status(of: port, of: first) == nil)
  }

  @Test("a guest has 4095 ports and no more")
  func exhaustion() throws {
    for _ in 1..<EventPorts.maximum { _ = try channels.bindInterprocessor(on: 0, of: first) }
    #expect(throws: HypercallError.noSpace) { try channels.bindInterprocessor(on: 0, of: first) }
  }

  @Test("when a domain ends its back ends' channels do nothing")
  func removal() throws {
    let port = try channels.allocateUnbound(for: first, remote: .host)
    let channel = try channels.bindHost(to: first, port) {}
    channels.removeDomain(first)
    channel.notify()
    channel.close()
    #expect(sinks[0].take().isEmpty)
    #expect(throws: HypercallError.noSuchDomain) { try channels.allocateUnbound(for: first, remote: .host) }
  }
}
