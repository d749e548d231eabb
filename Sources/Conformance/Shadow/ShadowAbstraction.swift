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
  private let state: UnsafeMutablePointer<UInt64>
  /// Which registers of `state` may be other than at first.
  private var touched: [Int] = []

  init(_ model: ShadowModel) {
    self.model = model
    initial = model.programs.layout.initialRegisters
    state = .allocate(capacity: initial.count)
    state.initialize(from: initial, count: initial.count)
  }

  deinit { state.deallocate() }

  private func set(_ register: Int, _ value: UInt64) {
    touched.append(register)
    state[register] = value
  }

  /// The specification's state, as a world's tables and processors have it, with the policy given. It holds until the next
  /// is made.
  func state(of world: ShadowWorld, policy: UInt64) -> UnsafeBufferPointer<UInt64> {
    for register in touched { state[register] = initial[register] }
    touched.removeAll(keepingCapacity: true)
    let tables = world.tables
    set(model.policy, policy)
    set(model.pageCount, UInt64(tables.usedPages))
    set(model.capacity, UInt64(tables.capacityInPages))
    for number in 0..<model.sizes.frames { addFrame(MachineFrame(UInt64(number)), world) }
    for vcpu in 0..<model.sizes.vcpus {
      if let root = tables.loadedTable(of: vcpu) {
        set(model.isLoaded + vcpu, 1)
        set(model.root + vcpu, model.frame(root))
      }
      for entry in world.processors[vcpu] {
        let place = model.place(entry.place.frame, entry.place.level, entry.place.slot)
        put(entry.value, entry.target, model.cached, model.cached(vcpu, place))
      }
    }
    return UnsafeBufferPointer(start: state, count: initial.count)
  }

  private func addFrame(_ frame: MachineFrame, _ world: ShadowWorld) {
    let (tables, f) = (world.tables, frame.rawValue)
    let reach = tables.reach(of: frame)
    set(model.maps + Int(f), reach.maps ? 1 : 0)
    set(model.writes + Int(f), reach.writes ? 1 : 0)
    set(model.isLeaving + Int(f), reach.isLeaving ? 1 : 0)
    set(model.pinned + Int(f), tables.isPinned(frame) ? 1 : 0)
    let sync: Sync =
      tables.isOutOfSync(frame) ? .outOfSync : tables.isTable(frame) ? .inSync : .plain
    set(model.sync + Int(f), ShadowActions.syncs.number(of: sync))
    for (s, slot) in model.sizes.slots.enumerated() {
      put(world.entry(frame, slot), model.guest, model.entry(f, UInt64(s)))
    }
    for level in 0..<PagingLimits.levelCount where tables.hasShadow(frame, level: level) {
      set(model.exists + model.shadow(f, level), 1)
      set(model.linkCount + model.shadow(f, level), UInt64(tables.linkCount(frame, level: level)))
      for (s, slot) in model.sizes.slots.enumerated() {
        guard let entry = tables.inspect(frame, level: level, slot: slot) else { continue }
        let place = model.place(f, level, UInt64(s))
        put(entry.value, entry.target, model.shadow, place)
        set(model.queued + place, entry.isQueued ? 1 : 0)
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
      set(columns.isUsed + f, 1)
      set(columns.frame + f, model.frame(fixup.frame))
      set(columns.slot + f, model.slot(fixup.slot) ?? 0)
    }
    if let seat = tables.seat(of: frame) {
      set(model.outOfSyncProcessor + f, UInt64(seat.vcpu))
      set(model.outOfSyncPosition + f, UInt64(seat.position))
      set(model.seatIsUsed + model.seat(seat.vcpu, seat.position), 1)
      set(model.seatFrame + model.seat(seat.vcpu, seat.position), UInt64(f))
    }
  }

  private func put(_ entry: GuestTableEntry, _ columns: ShadowModel.Columns, _ index: Int) {
    guard entry.isPresent else { return }
    set(columns.present + index, 1)
    set(columns.writable + index, entry.has(EntryBits.writable) ? 1 : 0)
    set(columns.user + index, entry.has(EntryBits.user) ? 1 : 0)
    set(columns.execution + index, entry.has(EntryBits.noExecute) ? 1 : 0)
    set(columns.accessed + index, entry.has(EntryBits.accessed) ? 1 : 0)
    set(columns.dirty + index, entry.has(EntryBits.dirty) ? 1 : 0)
    set(columns.target + index, model.frame(entry.frame))
  }

  private func put(
    _ value: ShadowTableEntry, _ target: MachineFrame, _ columns: ShadowModel.Columns, _ index: Int
  ) {
    guard value.isPresent else { return }
    set(columns.present + index, 1)
    set(columns.writable + index, value.isWritable ? 1 : 0)
    set(columns.user + index, value.has(EntryBits.user) ? 1 : 0)
    set(columns.execution + index, value.has(EntryBits.noExecute) ? 0 : 1)
    set(columns.target + index, model.frame(target))
  }
}
