// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The store as the host's own parts use it: they may do everything, and what can fail is told by nil.
public struct HostStore: Sendable {
  public let store: Store
  private let client: StoreClient

  public init(_ store: Store) {
    self.store = store
    client = store.connect(as: .host)
  }

  /// The text of a node; nil if there is none, or if a guest put something there that is no text.
  public func read(_ path: StorePath) -> String? {
    guard let value = try? store.read(path, by: client) else { return nil }
    return String(validating: value, as: UTF8.self)
  }

  /// The number that stands in a node, in decimal; nil for all else.
  public func readNumber<Number: FixedWidthInteger>(_ path: StorePath, as type: Number.Type = Number.self)
    -> Number?
  {
    read(path).flatMap { Number($0) }
  }

  /// The names of a node's children; none if there is no node.
  public func directory(_ path: StorePath) -> [String] { (try? store.directory(path, by: client)) ?? [] }

  public func exists(_ path: StorePath) -> Bool { (try? store.directory(path, by: client)) != nil }

  /// Sets a node's value; makes it and what lacks above it.
  public func write(_ path: StorePath, _ value: some CustomStringConvertible) {
    // No quota or permission stands in the host's way, and a write makes what lacks.
    try? store.write(path, Array(value.description.utf8), by: client)
  }

  /// Sets a node's value and permissions.
  public func write(_ path: StorePath, _ value: some CustomStringConvertible, _ permissions: StorePermissions)
  {
    write(path, value)
    try? store.setPermissions(path, permissions, by: client)
  }

  /// Removes a node and all below it, if it is there.
  public func remove(_ path: StorePath) { try? store.remove(path, by: client) }

  /// Calls back at once, and whenever the node or one below it changes, with the path of what changed: from any thread,
  /// with no lock held.
  /// - Parameter token: distinguishes watches of one path.
  public func watch(_ path: StorePath, token: String, _ changed: @escaping @Sendable (StorePath) -> Void) {
    try? store.watch(.path(path), isRelative: false, token: token, by: client) { event in
      changed(StorePath(event.path) ?? path)
    }
  }

  public func unwatch(_ path: StorePath, token: String) {
    try? store.unwatch(.path(path), token: token, by: client)
  }

  /// Ends this client: its watches are gone.
  public func disconnect() { store.disconnect(client) }
}
