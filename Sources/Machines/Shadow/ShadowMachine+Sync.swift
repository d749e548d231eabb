// SPDX-License-Identifier: Apache-2.0
//
// Level-1 tables go out of sync, and come back.

import Interfaces

extension ShadowMachine {
  // MARK: Out

  /// Lets the guest write to a level-1 table without a fault.
  func unsync(_ table: MachineFrame, for vcpu: Int) {
    let index = freeSeat(for: vcpu)
    seats[index] = ShadowSeat()
    seats[index].isUsed = true
    seats[index].frame = table
    outOfSyncCount += 1
    let snapshot = snapshots + index * PagingLimits.slotCount
    for slot in 0..<PagingLimits.slotCount { snapshot[slot] = tables.load(table, slot) }
    state(table).pointee.sync = .outOfSync
    state(table).pointee.seat = UInt16(index + 1)
    statistics.unsyncs += 1
    tables.made(
      .unsync(
        table: table, vcpu: policy == .few ? vcpu : 0,
        position: policy == .few ? index % PagingLimits.seatCount : 0))
  }

  /// A place of the vCPU's; the table that has it longest comes back into sync if all are taken.
  private func freeSeat(for vcpu: Int) -> Int {
    guard policy == .few else {
      // Shadow-1: a table is in sync or has one, and there is one for each shadow page.
      var index = 0
      while seats[index].isUsed { index += 1 }
      return index
    }
    let first = vcpu * PagingLimits.seatCount
    for index in first..<first + PagingLimits.seatCount where !seats[index].isUsed { return index }
    let oldest = first + Int(processors[vcpu].hand)
    processors[vcpu].hand = (processors[vcpu].hand + 1) % UInt8(PagingLimits.seatCount)
    resync(seats[oldest].frame)
    return oldest
  }

  // MARK: Back

  /// Brings all tables back into sync. The stub runs once for all that are closed, and once for each table whose shadow
  /// loses something.
  func resync() {
    if outOfSyncCount != 0 {
      for index in 0..<seatCount where seats[index].isUsed { close(index) }
      for index in 0..<seatCount where seats[index].isUsed {
        store()
        settle(seats[index].frame)
      }
    }
    store()
  }

  /// Brings one table back into sync; what its shadow loses is queued.
  func resync(_ table: MachineFrame) {
    close(Int(state(table).pointee.seat) - 1)
    store()
    settle(table)
  }

  /// The guest loses write access to a table out of sync. Its place is kept until it is settled.
  private func close(_ index: Int) {
    let table = seats[index].frame
    makeQueueRoom()
    state(table).pointee.sync = .closing
    withdraw(seats[index].fixups.0, from: table)
    withdraw(seats[index].fixups.1, from: table)
    assert(state(table).pointee.writers == 0, "R7: every writer was a fix-up")
    tables.made(.close(table: table))
  }

  /// The guest loses write access to a frame that is to be a table.
  func protect(_ frame: MachineFrame) {
    makeQueueRoom()
    state(frame).pointee.sync = .closing
    while state(frame).pointee.writers != 0 {
      let entry = state(frame).pointee.writers
      replace(entry, with: self[entry].settled.readOnly)
    }
    tables.made(.protect(frame: frame))
  }

  /// Nobody writes to the table any more: its shadow catches up.
  func settle(_ table: MachineFrame) {
    let seat = Int(state(table).pointee.seat)
    if seat != 0 {
      catchUp(table, snapshots + (seat - 1) * PagingLimits.slotCount)
      seats[seat - 1].isUsed = false
      state(table).pointee.seat = 0
      outOfSyncCount -= 1
      statistics.resyncs += 1
    }
    state(table).pointee.sync = .inSync
    tables.made(.settle(table: table))
  }

  /// Only what changed since the snapshot is looked at.
  private func catchUp(_ table: MachineFrame, _ snapshot: UnsafeMutablePointer<GuestTableEntry>) {
    let page = state(table).pointee.shadow(at: 0)
    for slot in 0..<PagingLimits.slotCount {
      let entry = tables.load(table, slot)
      guard entry != snapshot[slot] else { continue }
      let place = number(page, slot)
      let old = self[place].settled
      guard old.isPresent else { continue }
      replace(place, with: old.restricted(to: entry.leaf))
    }
  }

  // MARK: Fix-ups

  /// Notes that a level-1 shadow entry lets the guest write to a table out of sync.
  /// - Returns: which of the two was taken.
  func reserveFixup(of table: MachineFrame) -> Bool {
    let index = Int(state(table).pointee.seat) - 1
    if !seats[index].fixups.0.isUsed { return false }
    if !seats[index].fixups.1.isUsed { return true }
    let second = seats[index].second
    seats[index].second = !second
    dropFixup(of: table, second)
    return second
  }

  func record(_ slot: Int, in frame: MachineFrame, writesTo table: MachineFrame, _ second: Bool) {
    let index = Int(state(table).pointee.seat) - 1
    let fixup = ShadowFixup(isUsed: true, slot: UInt16(slot), frame: frame)
    if second { seats[index].fixups.1 = fixup } else { seats[index].fixups.0 = fixup }
  }

  private func dropFixup(of table: MachineFrame, _ second: Bool) {
    let index = Int(state(table).pointee.seat) - 1
    if second {
      withdraw(seats[index].fixups.1, from: table)
      seats[index].fixups.1 = ShadowFixup()
    } else {
      withdraw(seats[index].fixups.0, from: table)
      seats[index].fixups.0 = ShadowFixup()
    }
    tables.made(.dropFixup(table: table, second: second))
  }

  /// Takes the right to write to a table from the entry that a fix-up names.
  private func withdraw(_ fixup: ShadowFixup, from table: MachineFrame) {
    let page = fixup.isUsed ? state(fixup.frame).pointee.shadow(at: 0) : 0
    guard page != 0 else { return }
    let entry = number(page, Int(fixup.slot))
    let old = self[entry].settled
    guard old.isPresent, old.isWritable, old.frame == table else { return }
    replace(entry, with: old.readOnly)
  }
}
