// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces
import Xenstore

/// What a back end needs of the host: one guest's grants, rings in its memory, its event channels.
struct DeviceBus: Sendable {
  struct Channel: Sendable {
    var notify: @Sendable () -> Void
    var close: @Sendable () -> Void
  }

  var grants: any GrantAccess
  /// Attaches to a ring in a page; see `Machinery.makeBackRing`.
  var makeRing: @Sendable (_ page: UnsafeMutableRawPointer, _ slotCount: Int, _ slotSize: Int) -> any BackRing
  /// Binds to a port that the guest left open; nil if it did not.
  var bind: @Sendable (EventPort) -> Channel?
}

extension DeviceBus {
  /// - Parameter signal: called when the guest sends an event, on any thread: see `HostEventChannel`.
  init(_ host: Host, of domain: DomainID, signal: @escaping @Sendable () -> Void) {
    self.init(
      grants: HostGrants(host, of: domain),
      makeRing: { host.machinery.makeBackRing(page: $0, slotCount: $1, slotSize: $2) },
      bind: { port in
        let channel = try? host.bindInterdomain(domain: domain, remotePort: port, handler: signal)
        return channel.map { channel in
          Channel(notify: { channel.notify() }, close: { channel.close() })
        }
      })
  }

  /// Maps the pages of rings and binds the event channel that the front end has written into the store.
  /// - Parameter rings: the nodes with the rings' grants.
  /// - Throws: what is wrong with them; nothing is mapped or bound then.
  func connect(_ rings: [String], _ paths: DevicePaths, in store: HostStore) throws(ConnectionRefusal)
    -> DeviceConnection
  {
    let references = rings.compactMap { store.readNumber(paths.frontEnd / $0, as: UInt32.self) }
    let names = rings.joined(separator: ", ")
    guard references.count == rings.count,
      let port = store.readNumber(paths.frontEnd / "event-channel", as: UInt32.self)
    else { throw ConnectionRefusal("\(names) and event-channel are no numbers") }
    let pages: [MappedPage]
    switch grants.map(references.map { GrantReference($0) }, readOnly: false) {
    case .success(let mapped): pages = mapped
    case .failure(let refusal): throw ConnectionRefusal("\(names): \(refusal)")
    }
    guard let channel = bind(EventPort(port)) else {
      grants.unmap(pages)
      throw ConnectionRefusal("event-channel \(port) is not open for the host")
    }
    return DeviceConnection(pages: pages, channel: channel)
  }

  /// Lets go of what `connect` took.
  func disconnect(_ connection: DeviceConnection) {
    connection.channel.close()
    grants.unmap(connection.pages)
  }
}

/// A guest's rings, mapped, and its event channel, bound.
struct DeviceConnection: Sendable {
  var pages: [MappedPage]
  var channel: DeviceBus.Channel
}

/// Why a back end does not connect, in one line.
struct ConnectionRefusal: Error, Sendable, Hashable, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}
