// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces
import Synchronization

/// A guest's connection to the store: its ring, its event channel, and a thread that serves them.
public final class StoreConnection: Sendable {
  private let thread: ServiceThread
  private let channel: HostEventChannel

  /// Connects a domain.
  /// - Parameters:
  ///   - page: the store ring's page; stays the domain's until `close` has returned.
  ///   - port: the guest's port, open for the host.
  public init(
    _ store: Store, to domain: Domain, on host: Host, page: UnsafeMutableRawPointer, port: EventPort
  )
    throws(HypercallError)
  {
    let thread = ServiceThread(name: "xenstore-\(domain.id)")
    let ring = host.machinery.makeStreamRing(page: page, layout: .xenstore)
    let server = Confined(
      StoreRingServer(store: store, domain: domain.id, ring: ring) { thread.signal() })
    let channel = try host.bindInterdomain(domain: domain.id, remotePort: port) { thread.signal() }
    thread.start { wakeUp, isStopping in
      defer { server.value.close() }
      do throws(StoreRingFailure) {
        while !isStopping() {
          if try server.value.work() { channel.notify() }
          wakeUp.wait()
        }
      } catch {
        domain.crash("\(error)")
      }
    }
    self.thread = thread
    self.channel = channel
  }

  /// Ends the connection; the page is not touched any more.
  public func close() {
    channel.close()
    thread.stop()
  }
}

/// Something that is handed over to one thread, and touched by no other from then on.
public struct Confined<Value>: @unchecked Sendable {
  public let value: Value
  public init(_ value: Value) { self.value = value }
}
