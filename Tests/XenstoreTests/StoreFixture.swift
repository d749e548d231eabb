// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

@testable import Xenstore

/// A store with a directory for each of two guests, which they own.
struct StoreFixture {
  let store: Store
  let host: StoreClient
  let guest: StoreClient
  let other: StoreClient

  init(quota: StoreQuota = StoreQuota()) throws {
    store = Store(quota: quota)
    host = store.connect(as: .host)
    guest = store.connect(as: DomainID(1))
    other = store.connect(as: DomainID(2))
    for number in [1, 2] as [UInt16] {
      let home = StorePath.home(of: DomainID(number))
      try store.write(home, [], by: host)
      try store.setPermissions(home, StorePermissions(owner: DomainID(number)), by: host)
    }
  }

  func write(_ path: String, _ value: String, by client: StoreClient, in transaction: UInt32 = 0)
    throws(StoreError)
  {
    try store.write(Self.path(path, client), Array(value.utf8), by: client, in: transaction)
  }

  func read(_ path: String, by client: StoreClient, in transaction: UInt32 = 0) throws(StoreError) -> String {
    String(decoding: try store.read(Self.path(path, client), by: client, in: transaction), as: UTF8.self)
  }

  func remove(_ path: String, by client: StoreClient, in transaction: UInt32 = 0) throws(StoreError) {
    try store.remove(Self.path(path, client), by: client, in: transaction)
  }

  func directory(_ path: String, by client: StoreClient, in transaction: UInt32 = 0) throws(StoreError)
    -> [String]
  {
    try store.directory(Self.path(path, client), by: client, in: transaction)
  }

  func watch(_ path: String, token: String, by client: StoreClient, _ events: EventLog) throws(StoreError) {
    let isRelative = !path.hasPrefix("/")
    try store.watch(
      .path(Self.path(path, client)), isRelative: isRelative, token: token, by: client, { events.add($0) })
  }

  static func path(_ text: String, _ client: StoreClient) throws(StoreError) -> StorePath {
    guard let path = StorePath(text, of: client.domain) else { throw .invalid }
    return path
  }
}

/// The events that came, as `token:path`.
final class EventLog: Sendable {
  private let events = Mutex<[String]>([])

  func add(_ event: StoreEvent) { events.withLock { $0.append("\(event.token):\(event.path)") } }

  /// What came since the last call.
  func take() -> [String] {
    events.withLock { events in
      defer { events = [] }
      return events
    }
  }
}
