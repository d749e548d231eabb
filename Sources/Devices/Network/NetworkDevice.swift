// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Xenstore

/// The state of a network interface's back end. Belongs to one thread.
final class NetworkDevice: ServedDevice {
  private struct Connection {
    var device: DeviceConnection
    var transmit: TransmitServer
    var receive: ReceiveServer
  }

  private let paths: DevicePaths
  private let store: HostStore
  private let bus: DeviceBus
  private let largeSegments: Bool
  private let send: (UnsafeRawBufferPointer) -> Void
  private var life: DeviceLife<Connection>

  /// - Parameters:
  ///   - largeSegments: whether the guest may transmit them: see `GuestNetwork`.
  ///   - send: given each frame that the guest transmits.
  /// - Precondition: `describe` has put the device into the store.
  init(
    _ paths: DevicePaths, _ store: HostStore, _ bus: DeviceBus, largeSegments: Bool,
    send: @escaping (UnsafeRawBufferPointer) -> Void
  ) {
    self.paths = paths
    self.store = store
    self.bus = bus
    self.largeSegments = largeSegments
    self.send = send
    life = DeviceLife(paths, in: store)
  }

  /// Writes all that a front end wants to know of an interface.
  static func describe(
    _ address: EthernetAddress, number: Int, largeSegments: Bool, _ paths: DevicePaths, in store: HostStore
  ) {
    paths.create(
      in: store,
      frontEnd: [("handle", "\(number)"), ("mac", address.description)],
      backEnd: [
        ("handle", "\(number)"), ("mac", address.description), ("type", "vif"),
        // Frames are copied into the guest's pages; those of the guest may be scattered, and perhaps be large segments of
        // TCP over IPv4. Checksums may be blank there: that goes without saying for IPv4.
        ("feature-rx-copy", "1"), ("feature-rx-flip", "0"), ("feature-sg", "1"),
        ("feature-gso-tcpv4", largeSegments ? "1" : "0"),
      ])
  }

  /// A frame for the guest; lost if it is not connected.
  func receive(_ frame: UnsafeRawBufferPointer) { life.connection?.receive.add(frame) }

  /// Follows the front end, takes what the guest transmits, and puts in what it is to receive.
  /// - Returns: whether there may be more of the guest's to take. If not, it raises an event.
  func work() throws(RingError) -> Bool {
    life.follow(connect: connect) { bus.disconnect($0.device) }
    guard let connection = life.connection else { return false }
    let isBusy = try connection.transmit.work(notify: connection.device.channel.notify)
    try connection.receive.work(notify: connection.device.channel.notify)
    return isBusy
  }

  private func connect() throws(ConnectionRefusal) -> Connection {
    // Of one that does not want them copied, frames cannot be received at all.
    guard store.readNumber(paths.frontEnd / "request-rx-copy", as: Int.self) == 1 else {
      throw ConnectionRefusal("the front end does not ask for request-rx-copy")
    }
    let device = try bus.connect(["tx-ring-ref", "rx-ring-ref"], paths, in: store)
    let rings = zip(device.pages, [NetworkRing.transmitSlotSize, NetworkRing.receiveSlotSize]).map {
      bus.makeRing($0.bytes, NetworkRing.slotCount, $1)
    }
    let transmit = TransmitServer(
      ring: rings[0], grants: bus.grants, largeSegments: largeSegments, send: send)
    return Connection(
      device: device, transmit: transmit, receive: ReceiveServer(ring: rings[1], grants: bus.grants))
  }

  /// Lets go of the rings and the event channel, if it has them.
  func disconnect() { life.end { bus.disconnect($0.device) } }
}
