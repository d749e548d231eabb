// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What a watch tells: the path as its watcher would name it, and the watcher's own word for the watch.
public struct StoreEvent: Sendable, Hashable {
  public var path: String
  public var token: String
}

/// Who uses the store: a guest's ring, or a part of the host.
public struct StoreClient: Sendable, Hashable {
  /// For whom it acts; decides what it may do.
  public let domain: DomainID
  /// Distinguishes clients that act for one domain.
  let number: UInt64
}

/// The watches of all clients.
struct StoreWatches: Sendable {
  /// What a client watches: a node and all below it, or domains coming and going.
  enum Target: Sendable, Hashable {
    case path(StorePath)
    /// `@introduceDomain` or `@releaseDomain`.
    case special(String)
  }

  private struct Watch: Sendable {
    var client: StoreClient
    var target: Target
    /// The target was given relative to the domain's directory, and events name paths that way too.
    var isRelative: Bool
    var token: String
    var deliver: @Sendable (StoreEvent) -> Void
  }

  /// An event on its way to its watcher; delivered when the store's lock is released.
  struct Delivery: Sendable {
    var event: StoreEvent
    var deliver: @Sendable (StoreEvent) -> Void

    func callAsFunction() { deliver(event) }
  }

  private var watches: [Watch] = []

  func count(of client: StoreClient) -> Int { watches.count { $0.client == client } }

  /// Adds a watch; its first event, for its own path, is to be delivered at once.
  mutating func add(
    _ client: StoreClient, _ target: Target, isRelative: Bool, token: String,
    _ deliver: @escaping @Sendable (StoreEvent) -> Void
  ) throws(StoreError) -> Delivery {
    guard !watches.contains(where: { $0.client == client && $0.target == target && $0.token == token }) else {
      throw .exists
    }
    let watch = Watch(client: client, target: target, isRelative: isRelative, token: token, deliver: deliver)
    watches.append(watch)
    switch target {
    case .path(let path): return Self.delivery(of: path, to: watch)
    case .special(let name): return Delivery(event: StoreEvent(path: name, token: token), deliver: deliver)
    }
  }

  mutating func remove(_ client: StoreClient, _ target: Target, token: String) throws(StoreError) {
    let index = watches.firstIndex { $0.client == client && $0.target == target && $0.token == token }
    guard let index else { throw .noEntry }
    watches.remove(at: index)
  }

  mutating func removeAll(of client: StoreClient) { watches.removeAll { $0.client == client } }

  /// The events that changes give rise to. Those hear of a change who may read the node.
  func deliveries(for changes: [StoreChange]) -> [Delivery] {
    var deliveries: [Delivery] = []
    for watch in watches {
      guard case .path(let watched) = watch.target else { continue }
      for change in changes where change.permissions.allows(.read, to: watch.client.domain) {
        if change.isConsequence ? change.path == watched : change.path.isWithin(watched) {
          deliveries.append(Self.delivery(of: change.path, to: watch))
        }
      }
    }
    return deliveries
  }

  /// The events of a domain's coming or going.
  func deliveries(for special: String) -> [Delivery] {
    watches.filter { $0.target == .special(special) }.map {
      Delivery(event: StoreEvent(path: special, token: $0.token), deliver: $0.deliver)
    }
  }

  private static func delivery(of path: StorePath, to watch: Watch) -> Delivery {
    let home = StorePath.home(of: watch.client.domain).description
    let text =
      watch.isRelative && path.description.hasPrefix(home + "/")
      ? String(path.description.dropFirst(home.count + 1)) : path.description
    return Delivery(event: StoreEvent(path: text, token: watch.token), deliver: watch.deliver)
  }
}
