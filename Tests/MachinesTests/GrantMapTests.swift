// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@Suite("Mapping grants")
struct GrantMapTests {
  /// An entry of domain 1, a request by domain 2 for it, and what must come of it.
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var entry = GrantEntry(flags: .permitAccess, domain: two, frame: 11)
    var reference: UInt32 = 5
    var granter = one
    var mapper = two
    var readOnly = false
    var host = true
    var device = false
    var status: GrantStatus
    var flags: GrantFlags?
    var testDescription: String { name }
  }

  static let cases = [
    Case(name: "a plain grant", status: .okay, flags: [.permitAccess, .reading, .writing]),
    Case(name: "to read only", readOnly: true, status: .okay, flags: [.permitAccess, .reading]),
    Case(
      name: "a read-only grant to read",
      entry: GrantEntry(flags: [.permitAccess, .readOnly], domain: two, frame: 11), readOnly: true,
      status: .okay, flags: [.permitAccess, .readOnly, .reading]),
    Case(
      name: "a read-only grant to write",
      entry: GrantEntry(flags: [.permitAccess, .readOnly], domain: two, frame: 11), status: .generalError),
    Case(name: "for devices only", host: false, device: true, status: .okay),
    Case(name: "for both", device: true, status: .okay),
    Case(name: "for neither", host: false, status: .badReference),
    Case(name: "for neither, of an unknown domain", granter: DomainID(9), host: false, status: .badReference),
    Case(name: "of an unknown domain", granter: DomainID(9), status: .badDomain),
    Case(name: "of a reserved domain", granter: DomainID(0xffff), status: .badDomain),
    Case(name: "by an unknown domain", mapper: DomainID(9), host: false, status: .badDomain),
    Case(name: "the last reference", reference: 511, status: .okay),
    Case(name: "the first reference beyond", reference: 512, status: .badReference),
    Case(name: "the last number", reference: .max, status: .badReference),
    Case(
      name: "an invalid entry", entry: GrantEntry(flags: .invalid, domain: two, frame: 11),
      status: .generalError),
    Case(
      name: "an entry for a transfer", entry: GrantEntry(flags: .acceptTransfer, domain: two, frame: 11),
      status: .generalError),
    Case(
      name: "a transitive entry", entry: GrantEntry(flags: .transitive, domain: two, frame: 11),
      status: .generalError),
    Case(
      name: "another's grant", entry: GrantEntry(flags: .permitAccess, domain: three, frame: 11),
      status: .generalError),
    Case(
      name: "a frame of the mapper", entry: GrantEntry(flags: .permitAccess, domain: two, frame: 21),
      status: .generalError, flags: .permitAccess),
    Case(
      name: "a frame out of range", entry: GrantEntry(flags: .permitAccess, domain: two, frame: .max),
      status: .generalError, flags: .permitAccess),
  ]

  @Test("A map gives the status that the ABI says, and changes nothing unless it is okay", arguments: cases)
  func statuses(of item: Case) {
    let host = GrantHost()
    if item.reference < 512 { host[one, item.reference] = item.entry }
    let result = host.map(
      item.reference, of: item.granter, by: item.mapper, readOnly: item.readOnly, host: item.host,
      device: item.device)
    #expect(result.status == item.status)
    if item.status == .okay {
      #expect(result.frame == MachineFrame(11))
      #expect(host.references == 1)
    } else {
      #expect(host.references == 0)
    }
    if item.reference < 512 {
      let flags =
        item.flags ?? (item.status == .okay ? [.permitAccess, .reading, .writing] : item.entry.flags)
      #expect(host[one, item.reference].flags == flags)
      #expect(host[one, item.reference].domain == item.entry.domain)
      #expect(host[one, item.reference].frame == item.entry.frame)
    }
  }

  @Test("Reading and writing stand in the entry exactly while a mapping reads and writes")
  func flagsFollowPins() {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    let reader = host.map(0, readOnly: true)
    #expect(host[one, 0].flags == [.permitAccess, .reading])
    let writer = host.map(0, device: true)
    #expect(host[one, 0].flags == [.permitAccess, .reading, .writing])
    #expect(host.references == 2)
    #expect(host.tables.unmap(writer.handle, host: true, device: false, by: two).status == .okay)
    #expect(host[one, 0].flags == [.permitAccess, .reading, .writing], "devices still write")
    #expect(host.references == 2)
    #expect(host.tables.unmap(writer.handle, host: false, device: true, by: two).status == .okay)
    #expect(host[one, 0].flags == [.permitAccess, .reading])
    #expect(host.references == 1)
    #expect(host.tables.unmap(reader.handle, host: true, device: false, by: two).frame == MachineFrame(10))
    #expect(host[one, 0].flags == .permitAccess)
    #expect(host.references == 0)
  }

  @Test("While an entry is pinned, its frame and grantee are those of the first mapping")
  func pinnedIsFixed() {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    let first = host.map(0)
    // The guest turns to another grantee and frame.
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: three, frame: 13)
    #expect(host.map(0, by: three).status == .generalError)
    let second = host.map(0)
    #expect(second.status == .okay)
    #expect(second.frame == MachineFrame(10))
    for mapping in [first, second] {
      let unmapped = host.tables.unmap(mapping.handle, host: true, device: false, by: two)
      #expect(unmapped.frame == MachineFrame(10))
    }
    #expect(host.map(0, by: three).frame == MachineFrame(13))
  }

  @Test("The first mapping that writes needs the entry's leave, even when others read already")
  func firstWriterAsks() {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    _ = host.map(0, readOnly: true)
    host[one, 0].flags = [.permitAccess, .readOnly, .reading]
    #expect(host.map(0).status == .generalError)
    #expect(host[one, 0].flags == [.permitAccess, .readOnly, .reading])
    host[one, 0].flags = [.permitAccess, .reading]
    #expect(host.map(0).status == .okay)
    host[one, 0].flags = [.permitAccess, .readOnly, .reading, .writing]
    #expect(host.map(0).status == .okay, "a second writer does not ask again")
    #expect(host.references == 3)
  }

  @Test("A reference refused on the frame leaves the entry as it was")
  func undo() {
    let host = GrantHost()
    host.frames.maximumReferences = 1
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    _ = host.map(0, readOnly: true)
    #expect(host.map(0).status == .generalError)
    #expect(host[one, 0].flags == [.permitAccess, .reading])
    #expect(host.references == 1)
  }

  @Test("A map that fails late leaves flags that the guest itself had set")
  func undoOfTampered() {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: [.permitAccess, .writing], domain: two, frame: 20)
    #expect(host.map(0).status == .generalError)
    #expect(host[one, 0].flags == [.permitAccess, .writing])
  }

  @Test(
    "No count of pins goes beyond 127", arguments: [true, false],
    [(true, false), (false, true), (true, true)])
  func pinLimit(readOnly: Bool, parts: (host: Bool, device: Bool)) {
    let host = GrantHost(maximumHandles: 300)
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    let all = (0..<127).map { _ in host.map(0, readOnly: readOnly, host: parts.host, device: parts.device) }
    #expect(all.allSatisfy { $0.status == .okay })
    #expect(host.map(0, readOnly: readOnly, host: parts.host, device: parts.device).status == .generalError)
    #expect(host.map(0, readOnly: !readOnly).status == .okay, "other counts are not full")
    #expect(host.references == 128)
    let freed = host.tables.unmap(all[0].handle, host: parts.host, device: parts.device, by: two)
    #expect(freed.status == .okay)
    #expect(host.map(0, readOnly: readOnly, host: parts.host, device: parts.device).status == .okay)
  }

  @Test("A handle in use is not handed out again, and there are as many as promised")
  func handles() {
    let host = GrantHost(maximumHandles: 5)
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    var inUse = (0..<5).map { _ in host.map(0).handle }
    #expect(Set(inUse).count == 5)
    #expect(host.map(0).status == .noDeviceSpace)
    #expect(host.map(600).status == .noDeviceSpace, "handles are looked for before the entry")
    for round in 0..<20 {
      let handle = inUse.remove(at: round % 5)
      #expect(host.tables.unmap(handle, host: true, device: false, by: two).status == .okay)
      inUse.append(host.map(0).handle)
      #expect(Set(inUse).count == 5)
    }
  }
}

@Suite("Unmapping grants")
struct GrantUnmapTests {
  /// A mapping with these parts, an unmap of those, and what must come of it.
  static let cases: [(has: [Bool], asks: [Bool], status: GrantStatus)] = [
    ([true, false], [true, false], .okay),
    ([true, true], [true, false], .okay),
    ([true, true], [false, true], .okay),
    ([true, true], [true, true], .okay),
    ([true, false], [false, false], .badVirtualAddress),
    ([true, false], [false, true], .badDeviceAddress),
    ([true, false], [true, true], .badDeviceAddress),
    ([false, true], [true, false], .badVirtualAddress),
    ([false, true], [true, true], .badVirtualAddress),
    ([false, true], [false, true], .okay),
  ]

  @Test("An unmap drops all the parts that it names, or nothing", arguments: cases)
  func parts(has: [Bool], asks: [Bool], status: GrantStatus) {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    let mapping = host.map(0, host: has[0], device: has[1])
    let result = host.tables.unmap(mapping.handle, host: asks[0], device: asks[1], by: two)
    #expect(result.status == status)
    let left = status == .okay ? zip(has, asks).map { $0 && !$1 } : has
    #expect(host.references == (left.contains(true) ? 1 : 0))
    // What is left can be dropped, and only that.
    let rest = host.tables.unmap(mapping.handle, host: left[0], device: left[1], by: two).status
    #expect(rest == (left.contains(true) ? .okay : .badVirtualAddress))
    #expect(host.references == 0)
    #expect(host[one, 0].flags == .permitAccess)
    let again = host.tables.unmap(mapping.handle, host: has[0], device: has[1], by: two).status
    #expect(again == .badHandle)
  }

  @Test("A handle names nothing to others, nor beyond the last")
  func foreignHandles() {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    let handle = host.map(0).handle
    #expect(host.tables.unmap(handle, host: true, device: false, by: three).status == .badHandle)
    #expect(host.tables.unmap(GrantHandle(8), host: true, device: false, by: two).status == .badHandle)
    #expect(host.tables.unmap(GrantHandle(.max), host: true, device: false, by: two).status == .badHandle)
    #expect(host.tables.unmap(handle, host: true, device: false, by: DomainID(9)).status == .badHandle)
    #expect(host.tables.unmap(handle, host: true, device: false, by: two).status == .okay)
  }
}
