// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

@Suite("Walks of guests' page tables")
struct GuestWalkerTests {
  let tables: WalkedTables
  init() throws { tables = try WalkedTables() }

  @Test("a read sets accessed bits on the way, and only a write sets the dirty bit")
  func accessedAndDirty() {
    #expect(tables.walk(.read).word == "readable")
    for level in 1...4 { #expect(tables.entry(level).has(PageTableEntry.accessed)) }
    #expect(!tables.entry(1).has(PageTableEntry.dirty))
    #expect(tables.walk(.write).word == "writable")
    #expect(tables.entry(1).has(PageTableEntry.dirty))
    #expect(tables.walk(.read).word == "writable", "a dirty page may be mapped writable at once")
  }

  @Test("a missing entry of any level is not present", arguments: 1...4)
  func missing(level: Int) {
    tables.set(level, PageTableEntry(tables.entry(level).rawValue & ~PageTableEntry.present))
    #expect(tables.walk().word == "not present")
  }

  @Test("a read-only entry of any level denies writes, and nothing else", arguments: 1...4)
  func readOnly(level: Int) {
    tables.set(level, PageTableEntry(tables.entry(level).rawValue & ~PageTableEntry.writable))
    #expect(tables.walk(.write).word == "denied")
    #expect(tables.walk(.read).word == "readable")
  }

  @Test("a kernel's entry of any level denies the guest's user, and not its kernel", arguments: 1...4)
  func supervisor(level: Int) {
    tables.set(level, PageTableEntry(tables.entry(level).rawValue & ~PageTableEntry.user))
    #expect(tables.walk(.read, .user).word == "denied")
    #expect(tables.walk(.read, .kernel).word == "readable")
  }

  @Test("an entry of any level can forbid execution", arguments: 1...4)
  func noExecute(level: Int) {
    tables.set(level, PageTableEntry(tables.entry(level).rawValue | PageTableEntry.noExecute))
    #expect(tables.walk(.execute).word == "denied")
    #expect(tables.walk(.read).word == "readable")
  }

  @Test("an entry of any level that leads to another's frame is wild", arguments: 1...4)
  func foreign(level: Int) {
    tables.set(level, PageTableEntry(tables.foreign, 7))
    let problem = level == 1 ? "foreignFrame" : "foreignTable"
    #expect(tables.walk().word == "wild: \(problem) at level \(level)")
  }

  @Test("the monitor's frames, free ones and those that do not exist are wild too", arguments: 1...4)
  func nobodys(level: Int) {
    for number in [
      0, UInt64(tables.memory.monitorFrameCount), UInt64(tables.memory.frameCount), 0xff_ffff_ffff,
    ] {
      tables.set(level, PageTableEntry(MachineFrame(number), 7))
      #expect(tables.walk().word.hasPrefix("wild: foreign"))
    }
  }

  @Test("large pages are refused at every level that could have one", arguments: 2...4)
  func large(level: Int) {
    tables.set(level, PageTableEntry(tables.entry(level).rawValue | PageTableEntry.large))
    #expect(tables.walk().word == "wild: \(level == 4 ? "reservedBits" : "largePage") at level \(level)")
  }

  @Test("a root that is not the domain's is wild, and the message says so")
  func root() {
    let result = tables.walker.walk(tables.address, root: tables.foreign, for: .read, in: .kernel)
    guard case .wild(let entry) = result else {
      Issue.record("not wild: \(result.word)")
      return
    }
    #expect(entry.description.contains("machine frame \(tables.foreign), which is not the domain's"))
  }

  @Test("a table that points to itself ends after four levels")
  func selfReference() {
    for level in 2...4 { tables.set(level, PageTableEntry(tables.root, 7)) }
    #expect(["readable", "not present"].contains(tables.walk().word))
  }

  @Test("a granted frame can be reached as far as the grant goes")
  func granted() {
    tables.set(1, PageTableEntry(tables.foreign, 7))
    tables.frames.addGranted(tables.foreign, readOnly: true)
    #expect(tables.walk(.read).word == "readable")
    #expect(tables.walk(.write).word == "wild: foreignFrame at level 1")
    tables.frames.addGranted(tables.foreign, readOnly: false)
    #expect(tables.walk(.write).word == "writable")
    tables.frames.dropGranted(tables.foreign, readOnly: false)
    tables.frames.dropGranted(tables.foreign, readOnly: true)
    #expect(tables.walk(.read).word == "wild: foreignFrame at level 1")
  }

  @Test("a granted frame is no page table")
  func grantedTable() {
    tables.frames.addGranted(tables.foreign, readOnly: false)
    tables.set(2, PageTableEntry(tables.foreign, 7))
    #expect(tables.walk().word == "wild: foreignTable at level 2")
  }
}
