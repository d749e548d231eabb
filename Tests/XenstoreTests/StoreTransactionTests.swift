// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Xenstore

@Suite("A transaction")
struct StoreTransactionTests {
  @Test("shows its own writes to itself and to nobody else, until it ends")
  func isolation() throws {
    let fixture = try StoreFixture()
    let log = EventLog()
    try fixture.write("a", "0", by: fixture.guest)
    try fixture.watch("a", token: "t", by: fixture.guest, log)
    _ = log.take()
    let transaction = try fixture.store.startTransaction(by: fixture.guest)
    try fixture.write("a", "1", by: fixture.guest, in: transaction)
    try fixture.write("b/c", "2", by: fixture.guest, in: transaction)
    #expect(try fixture.read("a", by: fixture.guest, in: transaction) == "1")
    #expect(try fixture.read("a", by: fixture.guest) == "0")
    #expect(throws: StoreError.noEntry) { try fixture.read("b", by: fixture.guest) }
    #expect(log.take() == [])
    try fixture.store.endTransaction(transaction, commit: true, by: fixture.guest)
    #expect(try fixture.read("a", by: fixture.guest) == "1" && fixture.read("b/c", by: fixture.guest) == "2")
    #expect(log.take() == ["t:a"])
  }

  @Test("sees the store as it was at its start")
  func snapshot() throws {
    let fixture = try StoreFixture()
    try fixture.write("a", "0", by: fixture.guest)
    let transaction = try fixture.store.startTransaction(by: fixture.guest)
    try fixture.write("a", "1", by: fixture.guest)
    #expect(try fixture.read("a", by: fixture.guest, in: transaction) == "0")
    #expect(throws: StoreError.tryAgain) {
      try fixture.store.endTransaction(transaction, commit: true, by: fixture.guest)
    }
  }

  @Test("given up leaves nothing behind, and is not there any more")
  func abort() throws {
    let fixture = try StoreFixture()
    let transaction = try fixture.store.startTransaction(by: fixture.guest)
    try fixture.write("a", "1", by: fixture.guest, in: transaction)
    try fixture.store.endTransaction(transaction, commit: false, by: fixture.guest)
    #expect(throws: StoreError.noEntry) { try fixture.read("a", by: fixture.guest) }
    #expect(throws: StoreError.noEntry) { try fixture.read("a", by: fixture.guest, in: transaction) }
    #expect(throws: StoreError.noEntry) {
      try fixture.store.endTransaction(transaction, commit: true, by: fixture.guest)
    }
  }

  @Test("of one client is nothing to another")
  func ownership() throws {
    let fixture = try StoreFixture()
    let transaction = try fixture.store.startTransaction(by: fixture.guest)
    #expect(throws: StoreError.noEntry) { try fixture.directory("/", by: fixture.other, in: transaction) }
  }

  /// What another does between a transaction's work and its end, and whether they disturb each other.
  @Test(
    "conflicts with just those changes that it relied on",
    arguments: [
      ("read a", "write a", true), ("read a", "write b", false), ("list d", "write d/new", true),
      ("list d", "write d/x", false), ("list d", "remove d/x", true), ("read d/x", "remove d", true),
      ("read none", "write none", true), ("write a", "write a", true), ("write a", "write b", false),
      ("write d/new", "write d/other", true), ("write d/new", "write a", false),
      ("remove d", "write d/x/y", true),
      ("remove d", "write d/x", true), ("remove a", "write b", false), ("read a", "chmod a", true),
    ])
  func conflicts(own: String, others: String, conflict: Bool) throws {
    let fixture = try StoreFixture()
    for path in ["a", "b", "d/x"] { try fixture.write(path, "0", by: fixture.guest) }
    let transaction = try fixture.store.startTransaction(by: fixture.guest)
    try perform(own, fixture, transaction)
    try perform(others, fixture, 0)
    if conflict {
      #expect(throws: StoreError.tryAgain) {
        try fixture.store.endTransaction(transaction, commit: true, by: fixture.guest)
      }
    } else {
      try fixture.store.endTransaction(transaction, commit: true, by: fixture.guest)
    }
  }

  private func perform(_ text: String, _ fixture: StoreFixture, _ transaction: UInt32) throws {
    let words = text.split(separator: " ").map(String.init)
    let path = try StoreFixture.path(words[1], fixture.guest)
    let client = fixture.guest
    switch words[0] {
    case "read": _ = try? fixture.store.read(path, by: client, in: transaction)
    case "list": _ = try fixture.store.directory(path, by: client, in: transaction)
    case "write": try fixture.store.write(path, [1], by: client, in: transaction)
    case "remove": try fixture.store.remove(path, by: client, in: transaction)
    default: try fixture.store.setPermissions(path, StorePermissions(owner: DomainID(1)), by: client)
    }
  }

  @Test("that would exceed a quota at its end does nothing at all")
  func quota() throws {
    var quota = StoreQuota()
    quota.nodes = 3
    let fixture = try StoreFixture(quota: quota)
    let transaction = try fixture.store.startTransaction(by: fixture.guest)
    try fixture.write("a/b", "1", by: fixture.guest, in: transaction)
    let directory = try #require(StorePath("/elsewhere"))
    try fixture.store.write(directory, [], by: fixture.host)
    try fixture.store.setPermissions(directory, StorePermissions(owner: DomainID(1)), by: fixture.host)
    #expect(throws: StoreError.noSpace) {
      try fixture.store.endTransaction(transaction, commit: true, by: fixture.guest)
    }
    #expect(throws: StoreError.noEntry) { try fixture.read("a", by: fixture.guest) }
  }

  @Test("cannot be made to remember without end")
  func size() throws {
    var quota = StoreQuota()
    quota.transactionSize = 10
    let fixture = try StoreFixture(quota: quota)
    let transaction = try fixture.store.startTransaction(by: fixture.guest)
    #expect(throws: StoreError.noSpace) {
      for number in 0..<11 { _ = try? fixture.read("x\(number)", by: fixture.guest, in: transaction) }
      _ = try fixture.read("y", by: fixture.guest, in: transaction)
    }
  }
}
