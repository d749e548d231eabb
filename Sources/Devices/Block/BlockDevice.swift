// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Xenstore

/// The state of a block device's back end. Belongs to one thread.
final class BlockDevice: ServedDevice {
  private struct Connection {
    var device: DeviceConnection
    var server: BlockServer
  }

  private let queue: any BlockQueue
  private let paths: DevicePaths
  private let store: HostStore
  private let bus: DeviceBus
  private var life: DeviceLife<Connection>

  /// - Precondition: `describe` has put the device into the store.
  init(_ queue: any BlockQueue, _ paths: DevicePaths, _ store: HostStore, _ bus: DeviceBus) {
    self.queue = queue
    self.paths = paths
    self.store = store
    self.bus = bus
    life = DeviceLife(paths, in: store)
  }

  /// Writes all that a front end wants to know of a disk.
  static func describe(
    _ image: any BlockStorage, name: String, number: Int, _ paths: DevicePaths, in store: HostStore
  ) {
    // Persistent grants are not offered: mapping a page is an entry of a table, since the host has all of a guest's
    // memory mapped already, so that there is nothing to save that would be worth a copy of all data in the guest.
    paths.create(
      in: store,
      frontEnd: [("virtual-device", "\(number)"), ("device-type", "disk")],
      backEnd: [
        ("dev", name), ("type", "file"), ("params", image.path), ("mode", image.isReadOnly ? "r" : "w"),
        ("device-type", "disk"), ("bootable", "1"), ("removable", "0"),
        ("discard-enable", image.canDiscard ? "1" : "0"), ("feature-discard", image.canDiscard ? "1" : "0"),
        ("discard-granularity", "\(image.discardGranularity)"), ("discard-alignment", "0"),
        ("discard-secure", "0"),
        ("feature-max-indirect-segments", "\(BlockRing.maximumIndirectSegments)"),
        ("sectors", "\(image.sectorCount)"), ("sector-size", "\(BlockRing.sectorSize)"),
        ("physical-sector-size", "\(image.physicalSectorSize)"),
        // VDISK_READONLY
        ("info", image.isReadOnly ? "4" : "0"),
        ("feature-flush-cache", image.isReadOnly ? "0" : "1"),
        ("feature-barrier", image.isReadOnly ? "0" : "1"),
      ])
  }

  /// Follows the front end, and serves its requests.
  /// - Returns: whether there may be more of them. If not, the next one raises an event.
  @discardableResult
  func work() throws(RingError) -> Bool {
    life.follow(connect: connect, disconnect: letGo)
    guard let connection = life.connection else { return false }
    return try connection.server.work(notify: connection.device.channel.notify)
  }

  private func connect() throws(ConnectionRefusal) -> Connection {
    let name = store.read(paths.frontEnd / "protocol") ?? BlockRing.protocolName
    guard name == BlockRing.protocolName else { throw ConnectionRefusal("unknown protocol") }
    let device = try bus.connect(["ring-ref"], paths, in: store)
    let ring = bus.makeRing(device.pages[0].bytes, BlockRing.slotCount, BlockRing.slotSize)
    return Connection(device: device, server: BlockServer(ring: ring, queue: queue, grants: bus.grants))
  }

  /// Waits for what is under way, then lets go of the ring and the event channel, if it has them.
  func disconnect() { life.end(letGo) }

  private func letGo(_ connection: Connection) {
    connection.server.drain()
    bus.disconnect(connection.device)
  }
}
