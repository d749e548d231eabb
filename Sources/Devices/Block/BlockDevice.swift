// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Xenstore

/// What a block device needs of the host: grants, rings, event channels.
struct BlockBus: Sendable {
  struct Channel: Sendable {
    var notify: @Sendable () -> Void
    var close: @Sendable () -> Void
  }

  var grants: any GrantAccess
  var makeRing: @Sendable (UnsafeMutableRawPointer) -> any BackRing
  /// Binds to a port that the guest left open; nil if it did not.
  var bind: @Sendable (EventPort) -> Channel?
}

/// The state of a block device's back end. Belongs to one thread.
final class BlockDevice {
  private struct Connection {
    var page: MappedPage
    var channel: BlockBus.Channel
    var server: BlockServer
  }

  private let image: DiskImage
  private let paths: DevicePaths
  private let store: HostStore
  private let bus: BlockBus
  private var connection: Connection?
  private var state = DeviceState.initWait

  /// - Precondition: `describe` has put the device into the store.
  init(_ image: DiskImage, _ paths: DevicePaths, _ store: HostStore, _ bus: BlockBus) {
    self.image = image
    self.paths = paths
    self.store = store
    self.bus = bus
    // A guest looks only while the back end waits, so it waits from the beginning.
    enter(.initWait)
  }

  /// Writes all that a front end wants to know of a disk.
  static func describe(
    _ image: DiskImage, name: String, number: Int, _ paths: DevicePaths, in store: HostStore
  ) {
    paths.create(
      in: store,
      frontEnd: [("virtual-device", "\(number)"), ("device-type", "disk")],
      backEnd: [
        ("dev", name), ("type", "file"), ("params", image.path), ("mode", image.isReadOnly ? "r" : "w"),
        ("device-type", "disk"), ("bootable", "1"), ("removable", "0"), ("discard-enable", "0"),
        ("sectors", "\(image.sectorCount)"), ("sector-size", "\(BlockRing.sectorSize)"),
        // VDISK_READONLY
        ("info", image.isReadOnly ? "4" : "0"),
        ("feature-flush-cache", image.isReadOnly ? "0" : "1"),
        ("feature-barrier", image.isReadOnly ? "0" : "1"),
      ])
  }

  /// Follows the front end, and serves its requests.
  func work() throws(RingError) {
    follow()
    guard let connection else { return }
    try connection.server.work(notify: connection.channel.notify)
  }

  private func enter(_ new: DeviceState) {
    state = new
    store.write(paths.backEnd / "state", new)
  }

  private func follow() {
    let frontEnd = store.readNumber(paths.frontEnd / "state", as: Int.self).flatMap(DeviceState.init)
    switch frontEnd {
    case .initialising, .initWait:
      if state != .initWait {
        disconnect()
        enter(.initWait)
      }
    case .initialised, .connected:
      if state == .initWait { connect() }
    case .closing:
      disconnect()
      if state != .closing { enter(.closing) }
    case .closed, nil:
      disconnect()
      if state != .closed { enter(.closed) }
    }
  }

  private func connect() {
    do throws(Refusal) {
      connection = try makeConnection()
      store.remove(paths.backEnd / "error")
      enter(.connected)
    } catch {
      // The place where Linux's back ends tell of errors; the guest sees the state.
      store.write(paths.backEnd / "error", error.description)
      enter(.closing)
    }
  }

  private struct Refusal: Error {
    var description: String
  }

  private func makeConnection() throws(Refusal) -> Connection {
    let name = store.read(paths.frontEnd / "protocol") ?? BlockRing.protocolName
    guard name == BlockRing.protocolName else { throw Refusal(description: "unknown protocol") }
    guard let reference = store.readNumber(paths.frontEnd / "ring-ref", as: UInt32.self),
      let port = store.readNumber(paths.frontEnd / "event-channel", as: UInt32.self)
    else { throw Refusal(description: "ring-ref and event-channel are no numbers") }
    let page: MappedPage
    switch bus.grants.map([GrantReference(reference)], readOnly: false) {
    case .success(let pages): page = pages[0]
    case .failure(let refusal): throw Refusal(description: "ring-ref: \(refusal)")
    }
    guard let channel = bus.bind(EventPort(port)) else {
      bus.grants.unmap([page])
      throw Refusal(description: "event-channel \(port) is not open for the host")
    }
    let server = BlockServer(ring: bus.makeRing(page.bytes), image: image, grants: bus.grants)
    return Connection(page: page, channel: channel, server: server)
  }

  /// Lets go of the ring and the event channel, if it has them.
  func disconnect() {
    guard let connection else { return }
    self.connection = nil
    connection.channel.close()
    bus.grants.unmap([connection.page])
  }
}
