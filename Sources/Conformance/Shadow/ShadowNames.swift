// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// The actions of the shadow's specification, as numbers.
struct ShadowActions: Sendable {
  static let syncs = Cases<Sync>()

  let storeByGuest, fill, update, load, flush, invalidate, pin, unpin, pull, dropFixup, link, unhook: Int
  let unsync, close, protect, settle, store, resize, prepare, finish, create, clear, destroy: Int
  let release, acquire, expel, surrender: Int

  init(_ specification: Specification) {
    let s = specification
    storeByGuest = s.action("storeByGuest")
    fill = s.action("fill")
    update = s.action("update")
    load = s.action("load")
    flush = s.action("flush")
    invalidate = s.action("invalidate")
    pin = s.action("pin")
    unpin = s.action("unpin")
    pull = s.action("pull")
    dropFixup = s.action("dropFixup")
    link = s.action("link")
    unhook = s.action("unhook")
    unsync = s.action("unsync")
    close = s.action("close")
    protect = s.action("protect")
    settle = s.action("settle")
    store = s.action("store")
    resize = s.action("resize")
    prepare = s.action("prepare")
    finish = s.action("finish")
    create = s.action("create")
    clear = s.action("clear")
    destroy = s.action("destroy")
    release = s.action("release")
    acquire = s.action("acquire")
    expel = s.action("expel")
    surrender = s.action("surrender")
  }
}

/// What the machine's things are called in the specification, at some scope.
protocol ShadowNames: AnyObject, Sendable {
  var actions: ShadowActions { get }
  /// A frame's name; that of the last one for a frame that the machine does not know.
  func frame(_ frame: MachineFrame) -> UInt64
  /// A slot's name; nil for one that is not used.
  func slot(_ slot: Int) -> UInt64?
}

extension ShadowNames {
  /// A step of the machine, as the specification's action and its arguments; nil if it names a slot that is not used.
  func translated(_ step: ShadowStep) -> (action: Int, arguments: [UInt64])? {
    func f(_ frame: MachineFrame) -> UInt64 { self.frame(frame) }
    switch step {
    case .update(let table, let place, let entry):
      return slot(place).map { (actions.update, [f(table), $0] + arguments(entry)) }
    case .invalidate(let vcpu, let table, let place):
      return slot(place).map { (actions.invalidate, [UInt64(vcpu), f(table), $0]) }
    case .pull(let table, let place, let writes, let second):
      return slot(place).map { (actions.pull, [f(table), $0, writes ? 1 : 0, second ? 1 : 0]) }
    case .link(let table, let level, let place):
      return slot(place).map { (actions.link, [f(table), UInt64(level), $0]) }
    case .unhook(let table, let level, let place):
      return slot(place).map { (actions.unhook, [f(table), UInt64(level), $0]) }
    case .load(let vcpu, let table): return (actions.load, [UInt64(vcpu), f(table)])
    case .flush(let vcpu): return (actions.flush, [UInt64(vcpu)])
    case .pin(let table): return (actions.pin, [f(table)])
    case .unpin(let table): return (actions.unpin, [f(table)])
    case .dropFixup(let table, let second): return (actions.dropFixup, [f(table), second ? 1 : 0])
    case .unsync(let table, let vcpu, let position):
      return (actions.unsync, [f(table), UInt64(vcpu), UInt64(position)])
    case .close(let table): return (actions.close, [f(table)])
    case .protect(let frame): return (actions.protect, [f(frame)])
    case .settle(let table): return (actions.settle, [f(table)])
    case .store: return (actions.store, [])
    case .resize(let capacity): return (actions.resize, [UInt64(capacity)])
    case .prepare: return (actions.prepare, [])
    case .finish: return (actions.finish, [])
    case .create(let table, let level): return (actions.create, [f(table), UInt64(level)])
    case .clear(let table): return (actions.clear, [f(table)])
    case .destroy(let table, let level): return (actions.destroy, [f(table), UInt64(level)])
    case .release(let frame): return (actions.release, [f(frame)])
    case .acquire(let frame, let writes): return (actions.acquire, [f(frame), writes ? 1 : 0])
    case .expel(let frame): return (actions.expel, [f(frame)])
    case .surrender(let frame): return (actions.surrender, [f(frame)])
    }
  }

  /// The fields of a guest's entry, in the order in which actions take them. An entry that is not present is as good as
  /// none.
  func arguments(_ entry: GuestTableEntry) -> [UInt64] {
    guard entry.isPresent else { return [0, 0, 0, 0, 0, 0, 0] }
    func bit(_ bits: UInt64) -> UInt64 { entry.has(bits) ? 1 : 0 }
    return [
      1, bit(EntryBits.writable), bit(EntryBits.user), bit(EntryBits.noExecute), bit(EntryBits.accessed),
      bit(EntryBits.dirty), frame(entry.frame),
    ]
  }
}

extension VirtualAddress {
  /// Whether a guest's tables have a say in it: it is one, and not the hypervisor's.
  var isGuests: Bool {
    (Int64(bitPattern: rawValue) << 16) >> 16 == Int64(bitPattern: rawValue)
      && !PagingLimits.reservedSlots.contains(slot(at: PagingLimits.topLevel))
  }
}

extension ShadowOutcome {
  /// What a guest's own tables make of an access: the outcome of its fault, where `resume` stands for every one by which
  /// the guest gets on.
  /// - Parameters:
  ///   - root: the top-level table that the processor runs on.
  ///   - entry: an entry of a table, by its slot.
  ///   - reach: whether the domain may map a frame, and write to it.
  static func verdict(
    _ address: VirtualAddress, _ error: PageFault, root: MachineFrame?,
    entry: (MachineFrame, Int) -> GuestTableEntry, reach: (MachineFrame) -> (maps: Bool, writes: Bool)
  ) -> ShadowOutcome {
    guard address.isGuests, var table = root else { return .reflect(present: error.contains(.present)) }
    var isDenied = false
    for level in stride(from: PagingLimits.topLevel, through: 0, by: -1) {
      let found = entry(table, address.slot(at: level))
      guard found.isPresent else { return .reflect(present: false) }
      let (maps, writes) = reach(found.frame)
      guard level == 0 ? maps : writes && !found.has(EntryBits.large) else {
        return .refuse(level: level, entry: found)
      }
      isDenied =
        isDenied || error.contains(.write) && !found.has(EntryBits.writable)
        || error.contains(.user) && !found.has(EntryBits.user)
        || error.contains(.fetch) && found.has(EntryBits.noExecute)
      if level == 0, !isDenied, error.contains(.write), !writes { return .refuse(level: level, entry: found) }
      table = found.frame
    }
    return isDenied ? .reflect(present: true) : .resume
  }
}
