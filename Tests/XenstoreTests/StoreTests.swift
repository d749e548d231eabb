// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Xenstore

@Suite("The store")
struct StoreTests {
  @Test("keeps values, makes what lacks above them, and lists children")
  func values() throws {
    let fixture = try StoreFixture()
    try fixture.write("a/b/c", "1", by: fixture.guest)
    try fixture.write("a/z", "2", by: fixture.guest)
    try fixture.write("a/b/c", "3", by: fixture.guest)
    #expect(try fixture.read("/local/domain/1/a/b/c", by: fixture.host) == "3")
    #expect(try fixture.read("a/b", by: fixture.guest) == "")
    #expect(try fixture.directory("a", by: fixture.guest) == ["b", "z"])
    #expect(throws: StoreError.noEntry) { try fixture.read("a/x", by: fixture.guest) }
  }

  @Test("removes a node with all below it; a missing one in a directory that is there is no error")
  func removal() throws {
    let fixture = try StoreFixture()
    try fixture.write("a/b/c", "1", by: fixture.guest)
    try fixture.remove("a", by: fixture.guest)
    #expect(try fixture.directory("/local/domain/1", by: fixture.guest) == [])
    try fixture.remove("a", by: fixture.guest)
    #expect(throws: StoreError.noEntry) { try fixture.remove("a/b", by: fixture.guest) }
    #expect(throws: StoreError.invalid) { try fixture.remove("/", by: fixture.host) }
  }

  @Test("hides what a guest may not read, and whether it is there")
  func isolation() throws {
    let fixture = try StoreFixture()
    try fixture.write("secret", "1", by: fixture.other)
    #expect(throws: StoreError.accessDenied) { try fixture.read("/local/domain/2/secret", by: fixture.guest) }
    #expect(throws: StoreError.accessDenied) { try fixture.read("/local/domain/2/none", by: fixture.guest) }
    #expect(throws: StoreError.accessDenied) { try fixture.write("/local/domain/2/x", "", by: fixture.guest) }
    #expect(throws: StoreError.accessDenied) { try fixture.write("/local/domain/3/x", "", by: fixture.guest) }
    #expect(throws: StoreError.accessDenied) {
      try fixture.remove("/local/domain/2/secret", by: fixture.guest)
    }
    #expect(throws: StoreError.accessDenied) { try fixture.write("/top", "", by: fixture.guest) }
  }

  @Test("lets an owner admit others, and nobody give nodes away")
  func permissions() throws {
    let fixture = try StoreFixture()
    let path = try StoreFixture.path("shared", fixture.other)
    try fixture.write("shared", "1", by: fixture.other)
    let admits = StorePermissions(owner: DomainID(2), .init(DomainID(1), .read))
    try fixture.store.setPermissions(path, admits, by: fixture.other)
    #expect(try fixture.read("/local/domain/2/shared", by: fixture.guest) == "1")
    #expect(throws: StoreError.accessDenied) {
      try fixture.write("/local/domain/2/shared", "2", by: fixture.guest)
    }
    try fixture.store.setPermissions(
      path, StorePermissions(owner: DomainID(2), .init(DomainID(1), .both)), by: fixture.other)
    try fixture.write("/local/domain/2/shared", "2", by: fixture.guest)
    #expect(throws: StoreError.accessDenied) {
      try fixture.store.setPermissions(path, StorePermissions(owner: DomainID(1)), by: fixture.guest)
    }
    #expect(throws: StoreError.notPermitted) {
      try fixture.store.setPermissions(path, StorePermissions(owner: DomainID(1)), by: fixture.other)
    }
    #expect(StorePermissions(texts: ["n2", "b1"])?.texts == ["n2", "b1"])
    for texts in [[], ["x1"], ["r"], ["r-1"], ["r32752"], ["r99999"]] {
      #expect(StorePermissions(texts: texts) == nil)
    }
  }

  @Test("gives what a guest makes below the host's nodes to that guest")
  func inheritance() throws {
    let fixture = try StoreFixture()
    let path = try #require(StorePath("/local/domain/1/control"))
    try fixture.store.write(path, [], by: fixture.host)
    try fixture.store.setPermissions(
      path, StorePermissions(owner: .host, .init(DomainID(1), .both)), by: fixture.host)
    try fixture.write("control/x", "", by: fixture.guest)
    let made = try fixture.store.permissions(of: path / "x", by: fixture.host)
    #expect(made == StorePermissions(owner: DomainID(1), .init(DomainID(1), .both)))
  }

  @Test("limits nodes, values, watches, transactions and permissions of guests, not of the host")
  func quotas() throws {
    var quota = StoreQuota()
    quota.nodes = 4
    quota.watches = 2
    quota.transactions = 2
    let fixture = try StoreFixture(quota: quota)
    // The guest's own directory counts.
    try fixture.write("a/b", "", by: fixture.guest)
    #expect(throws: StoreError.noSpace) { try fixture.write("c/d", "", by: fixture.guest) }
    try fixture.write("c", "", by: fixture.guest)
    #expect(throws: StoreError.noSpace) { try fixture.write("d", "", by: fixture.guest) }
    try fixture.remove("a", by: fixture.guest)
    try fixture.write("d", "", by: fixture.guest)

    try fixture.write("d", String(repeating: "x", count: 2048), by: fixture.guest)
    #expect(throws: StoreError.noSpace) {
      try fixture.write("d", String(repeating: "x", count: 2049), by: fixture.guest)
    }
    let log = EventLog()
    try fixture.watch("a", token: "1", by: fixture.guest, log)
    try fixture.watch("a", token: "2", by: fixture.guest, log)
    #expect(throws: StoreError.tooBig) { try fixture.watch("a", token: "3", by: fixture.guest, log) }
    _ = try fixture.store.startTransaction(by: fixture.guest)
    _ = try fixture.store.startTransaction(by: fixture.guest)
    #expect(throws: StoreError.noSpace) { try fixture.store.startTransaction(by: fixture.guest) }
    let path = try StoreFixture.path("d", fixture.guest)
    let texts = ["n1"] + (2...6).map { "r\($0)" }
    let many = try #require(StorePermissions(texts: texts))
    #expect(throws: StoreError.noSpace) { try fixture.store.setPermissions(path, many, by: fixture.guest) }
    for number in 0..<100 { try fixture.write("/host/\(number)", "", by: fixture.host) }
  }
}

@Suite("A watch")
struct StoreWatchTests {
  @Test("fires at once, then for its node and all below it, in the words of its watcher")
  func fires() throws {
    let fixture = try StoreFixture()
    let log = EventLog()
    try fixture.watch("a", token: "rel", by: fixture.guest, log)
    try fixture.watch("/local/domain/1/a", token: "abs", by: fixture.guest, log)
    #expect(log.take() == ["rel:a", "abs:/local/domain/1/a"])
    try fixture.write("a/b", "", by: fixture.guest)
    #expect(log.take() == ["rel:a/b", "abs:/local/domain/1/a/b"])
    try fixture.write("ab", "", by: fixture.guest)
    #expect(log.take() == [])
    let path = try StoreFixture.path("a", fixture.guest)
    try fixture.store.setPermissions(path, StorePermissions(owner: DomainID(1)), by: fixture.guest)
    #expect(log.take() == ["rel:a", "abs:/local/domain/1/a"])
  }

  @Test("fires when a node above its own is removed, and then for its own alone")
  func removal() throws {
    let fixture = try StoreFixture()
    let log = EventLog()
    try fixture.write("a/b/c", "", by: fixture.guest)
    try fixture.watch("a/b", token: "t", by: fixture.guest, log)
    _ = log.take()
    try fixture.remove("a", by: fixture.guest)
    #expect(log.take() == ["t:a/b"])
    try fixture.remove("a", by: fixture.guest)
    #expect(log.take() == [])
  }

  @Test("does not tell of nodes that its watcher may not read")
  func isolation() throws {
    let fixture = try StoreFixture()
    let log = EventLog()
    try fixture.watch("/", token: "t", by: fixture.guest, log)
    _ = log.take()
    try fixture.write("x", "", by: fixture.other)
    try fixture.remove("x", by: fixture.other)
    #expect(log.take() == [])
    try fixture.write("/public", "", by: fixture.host)
    #expect(log.take() == ["t:/public"])
  }

  @Test("is known by path and token: the same twice is refused, and each is taken away by both")
  func identity() throws {
    let fixture = try StoreFixture()
    let log = EventLog()
    try fixture.watch("a", token: "t", by: fixture.guest, log)
    #expect(throws: StoreError.exists) { try fixture.watch("a", token: "t", by: fixture.guest, log) }
    let path = StoreWatches.Target.path(try StoreFixture.path("a", fixture.guest))
    #expect(throws: StoreError.noEntry) { try fixture.store.unwatch(path, token: "u", by: fixture.guest) }
    #expect(throws: StoreError.noEntry) { try fixture.store.unwatch(path, token: "t", by: fixture.other) }
    try fixture.store.unwatch(path, token: "t", by: fixture.guest)
    _ = log.take()
    try fixture.write("a", "", by: fixture.guest)
    #expect(log.take() == [])
  }

  @Test("of domains' coming and going is the host's alone")
  func special() throws {
    let fixture = try StoreFixture()
    let log = EventLog()
    try fixture.store.watch(.special("@introduceDomain"), isRelative: false, token: "i", by: fixture.host) {
      log.add($0)
    }
    #expect(throws: StoreError.accessDenied) {
      try fixture.store.watch(.special("@introduceDomain"), isRelative: false, token: "i", by: fixture.guest)
      { _ in }
    }
    fixture.store.introduce(DomainID(1))
    fixture.store.release(DomainID(1))
    #expect(log.take() == ["i:@introduceDomain", "i:@introduceDomain"])
  }

  @Test("may change the store when it is called")
  func reentrance() throws {
    let store = HostStore(Store())
    let log = EventLog()
    store.watch(.root / "a", token: "t") { _ in
      log.add(StoreEvent(path: store.read(.root / "a") ?? "-", token: "t"))
      if store.read(.root / "a") == "1" { store.write(.root / "a", "2") }
    }
    store.write(.root / "a", "1")
    #expect(log.take() == ["t:-", "t:1", "t:2"])
  }
}
