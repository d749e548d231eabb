// SPDX-License-Identifier: Apache-2.0

import Xenstore

/// The way of a back end through its states, behind its front end's in the store:
///
///     front end          back end
///     1 initialising     2 waits for the front end's details
///     3, 4               maps the rings, binds the event channel, 4 connected
///     5 closing          lets go of both, 5
///     6 closed           lets go of both, 6; and back to 2 when the front end is 1 again, so that a boot loader
///                        can hand the device over to a kernel
struct DeviceLife<Connection> {
  private let paths: DevicePaths
  private let store: HostStore
  /// What the back end has of its front end while they are connected.
  private(set) var connection: Connection?
  private var state = DeviceState.initWait

  /// - Precondition: the device is in the store.
  init(_ paths: DevicePaths, in store: HostStore) {
    self.paths = paths
    self.store = store
    // A guest looks only while the back end waits, so it waits from the beginning.
    enter(.initWait)
  }

  /// Does what the front end's state asks for.
  mutating func follow(
    connect: () throws(ConnectionRefusal) -> Connection, disconnect: (Connection) -> Void
  ) {
    let frontEnd = store.readNumber(paths.frontEnd / "state", as: Int.self).flatMap(DeviceState.init)
    switch frontEnd {
    case .initialising, .initWait: leave(for: .initWait, disconnect)
    case .initialised, .connected:
      if state == .initWait { self.connect(connect) }
    case .closing: leave(for: .closing, disconnect)
    case .closed, nil: leave(for: .closed, disconnect)
    }
  }

  /// Lets go of the front end, whatever its state.
  mutating func end(_ disconnect: (Connection) -> Void) {
    guard let connection else { return }
    self.connection = nil
    disconnect(connection)
  }

  private mutating func enter(_ new: DeviceState) {
    state = new
    store.write(paths.backEnd / "state", new)
  }

  private mutating func leave(for new: DeviceState, _ disconnect: (Connection) -> Void) {
    end(disconnect)
    if state != new { enter(new) }
  }

  private mutating func connect(_ connect: () throws(ConnectionRefusal) -> Connection) {
    do throws(ConnectionRefusal) {
      connection = try connect()
      store.remove(paths.backEnd / "error")
      enter(.connected)
    } catch {
      // The place where Linux's back ends tell of errors; the guest sees the state.
      store.write(paths.backEnd / "error", error.description)
      enter(.closing)
    }
  }
}
