// SPDX-License-Identifier: Apache-2.0
//
// Shadow entries, the reverse map over them, and the queue of downgrades.

import Interfaces

extension ShadowMachine {
  // MARK: Numbers

  @inline(__always) func number(_ page: Int, _ slot: Int) -> EntryNumber { EntryNumber(page &<< 9 | slot) }
  @inline(__always) func page(of entry: EntryNumber) -> Int { Int(entry &>> 9) }
  @inline(__always) func slot(of entry: EntryNumber) -> Int { Int(entry & 511) }
  @inline(__always) func machineFrame(of page: Int) -> MachineFrame {
    MachineFrame(pool.firstFrame.rawValue &+ UInt64(page &- 1))
  }
  @inline(__always) func pageNumber(_ frame: MachineFrame) -> Int {
    Int(frame.rawValue &- pool.firstFrame.rawValue) &+ 1
  }

  private func word(_ entry: EntryNumber) -> UnsafeMutablePointer<UInt64> {
    (pool.base + (Int(entry) &- PagingLimits.slotCount) &* 8).assumingMemoryBound(to: UInt64.self)
  }

  /// A shadow entry as it stands, with the mark of those that are queued.
  @inline(__always) subscript(_ entry: EntryNumber) -> ShadowTableEntry {
    ShadowTableEntry(rawValue: word(entry).pointee)
  }

  // MARK: Changing an entry

  /// Gives a shadow entry a new value. The reverse map follows; what the entry loses is queued.
  func replace(_ entry: EntryNumber, with new: ShadowTableEntry) {
    let old = self[entry]
    let isSameList =
      old.isPresent && new.isPresent && old.frame == new.frame && old.isWritable == new.isWritable
    if !isSameList {
      if old.isPresent { leave(entry, list(old, pages[page(of: entry)].level)) }
      if new.isPresent { join(entry, list(new, pages[page(of: entry)].level)) }
    }
    word(entry).pointee = new.rawValue | old.rawValue & SoftwareEntryBits.queued
    if !old.isQueued, !old.isWithin(new) { enqueue(entry) }
  }

  /// Whether an entry is the hypervisor's own, whatever the guest's says.
  @inline(__always) func isReserved(_ level: Int, _ slot: Int) -> Bool {
    level == PagingLimits.topLevel && PagingLimits.reservedSlots.contains(slot)
  }
  /// An entry of the hypervisor's own: it is in no list.
  func fill(_ entry: EntryNumber, with value: ShadowTableEntry) {
    guard !self[entry].isPresent else { return }
    word(entry).pointee = value.rawValue | word(entry).pointee & SoftwareEntryBits.queued
  }
  /// An entry of the hypervisor's own is gone with its page. KVM may have made something of it, as of others.
  func empty(_ entry: EntryNumber) {
    let isQueued = self[entry].isQueued
    word(entry).pointee &= SoftwareEntryBits.queued
    if !isQueued { enqueue(entry) }
  }

  private func enqueue(_ entry: EntryNumber) {
    // More than is ever queued at a small scope: storing early is always right.
    if queueCount == Self.queueLimit { store() }
    word(entry).pointee |= SoftwareEntryBits.queued
    queue[queueCount] = entry
    queueCount += 1
  }

  /// Makes sure that a step which takes rights from the entries of one table is queued as a whole.
  func makeQueueRoom() {
    if queueCount > Self.queueLimit - PagingLimits.slotCount { store() }
  }

  /// The stub stores what is queued.
  func store() {
    guard queueCount != 0 else { return }
    for index in 0..<queueCount {
      let entry = queue[index]
      let value = self[entry].settled
      word(entry).pointee = value.rawValue
      let address = machineFrame(of: page(of: entry)).rawValue &<< 12 | UInt64(slot(of: entry) &* 8)
      downgrades[index] = Downgrade(address: MachineAddress(address), value: value)
    }
    statistics.batches += 1
    statistics.downgrades += queueCount
    let count = queueCount
    queueCount = 0
    stub.store(UnsafeBufferPointer(start: downgrades, count: count))
    tables.made(.store)
  }

  // MARK: The reverse map

  /// Which list an entry of a value is in.
  private enum List {
    case parents(Int)
    case writers(MachineFrame)
    case readers(MachineFrame)
  }

  @inline(__always) private func list(_ value: ShadowTableEntry, _ level: UInt8) -> List {
    if level != 0 { return .parents(pageNumber(value.frame)) }
    return value.isWritable ? .writers(value.frame) : .readers(value.frame)
  }

  @inline(__always) private func first(of list: List) -> EntryNumber {
    switch list {
    case .parents(let page): pages[page].parents
    case .writers(let frame): state(frame).pointee.writers
    case .readers(let frame): state(frame).pointee.readers
    }
  }

  @inline(__always) private func setFirst(of list: List, to entry: EntryNumber) {
    switch list {
    case .parents(let page): pages[page].parents = entry
    case .writers(let frame): state(frame).pointee.writers = entry
    case .readers(let frame): state(frame).pointee.readers = entry
    }
  }

  private func join(_ entry: EntryNumber, _ list: List) {
    let after = first(of: list)
    next[Int(entry)] = after
    previous[Int(entry)] = 0
    if after != 0 { previous[Int(after)] = entry }
    setFirst(of: list, to: entry)
  }

  private func leave(_ entry: EntryNumber, _ list: List) {
    let (before, after) = (previous[Int(entry)], next[Int(entry)])
    if before == 0 { setFirst(of: list, to: after) } else { next[Int(before)] = after }
    if after != 0 { previous[Int(after)] = before }
  }
}
