// SPDX-License-Identifier: Apache-2.0
//
// What operations answer, and which step each stands for. The specification has no answers: they follow from its state
// and from what the operation has read of the guest's tables.

import Interfaces
import Logic
import Machines
import Specs

extension FollowedShadowTables {
  private func expect<Answer: Equatable>(_ answer: Answer, _ expected: Answer, at step: String)
    throws(Divergence)
  {
    if answer != expected {
      throw oracle.divergence(at: step, "it answers \(answer), it should be \(expected)")
    }
  }
  private func expect(_ step: ShadowStep, if isDone: Bool = true) throws(Divergence) {
    if isDone, !steps.contains(step) {
      throw oracle.divergence(at: "\(step)", "the operation has not made it")
    }
  }

  // MARK: Frames

  func acquire(_ frame: MachineFrame, writes: Bool) -> ShadowStatus {
    let f = model.frame(frame)
    let isThere = f == UInt64(model.frameCount) || state.mayMap(f)
    return perform {
      inner.acquire(frame, writes: writes)
    } _: { status throws(Divergence) in
      try expect(status, isThere ? .denied : .okay, at: "acquire of frame \(frame)")
      try expect(.acquire(frame: frame, writes: writes), if: status == .okay)
    }
  }

  func surrender(_ frame: MachineFrame) -> ShadowStatus {
    let f = model.frame(frame)
    let (isThere, isHeld) = (state.mayMap(f), state.isPinned(f) || state.isLoaded(f))
    return perform {
      inner.surrender(frame)
    } _: { status throws(Divergence) in
      try expect(status, isThere ? isHeld ? .busy : .okay : .denied, at: "surrender of frame \(frame)")
      try expect(.surrender(frame: frame), if: status == .okay)
    }
  }

  // MARK: Roots

  func load(_ root: MachineFrame, on vcpu: Int) -> ShadowStatus {
    let mayWrite = state.mayWrite(model.frame(root))
    return perform {
      inner.load(root, on: vcpu)
    } _: { status throws(Divergence) in
      if mayWrite, status == .exhausted { return try expectExhaustion() }
      try expect(status, mayWrite ? .okay : .denied, at: "load of table \(root)")
      try expect(.load(vcpu: vcpu, table: root), if: status == .okay)
    }
  }

  func root(of vcpu: Int) -> MachineFrame? { inner.root(of: vcpu) }

  func pin(_ table: MachineFrame) -> ShadowStatus {
    let f = model.frame(table)
    let (mayWrite, wasPinned) = (state.mayWrite(f), state.isPinned(f))
    let held = oracle.simulator.entryCount(of: model.pinned) + 1 + vcpuCount + PagingLimits.levelCount
    let fits = held <= Int(oracle.simulator[model.capacity, 0])
    return perform {
      inner.pin(table)
    } _: { status throws(Divergence) in
      if mayWrite, !wasPinned, fits, status == .exhausted { return try expectExhaustion() }
      let expected: ShadowStatus = !mayWrite ? .denied : wasPinned || fits ? .okay : .exhausted
      try expect(status, expected, at: "pin of table \(table)")
      try expect(.pin(table: table), if: status == .okay && !wasPinned)
    }
  }
  var vcpuCount: Int { Int(model.programs.scope.counts["Processor"] ?? 0) }

  func unpin(_ table: MachineFrame) {
    let wasPinned = state.isPinned(model.frame(table))
    perform {
      inner.unpin(table)
    } _: { _ throws(Divergence) in
      try expect(.unpin(table: table), if: wasPinned)
    }
  }

  func reserve(_ slot: Int, _ entry: ShadowTableEntry, in table: MachineFrame) {
    inner.reserve(slot, entry, in: table)
  }

  /// There was too little shadow memory before anything was freed for it.
  private func expectExhaustion() throws(Divergence) {
    let (used, capacity) = (oracle.simulator[model.pageCount, 0], oracle.simulator[model.capacity, 0])
    if used + UInt64(PagingLimits.levelCount) > capacity { return }
    throw oracle.divergence(at: "shadow memory", "it is exhausted, and \(used) of \(capacity) pages are used")
  }

  // MARK: Faults

  /// What the operation read of an entry first; if it did not read it, what is there.
  private func read(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry {
    loads[GuestPlace(table: table, slot: slot)] ?? tap.peek(table, slot)
  }

  /// What the guest's own tables, as the operation has read them, make of an access.
  private func verdict(_ address: VirtualAddress, _ error: PageFault, _ root: UInt64?) -> ShadowOutcome {
    ShadowOutcome.verdict(address, error, root: root.map { MachineFrame($0) }, entry: read) {
      let target = model.frame($0)
      return (state.mayMap(target), state.mayWrite(target))
    }
  }

  func fault(at address: VirtualAddress, _ error: PageFault, on vcpu: Int) -> ShadowOutcome {
    let root = state.root(of: vcpu)
    return perform {
      inner.fault(at: address, error, on: vcpu)
    } _: { outcome throws(Divergence) in
      if outcome == .exhausted { return try expectExhaustion() }
      let verdict = verdict(address, error, root)
      if case .emulate(let table, _) = outcome, verdict == .resume, state.sync(model.frame(table)) == .inSync
      {
        return
      }
      try expect(outcome, verdict, at: "a fault at \(address)")
    }
  }

  func returns(_ vcpu: Int) {
    perform {
      inner.returns(vcpu)
    } _: { _ throws(Divergence) in
    }
  }

  func allowStore(at address: VirtualAddress, on vcpu: Int, isTable: Bool) -> Bool {
    let root = state.root(of: vcpu)
    return perform {
      inner.allowStore(at: address, on: vcpu, isTable: isTable)
    } _: { isAllowed throws(Divergence) in
      var expected = verdict(address, PageFault(), root) == .resume
      var table = MachineFrame(root ?? 0)
      for level in stride(from: PagingLimits.topLevel, through: 0, by: -1) where expected {
        let entry = read(table, address.slot(at: level))
        let target = model.frame(entry.frame)
        let isWritable = entry.has(EntryBits.writable)
        expected =
          level != 0
          ? isWritable : !isWritable && state.mayWrite(target) && (isTable || state.sync(target) != .plain)
        table = entry.frame
      }
      try expect(isAllowed, expected, at: "a store at \(address)")
    }
  }

  func isProtected(_ frame: MachineFrame) -> Bool { inner.isProtected(frame) }

  // MARK: Entries

  func write(_ entry: GuestTableEntry, to table: MachineFrame, slot: Int) -> ShadowStatus {
    let mayWrite = state.mayWrite(model.frame(table))
    return perform {
      inner.write(entry, to: table, slot: slot)
    } _: { status throws(Divergence) in
      try expect(status, mayWrite ? .okay : .denied, at: "write to table \(table)")
      try expect(.update(table: table, slot: slot, tap.reading(entry)), if: status == .okay)
    }
  }

  // MARK: Flushes

  func flush(_ vcpu: Int) {
    perform {
      inner.flush(vcpu)
    } _: { _ throws(Divergence) in
      try expect(.flush(vcpu: vcpu))
    }
  }

  func invalidate(_ address: VirtualAddress, on vcpu: Int) {
    perform {
      inner.invalidate(address, on: vcpu)
    } _: { _ throws(Divergence) in
      guard address.isGuests, var table = state.root(of: vcpu) else { return }
      for level in stride(from: PagingLimits.topLevel, through: 0, by: -1) {
        let slot = address.slot(at: level)
        try expect(.invalidate(vcpu: vcpu, table: MachineFrame(table), slot: slot))
        let entry = state.shadow(state.place(table, level, slot))
        guard entry.isPresent else { return }
        table = entry.frame.rawValue
      }
    }
  }

  func resize(to capacity: Int) -> ShadowStatus {
    let pinned = oracle.simulator.entryCount(of: model.pinned)
    return perform {
      inner.resize(to: capacity)
    } _: { status throws(Divergence) in
      let fits = capacity >= pinned + vcpuCount + PagingLimits.levelCount
      if status == .exhausted, !fits || capacity > inner.capacityInPages { return }
      try expect(status, fits ? .okay : .exhausted, at: "resize to \(capacity)")
    }
  }
}
