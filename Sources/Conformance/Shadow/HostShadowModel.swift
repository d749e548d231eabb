// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// The shadow's specification at the size of a running host: every frame of its memory, all slots, all levels.
///
/// A frame's name is its number; the last one stands for all that there are not. The abstract MMU, `offered`, is left
/// out: the machine of the specification never reads it, and that it holds of every step that the specification allows
/// is proved (`Proofs/Shadow`).
final class HostShadowModel: ShadowNames {
  /// The fields of a guest's entry, or of a translation.
  struct Columns: Sendable {
    let present, writable, user, execution, accessed, dirty, target: Int
  }

  let frameCount: Int
  let programs: SparsePrograms
  let actions: ShadowActions
  let policy, sync, exists, queued, pinned, linkCount, pageCount, capacity: Int
  let guest, snapshot, shadow, cached: Columns
  let maps, writes, isLeaving, isLoaded, root, seatIsUsed, seatFrame: Int
  let outOfSyncProcessor, outOfSyncPosition: Int
  let fixups: [(isUsed: Int, frame: Int, slot: Int)]

  /// What a trace names and what it is replayed by.
  static func programs(at scope: Scope) throws -> SparsePrograms {
    try SparsePrograms(Shadow().trace().forgetting(ghost: "offered"), scope: scope)
  }

  init(frameCount: Int, vcpuCount: Int) {
    self.frameCount = frameCount
    let scope = Scope(
      name: "\(frameCount) frames, \(vcpuCount) processors",
      counts: [
        "Frame": UInt64(frameCount + 1), "Level": 4, "Slot": UInt64(PagingLimits.slotCount),
        "Processor": UInt64(vcpuCount), "Position": 4, "LinkCount": 4096, "PageCount": 4096,
      ])
    do { programs = try Self.programs(at: scope) } catch { preconditionFailure("\(error)") }
    let s = programs.specification
    func component(_ name: String) -> Int {
      guard let index = s.componentIndex(name) else { preconditionFailure("\(s.name) has no \(name)") }
      return index
    }
    func entries(_ name: String) -> Columns {
      Columns(
        present: component("\(name).present"), writable: component("\(name).writable"),
        user: component("\(name).user"), execution: component("\(name).noExecute"),
        accessed: component("\(name).accessed"), dirty: component("\(name).dirty"),
        target: component("\(name).target"))
    }
    func translations(_ name: String) -> Columns {
      Columns(
        present: component("\(name).present"), writable: component("\(name).writable"),
        user: component("\(name).user"), execution: component("\(name).executable"),
        accessed: 0, dirty: 0, target: component("\(name).target"))
    }
    actions = ShadowActions(s)
    policy = component("policy")
    sync = component("sync")
    exists = component("exists")
    queued = component("queued")
    pinned = component("pinned")
    linkCount = component("links.count")
    pageCount = component("pages.count")
    capacity = component("capacity")
    (guest, snapshot) = (entries("guest"), entries("snapshot"))
    (shadow, cached) = (translations("shadow"), translations("cached"))
    maps = component("reach.maps")
    writes = component("reach.writes")
    isLeaving = component("reach.isLeaving")
    isLoaded = component("roots.isLoaded")
    root = component("roots.frame")
    seatIsUsed = component("seats.isUsed")
    seatFrame = component("seats.frame")
    outOfSyncProcessor = component("outOfSync.processor")
    outOfSyncPosition = component("outOfSync.position")
    fixups = ["first", "second"].map {
      (
        component("outOfSync.\($0).isUsed"), component("outOfSync.\($0).frame"),
        component("outOfSync.\($0).slot")
      )
    }
  }

  func frame(_ frame: MachineFrame) -> UInt64 { min(frame.rawValue, UInt64(frameCount)) }
  func slot(_ slot: Int) -> UInt64? { UInt64(slot) }
}

/// What the specification's state says, in the machine's terms.
struct HostShadowState {
  let model: HostShadowModel
  let simulator: SparseSimulator

  /// What of a guest's entry counts: nothing, if it is not present. Frames that there are not are one.
  func meaning(_ entry: GuestTableEntry) -> GuestTableEntry {
    guard entry.isPresent else { return GuestTableEntry(rawValue: 0) }
    let counted =
      EntryBits.present | EntryBits.writable | EntryBits.user | EntryBits.noExecute | EntryBits.accessed
      | EntryBits.dirty
    return GuestTableEntry(MachineFrame(model.frame(entry.frame)), entry.rawValue & counted)
  }

  /// The same of a shadow's entry, with the table that it leads to.
  func meaning(_ view: ShadowEntryView) -> GuestTableEntry {
    guard view.value.isPresent else { return GuestTableEntry(rawValue: 0) }
    let counted = EntryBits.present | EntryBits.writable | EntryBits.user | EntryBits.noExecute
    return GuestTableEntry(MachineFrame(model.frame(view.target)), view.value.rawValue & counted)
  }

  /// An entry in words: where it leads, and what it gives.
  func text(_ entry: GuestTableEntry) -> String {
    guard entry.isPresent else { return "absent" }
    let names = [
      (EntryBits.writable, "writable"), (EntryBits.user, "user"), (EntryBits.noExecute, "no-execute"),
      (EntryBits.accessed, "accessed"), (EntryBits.dirty, "dirty"),
    ]
    return (["frame \(entry.frame)"] + names.filter { entry.has($0.0) }.map(\.1)).joined(separator: " ")
  }

  func guest(_ table: UInt64, _ slot: Int) -> GuestTableEntry { entry(model.guest, table, slot) }
  func snapshot(_ table: UInt64, _ slot: Int) -> GuestTableEntry { entry(model.snapshot, table, slot) }

  private func entry(_ columns: HostShadowModel.Columns, _ table: UInt64, _ slot: Int) -> GuestTableEntry {
    let key = simulator.pack(columns.present, table, UInt64(slot))
    guard simulator[columns.present, key] == 1 else { return GuestTableEntry(rawValue: 0) }
    var bits = EntryBits.present
    if simulator[columns.writable, key] == 1 { bits |= EntryBits.writable }
    if simulator[columns.user, key] == 1 { bits |= EntryBits.user }
    if simulator[columns.execution, key] == 1 { bits |= EntryBits.noExecute }
    if simulator[columns.accessed, key] == 1 { bits |= EntryBits.accessed }
    if simulator[columns.dirty, key] == 1 { bits |= EntryBits.dirty }
    return GuestTableEntry(MachineFrame(simulator[columns.target, key]), bits)
  }

  /// A shadow's entry, by its packed place, as `meaning` has it.
  func shadow(_ key: UInt64) -> GuestTableEntry {
    let columns = model.shadow
    guard simulator[columns.present, key] == 1 else { return GuestTableEntry(rawValue: 0) }
    var bits = EntryBits.present
    if simulator[columns.writable, key] == 1 { bits |= EntryBits.writable }
    if simulator[columns.user, key] == 1 { bits |= EntryBits.user }
    if simulator[columns.execution, key] == 0 { bits |= EntryBits.noExecute }
    return GuestTableEntry(MachineFrame(simulator[columns.target, key]), bits)
  }

  func place(_ table: UInt64, _ level: Int, _ slot: Int) -> UInt64 {
    simulator.pack(model.shadow.present, table, UInt64(level), UInt64(slot))
  }
  func isQueued(_ place: UInt64) -> Bool { simulator[model.queued, place] == 1 }
  func exists(_ table: UInt64, _ level: Int) -> Bool {
    simulator[model.exists, simulator.pack(model.exists, table, UInt64(level))] == 1
  }
  func sync(_ frame: UInt64) -> Sync { ShadowActions.syncs[simulator[model.sync, frame]] }
  func mayWrite(_ frame: UInt64) -> Bool { simulator[model.writes, frame] == 1 }
  func mayMap(_ frame: UInt64) -> Bool { simulator[model.maps, frame] == 1 }
  func isPinned(_ frame: UInt64) -> Bool { simulator[model.pinned, frame] == 1 }
  func root(of vcpu: Int) -> UInt64? {
    simulator[model.isLoaded, UInt64(vcpu)] == 1 ? simulator[model.root, UInt64(vcpu)] : nil
  }
  /// Whether a vCPU runs on a table.
  func isLoaded(_ frame: UInt64) -> Bool {
    simulator.entries(of: model.isLoaded).keys.contains { simulator[model.root, $0] == frame }
  }
}
