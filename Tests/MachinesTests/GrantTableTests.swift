// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@Suite("Domains and their tables")
struct GrantTableTests {
  @Test("A domain begins once, with a number that is not reserved")
  func addDomain() {
    let host = GrantHost()
    #expect(host.tables.addDomain(one, maximumFrames: 1, maximumHandles: 1) == .badDomain)
    #expect(host.tables.addDomain(.firstReserved, maximumFrames: 1, maximumHandles: 1) == .badDomain)
    #expect(host.tables.addDomain(DomainID(0x7fef), maximumFrames: 0, maximumHandles: 0) == .okay)
    #expect(
      host.tables.map(
        GrantMapRequest(granter: one, reference: GrantReference(0), readOnly: true), by: DomainID(0x7fef)
      ).status == .noDeviceSpace)
  }

  @Test("A table grows to its maximum, and entries of each frame are found")
  func grow() {
    let host = GrantHost()
    #expect(host.tables.size(of: one) == (.okay, 1, 2))
    let second = GrantHost<SharedGrantEntries>.emptyTableFrame()
    defer { second.deallocate() }
    #expect(host.map(512).status == .badReference)
    #expect(host.tables.grow(one, entries: second) == .okay)
    #expect(host.tables.size(of: one) == (.okay, 2, 2))
    GrantTableGuest(entries: second, frames: 1)
      .grantAccess(GrantReference(1), to: two, frame: 12, readOnly: false)
    #expect(host.map(513).frame == MachineFrame(12))
    #expect(host.map(1024).status == .badReference)
    #expect(host.tables.grow(one, entries: second) == .noSpace)
    #expect(host.tables.grow(DomainID(9), entries: second) == .badDomain)
    #expect(host.tables.size(of: DomainID(9)) == (.badDomain, 0, 0))
  }

  @Test("A domain is forgotten only when nobody maps its grants any more")
  func removeGranter() {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    let mapping = host.map(0, device: true)
    #expect(!host.tables.removeDomain(one))
    #expect(host.map(0).status == .badDomain, "nothing new is mapped")
    #expect(host.tables.size(of: one).status == .badDomain)
    #expect(host.tables.addDomain(one, maximumFrames: 1, maximumHandles: 1) == .badDomain)
    #expect(host.tables.unmap(mapping.handle, host: true, device: false, by: two).status == .okay)
    #expect(!host.tables.removeDomain(one))
    #expect(host.tables.unmap(mapping.handle, host: false, device: true, by: two).status == .okay)
    #expect(host[one, 0].flags == .permitAccess)
    #expect(host.tables.removeDomain(one))
    #expect(host.references == 0)
    #expect(host.tables.addDomain(one, maximumFrames: 1, maximumHandles: 1) == .okay)
    #expect(host.tables.size(of: one) == (.okay, 0, 1))
  }

  @Test("A domain that ends lets go of all that it mapped, its own grants too")
  func removeMapper() {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    host[two, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 20)
    _ = host.map(0, device: true)
    _ = host.map(0, readOnly: true)
    _ = host.map(0, of: two, by: two)
    #expect(host.references == 3)
    #expect(host.tables.removeDomain(two))
    #expect(host.references == 0)
    #expect(host[one, 0].flags == .permitAccess)
    #expect(host[two, 0].flags == .permitAccess)
    #expect(host.tables.removeDomain(one))
    #expect(host.tables.removeDomain(DomainID(9)), "nobody maps an unknown domain's grants")
  }

  @Test("A guest grants, and takes back when nobody uses it")
  func guestSide() {
    let host = GrantHost()
    let guest = host.guest(one)
    #expect(guest.count == 512)
    guest.grantAccess(GrantReference(3), to: two, frame: 14, readOnly: true)
    #expect(host[one, 3] == GrantEntry(flags: [.permitAccess, .readOnly], domain: two, frame: 14))
    #expect(host.map(3).status == .generalError)
    let mapping = host.map(3, readOnly: true)
    #expect(mapping.frame == MachineFrame(14))
    #expect(!guest.endAccess(GrantReference(3)))
    #expect(host.map(3, readOnly: true).status == .okay, "a refused end changes nothing")
    #expect(host.tables.removeDomain(two))
    #expect(guest.endAccess(GrantReference(3)))
    #expect(host[one, 3].flags == .invalid)
    #expect(host.map(3, of: one, by: three, readOnly: true).status == .generalError)
  }
}

@Suite("Transferring frames")
struct GrantTransferTests {
  /// Domain 2 gives frame 20 to domain 1, unless the case says otherwise.
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var entry = GrantEntry(flags: .acceptTransfer, domain: two, frame: 0)
    var reference: UInt32 = 5
    var receiver = one
    var caller = two
    var frame: UInt64 = 20
    var mapped = false
    var status: GrantStatus
    var testDescription: String { name }
  }

  static let cases = [
    Case(name: "a frame to one who accepts", status: .okay),
    Case(name: "a frame of another", frame: 30, status: .badPage),
    Case(name: "a free frame", frame: 0, status: .badPage),
    Case(name: "a frame out of range", frame: .max, status: .badPage),
    Case(name: "by an unknown domain", caller: DomainID(9), status: .badDomain),
    Case(name: "to an unknown domain", receiver: DomainID(9), status: .badDomain),
    Case(name: "to oneself", receiver: two, status: .badDomain),
    Case(name: "to an entry out of range", reference: 512, status: .badReference),
    Case(name: "a frame that somebody maps", mapped: true, status: .badPage),
    Case(
      name: "to an entry that grants", entry: GrantEntry(flags: .permitAccess, domain: two, frame: 0),
      status: .generalError),
    Case(
      name: "to one who accepts another's",
      entry: GrantEntry(flags: .acceptTransfer, domain: three, frame: 0),
      status: .generalError),
    Case(
      name: "to an entry committed",
      entry: GrantEntry(flags: [.acceptTransfer, .transferCommitted], domain: two, frame: 0),
      status: .generalError),
    Case(
      name: "to an entry completed",
      entry: GrantEntry(flags: [.acceptTransfer, .transferCompleted], domain: two, frame: 0),
      status: .generalError),
  ]

  @Test(
    "A transfer gives the status that the ABI says, and changes nothing unless it is okay", arguments: cases)
  func statuses(of item: Case) {
    let host = GrantHost()
    if item.reference < 512 { host[one, item.reference] = item.entry }
    if item.mapped {
      host[two, 0] = GrantEntry(flags: .permitAccess, domain: three, frame: 20)
      #expect(host.map(0, of: two, by: three).status == .okay)
    }
    let status = host.tables.transfer(
      MachineFrame(item.frame), to: item.receiver, GrantReference(item.reference), by: item.caller)
    #expect(status == item.status)
    let moved = item.status == .okay
    #expect(host.frames.owners[20] == (moved ? one : two))
    guard item.reference < 512 else { return }
    let after = host[one, item.reference]
    if moved {
      #expect(after.flags == [.acceptTransfer, .transferCommitted, .transferCompleted])
      #expect(after.frame == 20)
    } else {
      #expect(after == item.entry)
    }
  }

  @Test("A guest learns which frame has come, once")
  func guestSide() {
    let host = GrantHost()
    let guest = host.guest(one)
    guest.acceptTransfer(GrantReference(2), from: two)
    #expect(host.tables.transfer(MachineFrame(21), to: one, GrantReference(2), by: two) == .okay)
    #expect(host.tables.transfer(MachineFrame(22), to: one, GrantReference(2), by: two) == .generalError)
    let ended = guest.endTransfer(GrantReference(2))
    #expect(ended?.came == true && ended?.frame == 21)
    guest.acceptTransfer(GrantReference(2), from: two)
    let withdrawn = guest.endTransfer(GrantReference(2))
    #expect(withdrawn?.came == false)
    #expect(host.tables.transfer(MachineFrame(22), to: one, GrantReference(2), by: two) == .generalError)
  }
}
