// SPDX-License-Identifier: Apache-2.0
//
// Shadow page tables with bugs planted in them, for the drivers to find: the optimised ones, behind memory accesses, a
// stub or calls that do one thing wrong, or with shadow memory that is spoiled where the bug would be.

import Conformance
import Interfaces
import Machines

/// What planted shadow page tables do wrong.
public enum ShadowBug: Int, CaseIterable, Sendable {
  /// The last of the queued downgrades is forgotten.
  case forgottenDowngrade
  /// Processors are not told of upper entries that are gone (XSA-286).
  case upperNotFlushed
  /// A resync looks at entries as they were when they were last read, not as they are.
  case staleResync
  /// The fix-ups of a table that comes back into sync let the guest write to it again (xen.git 3ea6bace3b).
  case fixupGrants
  /// The reverse map misses those who can write to a frame that becomes a table.
  case missedWriters
  /// Accessed and dirty bits are not stored.
  case markLost
  /// The guest's flush does nothing.
  case flushIgnored
  /// An entry that is written by hypercall is not validated again (XSA-182).
  case notRevalidated
  /// A processor goes on with its table when another is loaded, or the same again.
  case loadIgnored
  /// A frame that a processor runs on is given up (XSA-438).
  case rootSurrendered

  /// The optimised shadow page tables with the bug.
  public var maker: ShadowMaker {
    ShadowMaker { parts in
      let tables = PlantedTables(parts, self)
      let stub = PlantedStub(parts.stub, self, tables)
      return PlantedShadow(
        ShadowMachine(
          tables: tables, pages: parts.pages, vcpuCount: parts.vcpuCount, policy: parts.policy, stub: stub),
        parts.tap, self)
    }
  }
}

private final class PlantedTables: GuestTableAccess {
  private let parts: ShadowMaker.Parts
  private let bug: ShadowBug
  /// As entries were when they were last read.
  private var read: [MachineFrame: [Int: GuestTableEntry]] = [:]
  private var closing: MachineFrame?
  /// Shadow entries that were spoiled: where, what each was, and is.
  private var spoiled: [(index: Int, old: UInt64, new: UInt64)] = []
  /// Whether an entry of an upper shadow is gone since the stub last ran.
  var hasUnhooked = false

  init(_ parts: ShadowMaker.Parts, _ bug: ShadowBug) {
    (self.parts, self.bug) = (parts, bug)
  }

  var frameCount: Int { parts.tap.frameCount }

  func reading(_ entry: GuestTableEntry) -> GuestTableEntry { parts.tap.reading(entry) }

  func load(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry {
    let entry = parts.tap.load(table, slot)
    guard bug == .staleResync else { return entry }
    if closing == table, let old = read[table]?[slot] { return old }
    read[table, default: [:]][slot] = entry
    return entry
  }
  func replace(_ table: MachineFrame, _ slot: Int, expected: GuestTableEntry, with entry: GuestTableEntry)
    -> Bool
  {
    if bug == .markLost { return parts.tap.load(table, slot) == expected }
    return parts.tap.replace(table, slot, expected: expected, with: entry)
  }
  func store(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry) {
    parts.tap.store(table, slot, entry)
  }

  func made(_ step: ShadowStep) {
    switch step {
    case .close(let table):
      closing = table
      if bug == .fixupGrants { grant(table) }
    case .settle: closing = nil
    case .protect(let frame): if bug == .missedWriters { grant(frame) }
    case .unhook:
      hasUnhooked = true
      // What is about to be emptied is as the machine left it, or its lists would be spoiled for good, unseen.
      restore()
    default: break
    }
    parts.tap.made(step)
  }

  /// Gives shadow entries that map a frame, and have just lost something, the right to write to it again.
  private func grant(_ frame: MachineFrame) {
    let words = parts.pages.base.assumingMemoryBound(to: UInt64.self)
    let queued: UInt64 = 1 << 9
    for index in 0..<parts.pages.count * PagingLimits.slotCount {
      let entry = ShadowTableEntry(rawValue: words[index])
      if entry.isPresent, entry.has(queued), entry.frame == frame {
        words[index] |= EntryBits.writable | EntryBits.dirty
        spoiled.append((index, entry.rawValue, words[index]))
      }
    }
  }

  private func restore() {
    let words = parts.pages.base.assumingMemoryBound(to: UInt64.self)
    for word in spoiled where words[word.index] == word.new { words[word.index] = word.old }
    spoiled = []
  }
}

private final class PlantedStub: ShadowStub {
  private let inner: any ShadowStub
  private let bug: ShadowBug
  private let tables: PlantedTables

  init(_ inner: any ShadowStub, _ bug: ShadowBug, _ tables: PlantedTables) {
    (self.inner, self.bug, self.tables) = (inner, bug, tables)
  }

  func store(_ downgrades: UnsafeBufferPointer<Downgrade>) {
    let kept =
      switch bug {
      case .forgottenDowngrade: Array(downgrades.dropLast())
      case .upperNotFlushed where tables.hasUnhooked: downgrades.filter { $0.value.isPresent }
      default: Array(downgrades)
      }
    tables.hasUnhooked = false
    kept.withUnsafeBufferPointer(inner.store)
  }
}

private final class PlantedShadow: InspectableShadowTables {
  private let inner: any InspectableShadowTables
  private let tap: ShadowTap
  private let bug: ShadowBug

  init(_ inner: any InspectableShadowTables, _ tap: ShadowTap, _ bug: ShadowBug) {
    (self.inner, self.tap, self.bug) = (inner, tap, bug)
  }

  func load(_ root: MachineFrame, on vcpu: Int) -> ShadowStatus {
    if bug == .loadIgnored, inner.loadedTable(of: vcpu) != nil { return .okay }
    return inner.load(root, on: vcpu)
  }
  func flush(_ vcpu: Int) { if bug != .flushIgnored { inner.flush(vcpu) } }
  func write(_ entry: GuestTableEntry, to table: MachineFrame, slot: Int) -> ShadowStatus {
    if bug == .notRevalidated, inner.hasShadow(table, level: 0), !inner.isOutOfSync(table) {
      tap.store(table, slot, entry)
      tap.made(.update(table: table, slot: slot, entry))
      return .okay
    }
    return inner.write(entry, to: table, slot: slot)
  }
  func surrender(_ frame: MachineFrame) -> ShadowStatus {
    let status = inner.surrender(frame)
    return bug == .rootSurrendered && status == .busy ? .okay : status
  }

  func acquire(_ frame: MachineFrame, writes: Bool) -> ShadowStatus { inner.acquire(frame, writes: writes) }
  func root(of vcpu: Int) -> MachineFrame? { inner.root(of: vcpu) }
  func pin(_ table: MachineFrame) -> ShadowStatus { inner.pin(table) }
  func unpin(_ table: MachineFrame) { inner.unpin(table) }
  func reserve(_ slot: Int, _ entry: ShadowTableEntry, in table: MachineFrame) {
    inner.reserve(slot, entry, in: table)
  }
  func allowStore(at address: VirtualAddress, on vcpu: Int, isTable: Bool) -> Bool {
    inner.allowStore(at: address, on: vcpu, isTable: isTable)
  }
  func isProtected(_ frame: MachineFrame) -> Bool { inner.isProtected(frame) }
  func fault(at address: VirtualAddress, _ error: PageFault, on vcpu: Int) -> ShadowOutcome {
    inner.fault(at: address, error, on: vcpu)
  }
  func returns(_ vcpu: Int) { inner.returns(vcpu) }
  func invalidate(_ address: VirtualAddress, on vcpu: Int) { inner.invalidate(address, on: vcpu) }
  func resize(to capacity: Int) -> ShadowStatus { inner.resize(to: capacity) }

  var policy: ShadowPolicy { inner.policy }
  func reach(of frame: MachineFrame) -> ShadowReachView { inner.reach(of: frame) }
  func hasShadow(_ table: MachineFrame, level: Int) -> Bool { inner.hasShadow(table, level: level) }
  func page(of table: MachineFrame, level: Int) -> MachineFrame? { inner.page(of: table, level: level) }
  func inspect(_ table: MachineFrame, level: Int, slot: Int) -> ShadowEntryView? {
    inner.inspect(table, level: level, slot: slot)
  }
  func linkCount(_ table: MachineFrame, level: Int) -> Int { inner.linkCount(table, level: level) }
  func isTable(_ frame: MachineFrame) -> Bool { inner.isTable(frame) }
  func isOutOfSync(_ table: MachineFrame) -> Bool { inner.isOutOfSync(table) }
  func isPinned(_ table: MachineFrame) -> Bool { inner.isPinned(table) }
  func loadedTable(of vcpu: Int) -> MachineFrame? { inner.loadedTable(of: vcpu) }
  func snapshot(_ table: MachineFrame, slot: Int) -> GuestTableEntry? { inner.snapshot(table, slot: slot) }
  func fixup(_ table: MachineFrame, second: Bool) -> (frame: MachineFrame, slot: Int)? {
    inner.fixup(table, second: second)
  }
  func seat(of table: MachineFrame) -> (vcpu: Int, position: Int)? { inner.seat(of: table) }
  var usedPages: Int { inner.usedPages }
  var capacityInPages: Int { inner.capacityInPages }
  var queuedCount: Int { inner.queuedCount }
  func imbalance(of slots: [Int]) -> String? { inner.imbalance(of: slots) }
  var reflections: UInt64 { inner.reflections }
  func image(of slots: [Int]) -> ShadowImage { inner.image(of: slots) }
  func restore(_ image: ShadowImage) { inner.restore(image) }
}
