// SPDX-License-Identifier: Apache-2.0
//
// The abstraction: what the real tables and the simulated processors mean in the specification's state. Every variable
// of the specification is made from them and compared, but for these:
//
//   offered   is kept beside the specification and compared entry by entry where a processor uses one (`AbstractMMU`);
//   policy    is chosen once;
//   promised  is 0 between operations, on both sides.
//
// What the specification does not know is not compared, but must balance by itself (`imbalance`): which page of the pool
// a shadow has, the lists of the reverse map, the clock hand and the order in which places and fix-ups are taken.
// Of a guest's entry the bits count that `GuestEntry` has; one that is not present is as good as none. An entry of an
// upper shadow leads to a page of the pool: its target is the guest's table that the page is the shadow of.

import Interfaces
import Logic
import Machines
import Specs

/// Makes the specification's state from the machine's.
final class ShadowAbstraction {
  private let model: ShadowModel
  private let initial: [UInt64]
  private var state: [UInt64]

  init(_ model: ShadowModel) {
    self.model = model
    initial = model.programs.layout.initialRegisters
    state = initial
  }

  /// The specification's state, as a world's tables and processors have it, with the policy given.
  func state(of world: ShadowWorld, policy: UInt64) -> [UInt64] {
    state.withUnsafeMutableBufferPointer { _ = $0.update(fromContentsOf: initial) }
    let tables = world.tables
    state[model.policy] = policy
    state[model.pageCount] = UInt64(tables.usedPages)
    state[model.capacity] = UInt64(tables.capacityInPages)
    for number in 0..<model.sizes.frames { addFrame(MachineFrame(UInt64(number)), world) }
    for vcpu in 0..<model.sizes.vcpus {
      if let root = tables.loadedTable(of: vcpu) {
        state[model.isLoaded + vcpu] = 1
        state[model.root + vcpu] = model.frame(root)
      }
      for entry in world.processors[vcpu] {
        let place = model.place(entry.place.frame, entry.place.level, entry.place.slot)
        put(entry.value, entry.target, model.cached, model.cached(vcpu, place))
      }
    }
    return state
  }

  private func addFrame(_ frame: MachineFrame, _ world: ShadowWorld) {
    let (tables, f) = (world.tables, frame.rawValue)
    let reach = tables.reach(of: frame)
    state[model.maps + Int(f)] = reach.maps ? 1 : 0
    state[model.writes + Int(f)] = reach.writes ? 1 : 0
    state[model.isLeaving + Int(f)] = reach.isLeaving ? 1 : 0
    state[model.pinned + Int(f)] = tables.isPinned(frame) ? 1 : 0
    let sync: Sync =
      tables.isOutOfSync(frame) ? .outOfSync : tables.isTable(frame) ? .inSync : .plain
    state[model.sync + Int(f)] = ShadowActions.syncs.number(of: sync)
    for (s, slot) in model.sizes.slots.enumerated() {
      put(world.entry(frame, slot), model.guest, model.entry(f, UInt64(s)))
    }
    for level in 0..<PagingLimits.levelCount where tables.hasShadow(frame, level: level) {
      state[model.exists + model.shadow(f, level)] = 1
      state[model.linkCount + model.shadow(f, level)] = UInt64(tables.linkCount(frame, level: level))
      for (s, slot) in model.sizes.slots.enumerated() {
        guard let entry = tables.inspect(frame, level: level, slot: slot) else { continue }
        let place = model.place(f, level, UInt64(s))
        put(entry.value, entry.target, model.shadow, place)
        state[model.queued + place] = entry.isQueued ? 1 : 0
      }
    }
    if sync == .outOfSync { addOutOfSync(frame, tables) }
  }

  private func addOutOfSync(_ frame: MachineFrame, _ tables: any InspectableShadowTables) {
    let f = Int(frame.rawValue)
    for (s, slot) in model.sizes.slots.enumerated() {
      guard let entry = tables.snapshot(frame, slot: slot) else { continue }
      put(entry, model.snapshot, model.entry(frame.rawValue, UInt64(s)))
    }
    for (number, columns) in model.fixups.enumerated() {
      guard let fixup = tables.fixup(frame, second: number == 1) else { continue }
      state[columns.isUsed + f] = 1
      state[columns.frame + f] = model.frame(fixup.frame)
      state[columns.slot + f] = model.slot(fixup.slot) ?? 0
    }
    if let seat = tables.seat(of: frame) {
      state[model.outOfSyncProcessor + f] = UInt64(seat.vcpu)
      state[model.outOfSyncPosition + f] = UInt64(seat.position)
      state[model.seatIsUsed + model.seat(seat.vcpu, seat.position)] = 1
      state[model.seatFrame + model.seat(seat.vcpu, seat.position)] = UInt64(f)
    }
  }

  private func put(_ entry: GuestTableEntry, _ columns: ShadowModel.Columns, _ index: Int) {
    guard entry.isPresent else { return }
    state[columns.present + index] = 1
    state[columns.writable + index] = entry.has(EntryBits.writable) ? 1 : 0
    state[columns.user + index] = entry.has(EntryBits.user) ? 1 : 0
    state[columns.execution + index] = entry.has(EntryBits.noExecute) ? 1 : 0
    state[columns.accessed + index] = entry.has(EntryBits.accessed) ? 1 : 0
    state[columns.dirty + index] = entry.has(EntryBits.dirty) ? 1 : 0
    state[columns.target + index] = model.frame(entry.frame)
  }

  private func put(
    _ value: ShadowTableEntry, _ target: MachineFrame, _ columns: ShadowModel.Columns, _ index: Int
  ) {
    guard value.isPresent else { return }
    state[columns.present + index] = 1
    state[columns.writable + index] = value.isWritable ? 1 : 0
    state[columns.user + index] = value.has(EntryBits.user) ? 1 : 0
    state[columns.execution + index] = value.has(EntryBits.noExecute) ? 0 : 1
    state[columns.target + index] = model.frame(target)
  }
}
