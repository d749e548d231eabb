// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Synchronization
import Testing

@testable import Hypervisor

/// The host's end of event channels: back ends and their handlers.
@Suite("Event channels")
struct EventChannelTests {
  /// A guest whose vCPU 0 shares the beginning of the page.
  final class Guest: EventRecipient, Sendable {
    let page = SharedPage()
    func kick(_ vcpu: Int) {}
    func stir() {}
    /// Whether a port of the first word is pending; takes it.
    func take(_ port: EventPort) -> Bool {
      page.pending(0).clearShared(1 << UInt64(port.rawValue)) >> UInt64(port.rawValue) & 1 != 0
    }
  }

  let channels = EventChannels(OptimisedEventPorts(words: SharedEventWords()))
  let guest = Guest()
  let first = DomainID(1)

  init() {
    channels.perform { [guest, first] ports in
      _ = ports.addDomain(
        first, sharedInfo: guest.page.base, portCount: 64, virtualCPUCount: 1, recipient: guest)
      _ = ports.register(0, of: first, info: guest.page.base)
    }
  }

  private func open(for remote: DomainID) -> EventPort {
    channels.perform { $0.allocateUnbound(first, remote: remote).port }
  }
  private func send(_ port: EventPort) -> EventStatus { channels.perform { $0.send(port, by: first) } }

  @Test("events pass both ways between a guest and a back end, until one closes")
  func host() throws {
    let port = open(for: .host)
    let calls = Atomic(0)
    let channel = try channels.bindHost(to: first, port) { calls.wrappingAdd(1, ordering: .relaxed) }
    #expect(calls.load(ordering: .relaxed) == 1, "the back end looks once when it binds")
    for sent in 2...5 {
      #expect(send(port) == .okay)
      #expect(calls.load(ordering: .relaxed) == sent)
    }
    channel.notify()
    #expect(guest.take(port))
    channel.close()
    channel.notify()
    #expect(send(port) == .okay)
    #expect(!guest.take(port))
    #expect(calls.load(ordering: .relaxed) == 5)
  }

  @Test("a handler may notify, and may close its channel")
  func handlerCalls() throws {
    let port = open(for: .host)
    let channel = Mutex<HostEventChannel?>(nil)
    let bound = try channels.bindHost(to: first, port) {
      guard let bound = channel.withLock({ $0 }) else { return }
      bound.notify()
      bound.close()
    }
    channel.withLock { $0 = bound }
    #expect(send(port) == .okay)
    #expect(guest.take(port))
    #expect(channels.perform { $0.status(of: port, in: first).state.binding } == .unbound(remote: .host))
  }

  @Test("a back end binds only to a port that was left open for the host")
  func refusedHost() throws {
    #expect(throws: HypercallError.invalid) { try channels.bindHost(to: first, EventPort(9)) {} }
    #expect(throws: HypercallError.noSuchDomain) { try channels.bindHost(to: DomainID(7), EventPort(1)) {} }
    let port = open(for: DomainID(2))
    #expect(throws: HypercallError.invalid) { try channels.bindHost(to: first, port) {} }
    let open = open(for: .host)
    _ = try channels.bindHost(to: first, open) {}
    #expect(throws: HypercallError.invalid) { try channels.bindHost(to: first, open) {} }
  }

  @Test("when a domain ends its back ends' channels do nothing, and their ports are free again")
  func removal() throws {
    for _ in 0..<3 {
      let port = open(for: .host)
      let channel = try channels.bindHost(to: first, port) {}
      #expect(channel.port == EventPort(1))
      channels.removeDomain(first)
      channel.notify()
      channel.close()
      #expect(!guest.take(port))
      #expect(channels.perform { $0.allocateUnbound(first, remote: .host).status } == .noSuchDomain)
      channels.perform { [guest, first] ports in
        _ = ports.addDomain(
          first, sharedInfo: guest.page.base, portCount: 64, virtualCPUCount: 1, recipient: guest)
      }
    }
  }

  @Test("several back ends get each its own events")
  func several() throws {
    let calls = Mutex([Int](repeating: 0, count: 40))
    let ports = try (0..<40).map { index in
      let port = open(for: .host)
      _ = try channels.bindHost(to: first, port) { calls.withLock { $0[index] += 1 } }
      return port
    }
    #expect(send(ports[7]) == .okay && send(ports[39]) == .okay && send(ports[7]) == .okay)
    #expect(calls.withLock { $0 } == (0..<40).map { $0 == 7 ? 3 : $0 == 39 ? 2 : 1 })
  }
}
