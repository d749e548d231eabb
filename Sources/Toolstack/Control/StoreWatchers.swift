// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Xenstore

/// Connections that are told of changes in the store: a line each time, for as long as they read.
final class StoreWatchers: Sendable {
  private let store: HostStore
  private struct Change: Equatable {
    var connection: Int32
    var path: StorePath
  }
  private struct State {
    var paths: [Int32: StorePath] = [:]
    var changed: [Change] = []
  }
  private let state = Mutex(State())
  private let thread = ServiceThread(name: "watches")

  /// Watches at once.
  static let limit = 16
  /// Changes that wait to be told of; beyond them, some are not.
  private static let backlog = 10_000

  init(_ store: HostStore) { self.store = store }

  /// Begins to tell of changes, on a thread of its own.
  func start() { thread.start { [weak self] in self?.tell() } }

  /// Whether one more can be watched for; those whose other side has gone make room.
  var hasRoom: Bool {
    let paths = state.withLock { $0.paths }
    for (connection, path) in paths where !Self.isThere(connection) { remove(connection, path) }
    return state.withLock { $0.paths.count < Self.limit }
  }

  private static func isThere(_ connection: Int32) -> Bool {
    var byte: UInt8 = 0
    return recv(connection, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) != 0
  }

  /// Watches a node for a connection, which is this object's from now on. Call it where there is room.
  func add(_ connection: Int32, _ path: StorePath) {
    state.withLock { $0.paths[connection] = path }
    store.watch(path, token: "\(connection)") { [weak self] path in
      let change = Change(connection: connection, path: path)
      self?.state.withLock { state in
        if state.changed.count < Self.backlog, state.changed.last != change { state.changed.append(change) }
      }
      self?.thread.signal()
    }
  }

  /// Tells of what has changed. Changes of one node on end are one.
  private func tell() {
    let due = state.withLock { state in
      defer { state.changed = [] }
      return state.changed
    }
    for change in due {
      guard let watched = state.withLock({ $0.paths[change.connection] }) else { continue }
      let node = StoreNode(path: change.path.description, value: store.read(change.path))
      if !UnixSocket.write(ControlLine.encode(ControlReply(nodes: [node])), to: change.connection) {
        remove(change.connection, watched)
      }
    }
  }

  private func remove(_ connection: Int32, _ path: StorePath) {
    guard state.withLock({ $0.paths.removeValue(forKey: connection) }) != nil else { return }
    store.unwatch(path, token: "\(connection)")
    Glibc.close(connection)
  }

  func close() {
    thread.stop()
    for (connection, path) in state.withLock({ $0.paths }) { remove(connection, path) }
  }
}
