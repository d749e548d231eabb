// SPDX-License-Identifier: Apache-2.0
//
// The specification follows the machine step by step: each step that the machine says it makes is taken, and must be
// allowed where it is taken.

import Interfaces
import Machines

/// Makes the real accesses to the guest's tables, and passes the machine's steps on.
public final class ShadowTap: GuestTableAccess {
  private let shared: SharedGuestTables
  private let paravirtual: ParavirtualGuestTables
  private let isParavirtual: Bool
  public let frameCount: Int
  /// Called before each access: other processors run here.
  var meddle: (() -> Void)?
  var onLoad: ((MachineFrame, Int, GuestTableEntry) -> Void)?
  var onStore: (MachineFrame, Int, GuestTableEntry) -> Void = { _, _, _ in }
  var onStep: (ShadowStep) -> Void = { _ in }

  /// - Parameter isParavirtual: whether entries are those of a PV guest, all of them its user's.
  init(base: UnsafeMutableRawPointer, frameCount: Int, isParavirtual: Bool = false) {
    shared = SharedGuestTables(base: base, frameCount: frameCount)
    paravirtual = ParavirtualGuestTables(base: base, frameCount: frameCount)
    self.isParavirtual = isParavirtual
    self.frameCount = frameCount
  }

  public func reading(_ entry: GuestTableEntry) -> GuestTableEntry {
    isParavirtual ? paravirtual.reading(entry) : entry
  }

  /// An entry as it is now; nobody is told.
  func peek(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry { reading(shared.load(table, slot)) }

  public func load(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry {
    meddle?()
    let entry = peek(table, slot)
    onLoad?(table, slot, entry)
    return entry
  }
  public func replace(
    _ table: MachineFrame, _ slot: Int, expected: GuestTableEntry, with entry: GuestTableEntry
  ) -> Bool {
    meddle?()
    let isDone =
      isParavirtual
      ? paravirtual.replace(table, slot, expected: expected, with: entry)
      : shared.replace(table, slot, expected: expected, with: entry)
    guard isDone else { return false }
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
