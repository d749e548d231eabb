// SPDX-License-Identifier: Apache-2.0
//
// The specification follows the machine step by step: each step that the machine says it makes is taken, and must be
// allowed where it is taken.

import Interfaces
import Logic
import Machines

/// Makes the real accesses to the guest's tables, and passes the machine's steps on.
public final class ShadowTap: GuestTableAccess {
  private let shared: SharedGuestTables
  public let frameCount: Int
  /// Called before each access: other processors run here.
  var meddle: (() -> Void)?
  var onStore: (MachineFrame, Int, GuestTableEntry) -> Void = { _, _, _ in }
  var onStep: (ShadowStep) -> Void = { _ in }

  init(base: UnsafeMutableRawPointer, frameCount: Int) {
    shared = SharedGuestTables(base: base, frameCount: frameCount)
    self.frameCount = frameCount
  }

  public func load(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry {
    meddle?()
    return shared.load(table, slot)
  }
  public func replace(
    _ table: MachineFrame, _ slot: Int, expected: GuestTableEntry, with entry: GuestTableEntry
  ) -> Bool {
    meddle?()
    guard shared.replace(table, slot, expected: expected, with: entry) else { return false }
    onStore(table, slot, entry)
    return true
  }
  public func store(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry) {
    meddle?()
    shared.store(table, slot, entry)
    onStore(table, slot, entry)
  }
  public func made(_ step: ShadowStep) { onStep(step) }
}

/// How shadow page tables that are followed are made: the optimised ones, or ones with a bug planted in them.
public struct ShadowMaker: Sendable {
  /// What they are made of.
  public struct Parts {
    public let tap: ShadowTap
    public let pages: ShadowPages
    public let vcpuCount: Int
    public let policy: ShadowPolicy
    public let stub: any ShadowStub
  }
  let make: @Sendable (Parts) -> any InspectableShadowTables

  public init(_ make: @escaping @Sendable (Parts) -> any InspectableShadowTables) { self.make = make }

  public static let optimised = ShadowMaker { parts in
    ShadowMachine(
      tables: parts.tap, pages: parts.pages, vcpuCount: parts.vcpuCount, policy: parts.policy,
      stub: parts.stub)
  }
}

extension ShadowModel {
  /// A step of the machine, as the specification's action and its arguments; nil if it names a slot that is not used.
  func translated(_ step: ShadowStep) -> (action: Int, arguments: [UInt64])? {
    func f(_ frame: MachineFrame) -> UInt64 { self.frame(frame) }
    switch step {
    case .update(let table, let place, let entry):
      return slot(place).map { (update, [f(table), $0] + arguments(entry)) }
    case .invalidate(let vcpu, let table, let place):
      return slot(place).map { (invalidate, [UInt64(vcpu), f(table), $0]) }
    case .pull(let table, let place, let writes, let second):
      return slot(place).map { (pull, [f(table), $0, writes ? 1 : 0, second ? 1 : 0]) }
    case .link(let table, let level, let place):
      return slot(place).map { (link, [f(table), UInt64(level), $0]) }
    case .unhook(let table, let level, let place):
      return slot(place).map { (unhook, [f(table), UInt64(level), $0]) }
    case .load(let vcpu, let table): return (load, [UInt64(vcpu), f(table)])
    case .flush(let vcpu): return (flush, [UInt64(vcpu)])
    case .pin(let table): return (pin, [f(table)])
    case .unpin(let table): return (unpin, [f(table)])
    case .dropFixup(let table, let second): return (dropFixup, [f(table), second ? 1 : 0])
    case .unsync(let table, let vcpu, let position):
      return (unsync, [f(table), UInt64(vcpu), UInt64(position)])
    case .close(let table): return (close, [f(table)])
    case .protect(let frame): return (protect, [f(frame)])
    case .settle(let table): return (settle, [f(table)])
    case .store: return (store, [])
    case .resize(let capacity): return (resize, [UInt64(capacity)])
    case .prepare: return (prepare, [])
    case .finish: return (finish, [])
    case .create(let table, let level): return (create, [f(table), UInt64(level)])
    case .clear(let table): return (clear, [f(table)])
    case .destroy(let table, let level): return (destroy, [f(table), UInt64(level)])
    case .release(let frame): return (release, [f(frame)])
    case .acquire(let frame, let writes): return (acquire, [f(frame), writes ? 1 : 0])
    case .expel(let frame): return (expel, [f(frame)])
    case .surrender(let frame): return (surrender, [f(frame)])
    }
  }
}
