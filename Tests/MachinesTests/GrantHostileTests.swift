// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Synchronization
import Testing

/// Real accesses, with a guest that acts at chosen moments.
private final class MeddledEntries: GrantEntryAccess {
  private let real = SharedGrantEntries()
  var beforeExchange: (GrantPlace) -> Void = { _ in }
  var afterExchange: (GrantPlace) -> Void = { _ in }
  private(set) var loads = 0
  private(set) var frameLoads = 0

  func load(_ place: GrantPlace) -> GrantWord {
    loads += 1
    return real.load(place)
  }

  func compareExchange(_ place: GrantPlace, expected: GrantWord, desired: GrantWord) -> (
    exchanged: Bool, original: GrantWord
  ) {
    beforeExchange(place)
    defer { afterExchange(place) }
    return real.compareExchange(place, expected: expected, desired: desired)
  }

  func clear(_ flags: GrantFlags, at place: GrantPlace) { real.clear(flags, at: place) }
  func set(_ flags: GrantFlags, at place: GrantPlace) { real.set(flags, at: place) }

  func loadFrame(_ place: GrantPlace) -> UInt32 {
    frameLoads += 1
    return real.loadFrame(place)
  }

  func storeFrame(_ frame: UInt32, at place: GrantPlace) { real.storeFrame(frame, at: place) }
  func replace(_ place: GrantPlace, with word: GrantWord, frame: UInt32) {
    real.replace(place, with: word, frame: frame)
  }
}

@Suite("Grants by a hostile guest")
struct GrantHostileTests {
  @Test("An entry that never holds still only makes its own grant fail, after a bounded time")
  func unstableEntry() {
    let entries = MeddledEntries()
    let host = GrantHost(entries: entries)
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    var exchanges = 0
    entries.beforeExchange = { place in
      exchanges += 1
      let word = place.address.load(as: UInt32.self)
      place.address.storeBytes(of: word ^ 1 << 10, as: UInt32.self)
    }
    #expect(host.map(0).status == .generalError)
    #expect(exchanges == 4)
    #expect(host.references == 0)
    #expect(host.tables.transfer(MachineFrame(20), to: one, GrantReference(0), by: two) == .generalError)
    #expect(host.frames.owners[20] == two)
  }

  @Test("What an exchange finds changed is checked anew")
  func changedBeforeExchange() {
    let entries = MeddledEntries()
    let host = GrantHost(entries: entries)
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    entries.beforeExchange = { place in
      place.address.storeBytes(of: GrantWord([.permitAccess, .readOnly], two).rawValue, as: UInt32.self)
    }
    #expect(host.map(0).status == .generalError)
    #expect(host[one, 0].flags == [.permitAccess, .readOnly])
  }

  @Test("The frame is read once, after the exchange; later mappings read nothing")
  func frameReadOnce() {
    let entries = MeddledEntries()
    let host = GrantHost(entries: entries)
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
    entries.afterExchange = { place in place.address.storeBytes(of: 12, toByteOffset: 4, as: UInt32.self) }
    #expect(host.map(0).frame == MachineFrame(12))
    #expect((entries.loads, entries.frameLoads) == (1, 1))
    #expect(host.map(0).frame == MachineFrame(12))
    #expect(host.map(0, readOnly: true).frame == MachineFrame(12))
    #expect((entries.loads, entries.frameLoads) == (1, 1))
  }

  @Test("An entry rewritten while mapped does not change what an unmap does")
  func rewrittenWhileMapped() {
    let host = GrantHost()
    for flags: GrantFlags in [.invalid, .acceptTransfer, .transitive, GrantFlags(rawValue: 0xffff)] {
      host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
      let mapping = host.map(0)
      host[one, 0] = GrantEntry(flags: flags, domain: three, frame: 99)
      let unmapped = host.tables.unmap(mapping.handle, host: true, device: false, by: two)
      #expect((unmapped.status, unmapped.frame) == (.okay, MachineFrame(10)))
      let left = GrantEntry(flags: flags.subtracting([.reading, .writing]), domain: three, frame: 99)
      #expect(host[one, 0] == left)
      #expect(host.references == 0)
    }
  }

  @Test("Against a guest that scribbles on another processor, the books stay right")
  func race() {
    let host = GrantHost(maximumHandles: 16)
    withExtendedLifetime(host) {
      let table = GrantPlaceBox(host.memory(of: one))
      let ended = Ended()
      let scribbler = TestThread {
        var generator = SystemRandomNumberGenerator()
        while !ended.flag.load(ordering: .relaxed) {
          for entry in 0..<4 {
            let flags = GrantFlags(rawValue: UInt16.random(in: 0...31, using: &generator))
            let grantee = DomainID(UInt16.random(in: 2...3, using: &generator))
            let frame = UInt32.random(in: 9...21, using: &generator)
            table.address.storeBytes(of: frame, toByteOffset: entry * 8 + 4, as: UInt32.self)
            table.address.storeBytes(
              of: GrantWord(flags, grantee).rawValue, toByteOffset: entry * 8, as: UInt32.self)
          }
        }
      }
      var held: [(DomainID, GrantMapping)] = []
      var mapped = 0
      for step in 0..<200_000 {
        let mapper = step % 2 == 0 ? two : three
        let result = host.map(UInt32(step % 4), by: mapper, readOnly: step % 3 == 0)
        if result.status == .okay {
          mapped += 1
          #expect(host.frames.owner(of: result.frame) == one)
          held.append((mapper, result))
        }
        let status = host.tables.copy(
          from: .grant(one, GrantReference(UInt32(step % 4))), at: 0,
          to: .frame(MachineFrame(mapper == two ? 29 : 39)), at: 0, count: 64, by: mapper)
        if ![.okay, .generalError].contains(status) { Issue.record("a copy ends with \(status)") }
        if held.count == 20 || (step % 5 == 0 && !held.isEmpty) {
          let (mapper, mapping) = held.remove(at: step % held.count)
          let unmapped = host.tables.unmap(mapping.handle, host: true, device: false, by: mapper)
          #expect(unmapped.frame == mapping.frame)
        }
        if host.references != held.count { Issue.record("\(host.references) references, \(held.count) held") }
      }
      ended.flag.store(true, ordering: .relaxed)
      scribbler.join()
      for (mapper, mapping) in held {
        #expect(host.tables.unmap(mapping.handle, host: true, device: false, by: mapper).status == .okay)
      }
      #expect(host.references == 0)
      #expect(mapped > 100)
    }
  }
}

private final class Ended: Sendable {
  let flag = Atomic<Bool>(false)
}

/// Memory that a hostile thread writes; races are what it is for.
private struct GrantPlaceBox: @unchecked Sendable {
  let address: UnsafeMutableRawPointer
  init(_ address: UnsafeMutableRawPointer) { self.address = address }
}
