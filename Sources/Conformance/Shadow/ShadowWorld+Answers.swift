// SPDX-License-Identifier: Apache-2.0
//
// What operations answer. The specification has no answers: they follow from its state and from the guest's tables.

import Interfaces
import Logic
import Machines

extension ShadowWorld {
  // MARK: Faults

  /// What a guest's own tables make of an access, without meddling.
  func verdict(_ address: VirtualAddress, _ error: PageFault, _ vcpu: Int) -> ShadowOutcome {
    ShadowOutcome.verdict(address, error, root: tables.loadedTable(of: vcpu), entry: entry) {
      let reach = tables.reach(of: $0)
      return (reach.maps, reach.writes)
    }
  }

  /// Whether a fault came to what the guest's tables say. Shadow memory is never so short that a walk finds no pages.
  func check(_ outcome: ShadowOutcome, _ verdict: ShadowOutcome) throws(Divergence) {
    let isSame =
      switch (outcome, verdict) {
      case (.resume, .resume): true
      case (.emulate(let table, _), .resume): tables.isTable(table) && !tables.isOutOfSync(table)
      default: outcome == verdict
      }
    if !isSame { throw oracle.divergence(at: "a fault", "it comes to \(outcome), it should be \(verdict)") }
  }

  // MARK: Statuses

  private func expect(_ status: ShadowStatus, _ expected: ShadowStatus, at step: String) throws(Divergence) {
    if status != expected {
      throw oracle.divergence(at: step, "it answers \(status), it should be \(expected)")
    }
  }

  private func mayWrite(_ frame: MachineFrame) -> Bool { oracle.simulator[model.writes + name(frame)] == 1 }
  private func isPinned(_ frame: MachineFrame) -> Bool { oracle.simulator[model.pinned + name(frame)] == 1 }
  private func name(_ frame: MachineFrame) -> Int { Int(model.frame(frame)) }
  private func isLoaded(_ frame: MachineFrame) -> Bool {
    (0..<model.sizes.vcpus).contains {
      oracle.simulator[model.isLoaded + $0] == 1 && oracle.simulator[model.root + $0] == model.frame(frame)
    }
  }

  func write(_ entry: GuestTableEntry, to table: MachineFrame, slot: Int) throws(Divergence) -> ShadowStatus {
    let status = tables.write(entry, to: table, slot: slot)
    try expect(status, mayWrite(table) ? .okay : .denied, at: "write to table \(table)")
    let marks = EntryBits.accessed | EntryBits.dirty
    if status == .okay, self.entry(table, slot).rawValue & ~marks != entry.rawValue & ~marks {
      throw oracle.divergence(at: "write to table \(table)", "the entry is not there")
    }
    return status
  }

  /// What is flushed by what is asked for, whatever the machine says that it flushed; and is gone.
  private func flushed(_ vcpu: Int) throws(Divergence) {
    if let divergence { throw divergence }
    for entry in processors[vcpu] { try check(entry, vcpu) }
  }

  func flush(_ vcpu: Int) throws(Divergence) {
    tables.flush(vcpu)
    mmu.flush(vcpu)
    try flushed(vcpu)
  }

  func invalidate(_ address: VirtualAddress, on vcpu: Int) throws(Divergence) {
    tables.invalidate(address, on: vcpu)
    guard address.isGuests, var table = tables.loadedTable(of: vcpu) else { return }
    for level in stride(from: PagingLimits.topLevel, through: 0, by: -1) {
      let slot = address.slot(at: level)
      if let name = model.slot(slot) { mmu.flush(vcpu, model.frame(table), name) }
      guard let entry = tables.inspect(table, level: level, slot: slot), entry.value.isPresent else { break }
      table = entry.target
    }
    try flushed(vcpu)
  }

  /// A fault that a processor takes by what it had before, or for no reason at all.
  func fault(at address: VirtualAddress, _ error: PageFault, on vcpu: Int, expectsProgress: Bool)
    throws(Divergence)
  {
    let verdict = verdict(address, error, vcpu)
    let outcome = tables.fault(at: address, error, on: vcpu)
    if expectsProgress { try check(outcome, verdict) }
  }

  func load(_ root: MachineFrame, on vcpu: Int) throws(Divergence) {
    let status = tables.load(root, on: vcpu)
    try expect(status, mayWrite(root) ? .okay : .denied, at: "load of table \(root)")
    if status == .okay, tables.loadedTable(of: vcpu) != root {
      throw oracle.divergence(at: "load of table \(root)", "processor \(vcpu) does not run on it")
    }
    if status == .okay {
      mmu.flush(vcpu)
      try flushed(vcpu)
    }
  }

  func pin(_ table: MachineFrame) throws(Divergence) {
    let wasPinned = isPinned(table)
    let pinned = (0..<model.frames).filter { oracle.simulator[model.pinned + $0] == 1 }.count
    let status = tables.pin(table)
    let needed = pinned + 1 + model.sizes.vcpus + PagingLimits.levelCount
    let fits = wasPinned || needed <= Int(oracle.simulator[model.capacity])
    try expect(
      status, mayWrite(table) ? fits ? .okay : .exhausted : .denied, at: "pin of table \(table)")
  }

  func acquire(_ frame: MachineFrame, writes: Bool) throws(Divergence) {
    let isThere = name(frame) == model.sizes.frames || oracle.simulator[model.maps + name(frame)] == 1
    let status = tables.acquire(frame, writes: writes)
    try expect(status, isThere ? .denied : .okay, at: "acquire of frame \(frame)")
    if status == .okay, mayWrite(frame) != writes {
      throw oracle.divergence(at: "acquire of frame \(frame)", "it may\(writes ? " not" : "") be written")
    }
  }

  func surrender(_ frame: MachineFrame) throws(Divergence) {
    let isThere = oracle.simulator[model.maps + name(frame)] == 1
    let isHeld = isPinned(frame) || isLoaded(frame)
    try expect(
      tables.surrender(frame), isThere ? isHeld ? .busy : .okay : .denied, at: "surrender of frame \(frame)")
  }

  func resize(to capacity: Int) throws(Divergence) {
    let pinned = (0..<model.frames).filter { oracle.simulator[model.pinned + $0] == 1 }.count
    let fits = pinned + model.sizes.vcpus + PagingLimits.levelCount...model.sizes.pages ~= capacity
    try expect(tables.resize(to: capacity), fits ? .okay : .exhausted, at: "resize to \(capacity)")
  }
}
