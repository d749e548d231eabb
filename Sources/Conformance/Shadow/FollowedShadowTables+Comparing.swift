// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension FollowedShadowTables {
  /// Compares what the specification's steps have changed, and the shadows of the tables that came, went, or were brought
  /// into or out of sync.
  func compareChanges() throws(Divergence) {
    let simulator = oracle.simulator
    var (places, frames, shadows): (Set<UInt64>, Set<UInt64>, Set<UInt64>) = ([], [], [])
    for change in oracle.changes {
      switch change.component {
      case model.shadow.present, model.shadow.writable, model.shadow.user, model.shadow.execution,
        model.shadow.target, model.queued:
        places.insert(change.key)
      case model.guest.present...model.guest.target: try compareGuest(change.key)
      case model.snapshot.present...model.snapshot.target: try compareSnapshot(change.key)
      case model.exists, model.linkCount: shadows.insert(change.key)
      case model.cached.present...model.cached.target: break
      default:
        let keys = simulator.keys(of: change.component, change.key)
        let names = model.programs.specification.components[change.component].keys.map(\.name)
        if names == ["Frame"] { frames.insert(keys[0]) }
        if names == ["Processor", "Position"] { try compareSeat(Int(keys[0]), Int(keys[1])) }
        if names == ["Processor"] { try compareRoot(Int(keys[0])) }
      }
    }
    for key in places { try comparePlace(key, simulator.keys(of: model.shadow.present, key)) }
    for frame in frames { try compareFrame(frame) }
    for key in shadows { try compareShadow(key) }
    try compareCounts()
    for table in namedTables { try compareTable(table) }
  }

  /// Compares every shadow, and the machine's own books.
  func compareEverything() throws(Divergence) {
    for key in oracle.simulator.entries(of: model.exists).keys {
      let keys = oracle.simulator.keys(of: model.exists, key)
      try compareShadow(key)
      try compareWhole(MachineFrame(keys[0]), Int(keys[1]))
      try compareFrame(keys[0])
    }
    if let imbalance = inner.imbalance() { throw oracle.divergence(at: "the shadow's books", imbalance) }
  }

  private var namedTables: Set<MachineFrame> {
    var tables: Set<MachineFrame> = []
    for step in steps {
      switch step {
      case .close(let table), .settle(let table), .clear(let table), .create(let table, _),
        .destroy(let table, _), .unsync(let table, _, _), .protect(let table), .release(let table),
        .load(_, let table), .pin(let table), .unpin(let table):
        tables.insert(table)
      default: break
      }
    }
    return tables
  }

  private func compareTable(_ table: MachineFrame) throws(Divergence) {
    for level in 0..<PagingLimits.levelCount {
      let (f, isThere) = (model.frame(table), inner.hasShadow(table, level: level))
      if isThere != state.exists(f, level) {
        throw oracle.divergence(at: "table \(f) at level \(level)", "it has \(isThere ? "a" : "no") shadow")
      }
      if isThere { try compareWhole(table, level) }
    }
  }

  /// Every entry of a shadow.
  private func compareWhole(_ table: MachineFrame, _ level: Int) throws(Divergence) {
    let (f, state) = (model.frame(table), state)
    for slot in 0..<PagingLimits.slotCount {
      try comparePlace(state.place(f, level, slot), [f, UInt64(level), UInt64(slot)])
    }
  }

  private func comparePlace(_ key: UInt64, _ keys: [UInt64]) throws(Divergence) {
    let (level, slot) = (Int(keys[1]), Int(keys[2]))
    // The hypervisor's own.
    if level == PagingLimits.topLevel, PagingLimits.reservedSlots.contains(slot) { return }
    let view = inner.inspect(MachineFrame(keys[0]), level: level, slot: slot)
    let found = view.map(state.meaning) ?? GuestTableEntry(rawValue: 0)
    let expected = state.shadow(key)
    guard found == expected else {
      throw oracle.divergence(
        at: "entry \(slot) of the shadow of table \(keys[0]) at level \(level)",
        "it is \(state.text(found)), it should be \(state.text(expected))")
    }
    // What a freed shadow had queued was stored before.
    guard let view, view.isQueued != state.isQueued(key) else { return }
    throw oracle.divergence(
      at: "entry \(slot) of the shadow of table \(keys[0]) at level \(level)",
      "its downgrade is \(view.isQueued ? "queued" : "not queued"), it should be otherwise")
  }

  /// An entry of a guest's table in sync is what the specification says.
  private func compareGuest(_ key: UInt64) throws(Divergence) {
    let keys = oracle.simulator.keys(of: model.guest.present, key)
    let slot = Int(keys[1])
    guard state.sync(keys[0]) == .inSync else { return }
    let found = state.meaning(tap.peek(MachineFrame(keys[0]), slot))
    let expected = state.guest(keys[0], slot)
    guard found != expected else { return }
    throw oracle.divergence(
      at: "entry \(slot) of table \(keys[0])",
      "it is \(state.text(found)) in memory, it should be \(state.text(expected))")
  }

  private func compareSnapshot(_ key: UInt64) throws(Divergence) {
    let keys = oracle.simulator.keys(of: model.snapshot.present, key)
    let (table, slot) = (MachineFrame(keys[0]), Int(keys[1]))
    let found = inner.snapshot(table, slot: slot).map(state.meaning) ?? GuestTableEntry(rawValue: 0)
    let expected = state.snapshot(keys[0], slot)
    guard found != expected else { return }
    throw oracle.divergence(
      at: "entry \(slot) of the snapshot of table \(keys[0])",
      "it is \(state.text(found)), it should be \(state.text(expected))")
  }

  private func compareShadow(_ key: UInt64) throws(Divergence) {
    let keys = oracle.simulator.keys(of: model.exists, key)
    let (table, level) = (MachineFrame(keys[0]), Int(keys[1]))
    let (isThere, count) = (inner.hasShadow(table, level: level), inner.linkCount(table, level: level))
    let expected = Int(oracle.simulator[model.linkCount, key])
    guard isThere != state.exists(keys[0], level) || count != expected else { return }
    throw oracle.divergence(
      at: "table \(keys[0]) at level \(level)",
      "it has \(isThere ? "a" : "no") shadow with \(count) references; there should be \(expected)")
  }

  private func compareFrame(_ f: UInt64) throws(Divergence) {
    let (frame, simulator) = (MachineFrame(f), oracle.simulator)
    let reach = inner.reach(of: frame)
    let sync: Sync = inner.isOutOfSync(frame) ? .outOfSync : inner.isTable(frame) ? .inSync : .plain
    func differ(_ what: String) -> Divergence {
      oracle.divergence(at: "frame \(f)", "\(what) should be otherwise")
    }
    if sync != state.sync(f) { throw differ("it is \(sync), which") }
    if inner.isPinned(frame) != state.isPinned(f) { throw differ("whether it is pinned") }
    if reach.maps != state.mayMap(f) || reach.writes != state.mayWrite(f)
      || reach.isLeaving != (simulator[model.isLeaving, f] == 1)
    {
      throw differ("what the domain may do with it")
    }
    for (number, columns) in model.fixups.enumerated() {
      let expected =
        simulator[columns.isUsed, f] == 0
        ? nil : [simulator[columns.frame, f], simulator[columns.slot, f]]
      let found = inner.fixup(frame, second: number == 1).map { [$0.frame.rawValue, UInt64($0.slot)] }
      if found != expected { throw differ("fix-up \(number)") }
    }
    guard sync == .outOfSync, let seat = inner.seat(of: frame) else { return }
    if UInt64(seat.vcpu) != simulator[model.outOfSyncProcessor, f]
      || UInt64(seat.position) != simulator[model.outOfSyncPosition, f]
    {
      throw differ("its place")
    }
  }

  private func compareSeat(_ vcpu: Int, _ position: Int) throws(Divergence) {
    let key = oracle.simulator.pack(model.seatIsUsed, UInt64(vcpu), UInt64(position))
    guard oracle.simulator[model.seatIsUsed, key] == 1 else { return }
    let seat = inner.seat(of: MachineFrame(oracle.simulator[model.seatFrame, key]))
    if seat?.vcpu == vcpu, seat?.position == position { return }
    throw oracle.divergence(at: "place \(position) of processor \(vcpu)", "it has another table")
  }

  private func compareRoot(_ vcpu: Int) throws(Divergence) {
    let found = inner.loadedTable(of: vcpu).map(model.frame)
    if found == state.root(of: vcpu) { return }
    throw oracle.divergence(at: "processor \(vcpu)", "it runs on another table")
  }

  private func compareCounts() throws(Divergence) {
    let (used, capacity) = (oracle.simulator[model.pageCount, 0], oracle.simulator[model.capacity, 0])
    if used == UInt64(inner.usedPages), capacity == UInt64(inner.capacityInPages) { return }
    throw oracle.divergence(
      at: "shadow memory",
      "\(inner.usedPages) of \(inner.capacityInPages) pages are used, it should be \(used) of \(capacity)")
  }
}
