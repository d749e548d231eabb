// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

private let policies = Cases<SyncPolicy>()

/// How many of each thing a comparison of shadow page tables has.
struct ShadowSizes: Sendable, Hashable {
  /// Frames of the domain's memory. The model has one more, which stands for all frames that the machine does not know.
  var frames: Int
  /// Which slots of tables are used; the others are empty always.
  var slots: [Int]
  var vcpus: Int
  /// Shadow pages.
  var pages: Int
}

/// The names of the shadow's specification, as numbers, at one scope.
///
/// The abstract MMU, `offered`, is kept beside it (`AbstractMMU`): the machine of the specification never reads it, and
/// nearly all of its time would go there.
final class ShadowModel: ShadowNames {
  /// The fields of a guest's entry, or of a translation: the first register of each.
  struct Columns: Sendable {
    let present, writable, user, execution, accessed, dirty, target: Int
  }

  let sizes: ShadowSizes
  let programs: ProgramSet
  let frames, slots: Int
  private let slotNames: [Int]
  let actions: ShadowActions

  /// The first register of each table; entries follow by key, the last running fastest.
  let policy, sync, exists, queued, pinned, linkCount, pageCount, capacity: Int
  let guest, snapshot, shadow, cached: Columns
  let maps, writes, isLeaving: Int
  let isLoaded, root: Int
  let seatIsUsed, seatFrame: Int
  let outOfSyncProcessor, outOfSyncPosition: Int
  /// By which of the two: whether it is used, its frame and its slot.
  let fixups: [(isUsed: Int, frame: Int, slot: Int)]

  init(_ sizes: ShadowSizes) {
    self.sizes = sizes
    (frames, slots) = (sizes.frames + 1, sizes.slots.count)
    var slotNames = Array(repeating: -1, count: PagingLimits.slotCount)
    for (name, slot) in sizes.slots.enumerated() { slotNames[slot] = name }
    self.slotNames = slotNames
    let scope = Scope(
      name: "\(sizes.frames) frames, \(sizes.slots.count) slots, \(sizes.vcpus) processors",
      counts: [
        "Frame": UInt64(frames), "Level": 4, "Slot": UInt64(slots), "Processor": UInt64(sizes.vcpus),
        "Position": 4, "LinkCount": 4096, "PageCount": 4096,
      ])
    programs = .compiled(try Shadow().trace().forgetting(ghost: "offered"), at: scope)
    let (s, layout) = (programs.layout.specification, programs.layout)
    actions = ShadowActions(s)
    func table(_ component: String, keys: Int) -> Int {
      layout.require(component, Array(repeating: 0, count: keys))
    }
    func entries(_ name: String) -> Columns {
      Columns(
        present: table("\(name).present", keys: 2), writable: table("\(name).writable", keys: 2),
        user: table("\(name).user", keys: 2), execution: table("\(name).noExecute", keys: 2),
        accessed: table("\(name).accessed", keys: 2), dirty: table("\(name).dirty", keys: 2),
        target: table("\(name).target", keys: 2))
    }
    func translations(_ name: String, keys: Int) -> Columns {
      Columns(
        present: table("\(name).present", keys: keys), writable: table("\(name).writable", keys: keys),
        user: table("\(name).user", keys: keys), execution: table("\(name).executable", keys: keys),
        accessed: 0, dirty: 0, target: table("\(name).target", keys: keys))
    }
    policy = table("policy", keys: 0)
    sync = table("sync", keys: 1)
    exists = table("exists", keys: 2)
    queued = table("queued", keys: 3)
    pinned = table("pinned", keys: 1)
    linkCount = table("links.count", keys: 2)
    pageCount = table("pages.count", keys: 1)
    capacity = table("capacity", keys: 0)
    guest = entries("guest")
    snapshot = entries("snapshot")
    shadow = translations("shadow", keys: 3)
    cached = translations("cached", keys: 4)
    maps = table("reach.maps", keys: 1)
    writes = table("reach.writes", keys: 1)
    isLeaving = table("reach.isLeaving", keys: 1)
    isLoaded = table("roots.isLoaded", keys: 1)
    root = table("roots.frame", keys: 1)
    seatIsUsed = table("seats.isUsed", keys: 2)
    seatFrame = table("seats.frame", keys: 2)
    outOfSyncProcessor = table("outOfSync.processor", keys: 1)
    outOfSyncPosition = table("outOfSync.position", keys: 1)
    fixups = ["first", "second"].map { name in
      (
        table("outOfSync.\(name).isUsed", keys: 1), table("outOfSync.\(name).frame", keys: 1),
        table("outOfSync.\(name).slot", keys: 1)
      )
    }
  }

  // MARK: Names

  /// A frame's name; that of the last one for a frame that the machine does not know.
  func frame(_ frame: MachineFrame) -> UInt64 {
    frame.rawValue < UInt64(sizes.frames) ? frame.rawValue : UInt64(sizes.frames)
  }
  /// A slot's name; nil for one that is not used.
  func slot(_ slot: Int) -> UInt64? { slotNames[slot] < 0 ? nil : UInt64(slotNames[slot]) }

  static func policy(_ policy: ShadowPolicy) -> UInt64 {
    let choice: SyncPolicy =
      switch policy {
      case .few: .few
      case .all: .all
      case .none: .none
      }
    return policies.number(of: choice)
  }

  // MARK: Indices

  func entry(_ frame: UInt64, _ slot: UInt64) -> Int { Int(frame) * slots + Int(slot) }
  func shadow(_ frame: UInt64, _ level: Int) -> Int { Int(frame) * PagingLimits.levelCount + level }
  func place(_ frame: UInt64, _ level: Int, _ slot: UInt64) -> Int {
    shadow(frame, level) * slots + Int(slot)
  }
  func cached(_ vcpu: Int, _ place: Int) -> Int { vcpu * frames * PagingLimits.levelCount * slots + place }
  func seat(_ vcpu: Int, _ position: Int) -> Int { vcpu * 4 + position }
}
