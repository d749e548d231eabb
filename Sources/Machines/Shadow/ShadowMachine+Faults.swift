// SPDX-License-Identifier: Apache-2.0
//
// Faults, and entries written on the guest's behalf.

import Interfaces

/// A way through the guest's tables, by level: where each entry was found and what it was. Every entry is hostile: it is
/// read once, and what it leads to is looked at before it is followed.
struct GuestWalk {
  var tables = InlineArray<4, MachineFrame>(repeating: MachineFrame(0))
  var entries = InlineArray<4, GuestTableEntry>(repeating: GuestTableEntry(rawValue: 0))
}

extension ShadowMachine {
  public func fault(at address: VirtualAddress, _ error: PageFault, on vcpu: Int) -> ShadowOutcome {
    requireProcessor(vcpu)
    statistics.faults += 1
    processors[vcpu].isReflected = false
    let outcome = mend(address, error, vcpu)
    finish()
    if case .reflect = outcome {
      processors[vcpu].isReflected = true
      processors[vcpu].address = address
    }
    return outcome
  }

  public func returns(_ vcpu: Int) {
    requireProcessor(vcpu)
    // Shadow-1 would bring every table back into sync for it, and Shadow-2 has seen each store.
    guard policy == .few, processors[vcpu].isReflected else { return }
    processors[vcpu].isReflected = false
    let address = processors[vcpu].address
    guard isGuests(address) else { return }
    var walk = GuestWalk()
    guard follow(address, PageFault(), vcpu, &walk) == .resume else { return }
    let target = walk.entries[0].frame
    guard walk.entries[0].has(EntryBits.accessed), state(target).pointee.sync == .plain else { return }
    if prepare(), install(address, walk) {
      _ = pull(walk.tables[0], address.slot(at: 0), walk.entries[0], writes: false)
    }
    finish()
  }

  private func mend(_ address: VirtualAddress, _ error: PageFault, _ vcpu: Int) -> ShadowOutcome {
    guard processors[vcpu].isLoaded, isGuests(address) else {
      return .reflect(present: error.contains(.present))
    }
    if policy == .all { resync() }
    var walk = GuestWalk()
    let found = follow(address, error, vcpu, &walk)
    guard found == .resume else { return found }
    guard prepare() else { return .exhausted }
    // An entry that changed meanwhile faults again.
    guard install(address, walk) else { return .resume }
    let target = walk.entries[0].frame
    if error.contains(.write), state(target).pointee.sync != .plain {
      guard admit(target, vcpu) else {
        return .emulate(table: target, slot: Int(address.rawValue & 0xfff) / 8)
      }
    }
    _ = pull(walk.tables[0], address.slot(at: 0), walk.entries[0], writes: error.contains(.write))
    if policy == .few { pullAround(walk.tables[0], address.slot(at: 0)) }
    return .resume
  }

  /// Whether the guest's tables have a say in an address: it is one, and not the hypervisor's.
  func isGuests(_ address: VirtualAddress) -> Bool {
    (Int64(bitPattern: address.rawValue) << 16) >> 16 == Int64(bitPattern: address.rawValue)
      && !PagingLimits.reservedSlots.contains(address.slot(at: PagingLimits.topLevel))
  }

  // MARK: The guest's tables

  /// Walks the guest's tables from a vCPU's root.
  /// - Returns: `resume` if they allow the access.
  private func follow(_ address: VirtualAddress, _ error: PageFault, _ vcpu: Int, _ walk: inout GuestWalk)
    -> ShadowOutcome
  {
    var table = processors[vcpu].root
    var allowed = EntryBits.writable | EntryBits.user
    var forbidden: UInt64 = 0
    for level in stride(from: PagingLimits.topLevel, through: 0, by: -1) {
      let entry = tables.load(table, address.slot(at: level))
      walk.tables[level] = table
      walk.entries[level] = entry
      guard entry.isPresent else { return .reflect(present: false) }
      guard isKnown(entry.frame), mayLead(entry, level, error) else {
        return .refuse(level: level, entry: entry)
      }
      allowed &= entry.rawValue
      forbidden |= entry.rawValue & EntryBits.noExecute
      table = entry.frame
    }
    let isDenied =
      error.contains(.write) && allowed & EntryBits.writable == 0
      || error.contains(.user) && allowed & EntryBits.user == 0 || error.contains(.fetch) && forbidden != 0
    guard !isDenied else { return .reflect(present: true) }
    if error.contains(.write), !state(walk.entries[0].frame).pointee.writes {
      return .refuse(level: 0, entry: walk.entries[0])
    }
    return .resume
  }

  /// Whether the domain may have an entry. A table is a frame that it may write.
  private func mayLead(_ entry: GuestTableEntry, _ level: Int, _ error: PageFault) -> Bool {
    let target = state(entry.frame).pointee
    guard target.maps, !target.isLeaving else { return false }
    return level == 0 || (target.writes && !entry.has(EntryBits.large))
  }

  /// Shadows the tables of a walk and links them.
  /// - Returns: false if one of the guest's entries is not any more what it was.
  private func install(_ address: VirtualAddress, _ walk: GuestWalk) -> Bool {
    // All of them first, so that the stub runs once for all.
    for level in 0..<PagingLimits.topLevel { protectIfPlain(walk.tables[level]) }
    for level in 0..<PagingLimits.topLevel { promote(walk.tables[level], level) }
    for level in stride(from: PagingLimits.topLevel, to: 0, by: -1) {
      let (table, slot) = (walk.tables[level], address.slot(at: level))
      let page = state(table).pointee.shadow(at: level)
      pages[page].isRecent = true
      guard !self[number(page, slot)].isPresent else { continue }
      guard let entry = touch(table, slot, walk.entries[level], writes: false) else { return false }
      link(table, level, slot, entry)
    }
    pages[state(walk.tables[0]).pointee.shadow(at: 0)].isRecent = true
    return true
  }

  /// Sets accessed and dirty bits as a processor would.
  /// - Returns: the entry as it is now; nil if it is not what it was.
  private func touch(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry, writes: Bool)
    -> GuestTableEntry?
  {
    let touched = marked(entry, writes: writes)
    if touched == entry {
      guard tables.load(table, slot) == entry else { return nil }
    } else {
      guard tables.replace(table, slot, expected: entry, with: touched) else { return nil }
    }
    let seat = Int(state(table).pointee.seat)
    if seat != 0 { snapshots[(seat - 1) * PagingLimits.slotCount + slot] = touched }
    return touched
  }

  private func marked(_ entry: GuestTableEntry, writes: Bool) -> GuestTableEntry {
    GuestTableEntry(rawValue: entry.rawValue | EntryBits.accessed | (writes ? EntryBits.dirty : 0))
  }

  // MARK: Level 1

  /// Lets the guest write to a table, if it may.
  private func admit(_ table: MachineFrame, _ vcpu: Int) -> Bool {
    guard state(table).pointee.sync == .inSync else { return true }
    if isUnreferenced(table) {
      finish()
      return dismantle(table)
    }
    guard policy != .none, state(table).pointee.isOnlyLeaf else { return false }
    unsync(table, for: vcpu)
    return true
  }

  /// Takes an entry of a level-1 table over into its shadow.
  /// - Returns: false if it is not any more what it was.
  private func pull(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry, writes: Bool) -> Bool {
    // Freed meanwhile, if the table was the target: a device has written to the table that leads to it.
    guard state(table).pointee.shadow(at: 0) != 0 else { return true }
    let place = number(state(table).pointee.shadow(at: 0), slot)
    // An entry out of sync that gives less than its shadow: what the shadow loses comes first, and before the entry is
    // marked, so that what counts is how the guest left it.
    if state(table).pointee.isBehind,
      !self[place].settled.isWithin(projected(marked(entry, writes: writes)))
    {
      resync(table)
    }
    guard let entry = touch(table, slot, entry, writes: writes) else { return false }
    let old = self[place].settled
    let given = projected(entry)
    let isNewWay =
      given.isWritable && !(old.isWritable && old.frame == given.frame)
      && state(given.frame).pointee.sync == .outOfSync
    let second = isNewWay && reserveFixup(of: given.frame)
    replace(place, with: given)
    if isNewWay { record(slot, in: table, writesTo: given.frame, second) }
    statistics.pulls += 1
    tables.made(.pull(table: table, slot: slot, writes: writes, second: second))
    return true
  }

  /// Takes over what else the table has near a slot and that was accessed before: each saves a fault. Only what needs
  /// nothing else to be done.
  private func pullAround(_ table: MachineFrame, _ slot: Int) {
    let page = state(table).pointee.shadow(at: 0)
    guard page != 0 else { return }
    let first = slot & ~63
    for slot in first..<first + 64 where !self[number(page, slot)].isPresent {
      let entry = tables.load(table, slot)
      guard entry.has(EntryBits.present | EntryBits.accessed), isKnown(entry.frame),
        state(entry.frame).pointee.maps, state(entry.frame).pointee.sync == .plain
      else { continue }
      _ = pull(table, slot, entry, writes: false)
    }
  }

  /// A guest's level-1 entry as its shadow may be.
  private func projected(_ entry: GuestTableEntry) -> ShadowTableEntry {
    guard isKnown(entry.frame) else { return .absent }
    let target = state(entry.frame).pointee
    guard target.maps, !target.isLeaving else { return .absent }
    return target.isWritable ? entry.leaf : entry.leaf.readOnly
  }

  // MARK: On the guest's behalf

  public func write(_ entry: GuestTableEntry, to table: MachineFrame, slot: Int) -> ShadowStatus {
    precondition(0..<PagingLimits.slotCount ~= slot, "no such slot")
    guard isKnown(table), state(table).pointee.writes, !state(table).pointee.isLeaving else { return .denied }
    unhookUppers(table, slot)
    tables.store(table, slot, entry)
    let entry = tables.reading(entry)
    let page = state(table).pointee.shadow(at: 0)
    if page != 0, !state(table).pointee.isBehind {
      let place = number(page, slot)
      let old = self[place].settled
      if old.isPresent { replace(place, with: old.restricted(to: entry.leaf)) }
    }
    tables.made(.update(table: table, slot: slot, entry))
    if page != 0 { readAhead(entry, table, slot) }
    return .okay
  }

  /// The entries of a table's shadows above level 1 lead nowhere any more; the hypervisor's own stay.
  private func unhookUppers(_ table: MachineFrame, _ slot: Int) {
    for level in 1...PagingLimits.topLevel where !isReserved(level, slot) {
      let page = state(table).pointee.shadow(at: level)
      if page != 0, self[number(page, slot)].isPresent { unhook(number(page, slot)) }
    }
  }

  public func allowStore(at address: VirtualAddress, on vcpu: Int, isTable: Bool) -> Bool {
    requireProcessor(vcpu)
    guard processors[vcpu].isLoaded, isGuests(address) else { return false }
    var walk = GuestWalk()
    guard follow(address, PageFault(), vcpu, &walk) == .resume else { return false }
    let (table, slot, entry) = (walk.tables[0], address.slot(at: 0), walk.entries[0])
    let isDenied = (1...PagingLimits.topLevel).contains { !walk.entries[$0].has(EntryBits.writable) }
    guard !isDenied, !entry.has(EntryBits.writable), state(entry.frame).pointee.writes,
      isTable || state(entry.frame).pointee.sync != .plain
    else { return false }
    unhookUppers(table, slot)
    // An entry that changed meanwhile faults again.
    let allowed = GuestTableEntry(rawValue: entry.rawValue | EntryBits.writable)
    if tables.replace(table, slot, expected: entry, with: allowed) {
      tables.made(.update(table: table, slot: slot, allowed))
    }
    return true
  }

  /// What an entry that was written gives more takes no fault, if nothing else has to be done for it.
  private func readAhead(_ entry: GuestTableEntry, _ table: MachineFrame, _ slot: Int) {
    guard entry.has(EntryBits.present | EntryBits.accessed), isKnown(entry.frame),
      state(entry.frame).pointee.maps, state(table).pointee.sync == .inSync,
      state(entry.frame).pointee.sync == .plain, policy != .all || outOfSyncCount == 0
    else { return }
    _ = pull(table, slot, entry, writes: false)
  }
}
