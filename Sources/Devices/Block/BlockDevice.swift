// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Xenstore

/// The state of a block device's back end. Belongs to one thread.
final class BlockDevice: ServedDevice {
  private struct Connection {
    var device: DeviceConnection
    var server: BlockServer
    /// Nil if the front end does not use its pages over and over.
    var persistent: PersistentGrants?
  }

  private let queue: any BlockQueue
  private let paths: DevicePaths
  private let store: HostStore
  private let bus: DeviceBus
  private let persistentLimit: Int
  private var life: DeviceLife<Connection>

  /// - Parameter persistentLimit: grants that stay mapped at most.
  /// - Precondition: `describe` has put the device into the store.
  init(
    _ queue: any BlockQueue, _ paths: DevicePaths, _ store: HostStore, _ bus: DeviceBus,
    persistentLimit: Int = PersistentGrants.standardLimit
  ) {
    self.persistentLimit = persistentLimit
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
        ("feature-barrier", image.isReadOnly ? "0" : "1"), ("feature-persistent", "1"),
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
    let isPersistent = store.read(paths.frontEnd / "feature-persistent") == "1"
    let persistent = isPersistent ? PersistentGrants(bus.grants, limit: persistentLimit) : nil
    let server = BlockServer(ring: ring, queue: queue, grants: persistent ?? bus.grants)
    return Connection(device: device, server: server, persistent: persistent)
  }

  /// Waits for what is under way, then lets go of the ring and the event channel, if it has them.
  func disconnect() { life.end(letGo) }

  /// A page that stays mapped between requests; nil if it does not.
  func keptPage(_ reference: GrantReference) -> MappedPage? {
    life.connection?.persistent?.page(of: reference)
  }

  private func letGo(_ connection: Connection) {
    connection.server.drain()
    connection.persistent?.dropAll()
    bus.disconnect(connection.device)
  }
}
