// SPDX-License-Identifier: Apache-2.0
//
// A sample: operations are followed in windows. At a window's beginning the specification's state is made anew of the
// machine's and of the guest's memory; from there on each operation is followed and compared as without a sample; at its
// end everything is compared. So what a window finds is a difference, whatever came before.
//
// What was done between windows is seen at the next beginning, as far as it lasts: the machine's own books must balance, and
// a table in sync must give what its shadow gives. Not seen is what came and went meanwhile.
//
// A window begins where no downgrade is queued: then processors have nothing but what lies in the shadows, and take it over
// as the specification lets them.

import Interfaces
import Logic
import Machines
import Specs

/// Which operations are compared: of each `interval` the first `length`.
public struct CheckSample: Sendable, Hashable {
  /// Operations of a window, 1 or more.
  public let length: Int
  /// Operations from one window's beginning to the next one's, more than `length`.
  public let interval: Int

  public init(length: Int, interval: Int) {
    precondition(length >= 1 && interval > length, "a window, and then a while without")
    (self.length, self.interval) = (length, interval)
  }

  /// What `run --check=sample` compares.
  public static let standard = CheckSample(length: 2048, interval: 16384)
}

extension FollowedShadowTables {
  /// An operation was compared: the window may be over.
  func countFollowed() throws(Divergence) {
    guard let sample else { return }
    remaining -= 1
    if remaining > 0 { return }
    try compareEverything()
    (isResting, remaining) = (true, sample.interval - sample.length)
  }

  /// An operation was made between windows: the next one may be there.
  func countSkipped() {
    watch.skip()
    remaining -= 1
    guard let sample, remaining <= 0, inner.queuedCount == 0 else { return }
    (isResting, remaining) = (false, sample.length)
    watch.beginWindow()
    do throws(Divergence) { try takeUpState() } catch { diverge(error) }
  }

  private func put(_ component: Int, _ keys: [UInt64], _ value: UInt64) {
    if oracle.simulator.set(component, keys, to: value) { return }
    complain(at: "the beginning of a window", "the machine has what the specification has no number for")
  }

  /// Makes the specification's state of what is there.
  private func takeUpState() throws(Divergence) {
    if let imbalance = inner.imbalance() { throw oracle.divergence(at: "the shadow's books", imbalance) }
    oracle.restart()
    (closing, ways, owners) = ([], [:], [:])
    put(model.policy, [], ShadowModel.policy(.few))
    put(model.capacity, [], UInt64(inner.capacityInPages))
    put(model.pageCount, [0], UInt64(inner.usedPages))
    for vcpu in 0..<vcpuCount {
      guard let root = inner.loadedTable(of: vcpu) else { continue }
      put(model.isLoaded, [UInt64(vcpu)], 1)
      put(model.root, [UInt64(vcpu)], model.frame(root))
    }
    var outOfSync: [MachineFrame] = []
    for number in 0..<UInt64(model.frameCount) {
      let frame = MachineFrame(number)
      takeUpReach(frame)
      guard inner.isTable(frame) || inner.isOutOfSync(frame) else { continue }
      for slot in 0..<PagingLimits.slotCount {
        put(tap.peek(frame, slot), model.guest, [number, UInt64(slot)])
      }
      for level in 0..<PagingLimits.levelCount where inner.hasShadow(frame, level: level) {
        try takeUpShadow(frame, level)
      }
      if inner.isOutOfSync(frame) {
        outOfSync.append(frame)
        takeUpOutOfSync(frame)
      }
    }
    for frame in outOfSync { takeUpWriters(of: frame) }
    oracle.forgetChanges()
  }

  private func takeUpReach(_ frame: MachineFrame) {
    let (f, reach) = ([frame.rawValue], inner.reach(of: frame))
    if reach.maps { put(model.maps, f, 1) }
    if reach.writes { put(model.writes, f, 1) }
    if reach.isLeaving { put(model.isLeaving, f, 1) }
    if inner.isPinned(frame) { put(model.pinned, f, 1) }
    let sync: Sync = inner.isOutOfSync(frame) ? .outOfSync : inner.isTable(frame) ? .inSync : .plain
    put(model.sync, f, ShadowActions.syncs.number(of: sync))
  }

  private func put(_ entry: GuestTableEntry, _ columns: HostShadowModel.Columns, _ key: [UInt64]) {
    guard entry.isPresent else { return }
    put(columns.present, key, 1)
    if entry.has(EntryBits.writable) { put(columns.writable, key, 1) }
    if entry.has(EntryBits.user) { put(columns.user, key, 1) }
    if entry.has(EntryBits.noExecute) { put(columns.execution, key, 1) }
    if entry.has(EntryBits.accessed) { put(columns.accessed, key, 1) }
    if entry.has(EntryBits.dirty) { put(columns.dirty, key, 1) }
    put(columns.target, key, model.frame(entry.frame))
  }

  private func takeUpShadow(_ table: MachineFrame, _ level: Int) throws(Divergence) {
    let key = [table.rawValue, UInt64(level)]
    put(model.exists, key, 1)
    put(model.linkCount, key, UInt64(inner.linkCount(table, level: level)))
    if let page = inner.page(of: table, level: level) { owners[page] = (table.rawValue, level) }
    let isInSync = !inner.isOutOfSync(table)
    for slot in 0..<PagingLimits.slotCount {
      if level == PagingLimits.topLevel, PagingLimits.reservedSlots.contains(slot) { continue }
      guard let view = inner.inspect(table, level: level, slot: slot), view.value.isPresent else { continue }
      let (columns, place) = (model.shadow, key + [UInt64(slot)])
      put(columns.present, place, 1)
      if view.value.isWritable { put(columns.writable, place, 1) }
      if view.value.has(EntryBits.user) { put(columns.user, place, 1) }
      if !view.value.has(EntryBits.noExecute) { put(columns.execution, place, 1) }
      put(columns.target, place, model.frame(view.target))
      if isInSync, !isGiven(view, by: tap.peek(table, slot), level) {
        throw oracle.divergence(
          at: "entry \(slot) of the shadow of table \(table) at level \(level)",
          "it gives what the guest's entry does not, since before this window of the sample")
      }
    }
  }

  /// Whether a guest's entry gives all that a shadow's does.
  private func isGiven(_ view: ShadowEntryView, by entry: GuestTableEntry, _ level: Int) -> Bool {
    entry.has(EntryBits.present | EntryBits.accessed) && model.frame(entry.frame) == model.frame(view.target)
      && (!view.value.isWritable || entry.has(EntryBits.writable | (level == 0 ? EntryBits.dirty : 0)))
      && (!view.value.has(EntryBits.user) || entry.has(EntryBits.user))
      && (view.value.has(EntryBits.noExecute) || !entry.has(EntryBits.noExecute))
  }

  private func takeUpOutOfSync(_ table: MachineFrame) {
    let f = [table.rawValue]
    for slot in 0..<PagingLimits.slotCount {
      guard let entry = inner.snapshot(table, slot: slot) else { continue }
      put(entry, model.snapshot, f + [UInt64(slot)])
    }
    for (number, columns) in model.fixups.enumerated() {
      guard let fixup = inner.fixup(table, second: number == 1) else { continue }
      put(columns.isUsed, f, 1)
      put(columns.frame, f, model.frame(fixup.frame))
      put(columns.slot, f, UInt64(fixup.slot))
    }
    guard let seat = inner.seat(of: table) else { return }
    put(model.outOfSyncProcessor, f, UInt64(seat.vcpu))
    put(model.outOfSyncPosition, f, UInt64(seat.position))
    let key = [UInt64(seat.vcpu), UInt64(seat.position)]
    put(model.seatIsUsed, key, 1)
    put(model.seatFrame, key, table.rawValue)
  }

  /// Processors may have taken over every entry that lets them write to a table that is out of sync.
  private func takeUpWriters(of table: MachineFrame) {
    for way in writers(of: table) { lead(way, to: model.frame(table)) }
  }
}
