// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What an access does.
enum Access: Sendable, Hashable {
  case read, write, execute
}

/// On whose behalf an access is made: the two worlds that a PV guest has at CPL 3.
enum VirtualMode: Sendable, Hashable {
  case kernel, user
}

/// An entry of a guest's page tables that no guest may have: the domain is ended.
struct WildEntry: Error, Hashable, CustomStringConvertible {
  enum Problem: Hashable {
    case foreignFrame, foreignTable, foreignRoot, largePage, reservedBits
  }
  var problem: Problem
  var level: Int
  var entry: PageTableEntry
  var address: VirtualAddress

  var description: String {
    if problem == .foreignRoot {
      return "wild page table: the loaded table is machine frame \(entry.frame), which is not the domain's"
    }
    let what =
      switch problem {
      case .foreignFrame: "maps machine frame \(entry.frame), which is neither the domain's nor granted to it"
      case .foreignTable, .foreignRoot: "points to machine frame \(entry.frame), which is not the domain's"
      case .largePage: "maps a large page, which PV guests may not have"
      case .reservedBits: "has reserved bits set"
      }
    return "wild page table: the level-\(level) entry \(hex(entry.rawValue)) for address "
      + "\(hex(address.rawValue)) \(what)"
  }
}

/// What a walk of a guest's tables found.
enum WalkResult {
  case mapped(Translation)
  /// Some entry is not present.
  case notPresent
  /// Present at all levels, but not for this access.
  case denied(Translation)
  /// An entry changed during the walk: try again.
  case changed
  case wild(WildEntry)
}

/// Where an address leads, and what may be done there.
struct Translation {
  var frame: MachineFrame
  /// The guest's tables let it be written, and its dirty bit is set.
  var writable: Bool
  var noExecute: Bool
  /// All levels give it to user mode too.
  var user: Bool
}

/// What the levels above the last one allow for all that they lead to.
struct UpperRights {
  var writable = true
  var user = true
  var noExecute = false

  mutating func narrow(by entry: PageTableEntry) {
    writable = writable && entry.has(PageTableEntry.writable)
    user = user && entry.has(PageTableEntry.user)
    noExecute = noExecute || entry.has(PageTableEntry.noExecute)
  }
}

/// Walks a guest's own page tables. Every entry is hostile: it is read once, and nothing that it names is touched
/// before its owner is known.
struct GuestWalker {
  let frames: DomainFrames

  /// Walks from a level-4 table, and sets accessed and dirty bits as a processor would.
  ///
  /// The kernel of a PV guest runs at CPL 3 too, so what its tables keep from user mode is not kept from it.
  func walk(_ address: VirtualAddress, root: MachineFrame, for access: Access, in mode: VirtualMode)
    -> WalkResult
  {
    var table = root
    var rights = UpperRights()
    for level in stride(from: 4, through: 2, by: -1) {
      guard let entries = frames.entries(of: table) else {
        let entry = PageTableEntry(table, 0)
        return .wild(WildEntry(problem: .foreignRoot, level: level, entry: entry, address: address))
      }
      let slot = entries + address.tableIndex(level)
      let entry = PageTableEntry(slot.loadShared())
      guard entry.isPresent else { return .notPresent }
      if entry.has(PageTableEntry.large) {
        let problem: WildEntry.Problem = level == 4 ? .reservedBits : .largePage
        return .wild(WildEntry(problem: problem, level: level, entry: entry, address: address))
      }
      guard frames.owns(entry.frame) else {
        return .wild(WildEntry(problem: .foreignTable, level: level, entry: entry, address: address))
      }
      guard set(PageTableEntry.accessed, in: slot, of: entry) else { return .changed }
      rights.narrow(by: entry)
      table = entry.frame
    }
    return last(address, table: table, rights: rights, access: access, mode: mode)
  }

  private func last(
    _ address: VirtualAddress, table: MachineFrame, rights: UpperRights, access: Access, mode: VirtualMode
  ) -> WalkResult {
    guard let entries = frames.entries(of: table) else { return .changed }
    let slot = entries + address.tableIndex(1)
    let entry = PageTableEntry(slot.loadShared())
    guard entry.isPresent else { return .notPresent }
    guard let found = translation(entry, rights) else {
      return .wild(WildEntry(problem: .foreignFrame, level: 1, entry: entry, address: address))
    }
    let writable = rights.writable && entry.has(PageTableEntry.writable)
    let isDenied =
      access == .write && !writable || access == .execute && found.noExecute || mode == .user && !found.user
    if isDenied { return .denied(found) }
    guard access == .write else {
      guard set(PageTableEntry.accessed, in: slot, of: entry) else { return .changed }
      return .mapped(found)
    }
    guard frames.mayReach(entry.frame, writing: true) else {
      return .wild(WildEntry(problem: .foreignFrame, level: 1, entry: entry, address: address))
    }
    guard set(PageTableEntry.accessed | PageTableEntry.dirty, in: slot, of: entry) else { return .changed }
    var written = found
    written.writable = true
    return .mapped(written)
  }

  /// What a present level-1 entry gives; nil if the domain may not reach its frame.
  private func translation(_ entry: PageTableEntry, _ rights: UpperRights) -> Translation? {
    let clean = entry.has(PageTableEntry.writable) && entry.has(PageTableEntry.dirty) && rights.writable
    let writing = clean && frames.mayReach(entry.frame, writing: true)
    guard writing || frames.mayReach(entry.frame, writing: false) else { return nil }
    return Translation(
      frame: entry.frame, writable: writing,
      noExecute: rights.noExecute || entry.has(PageTableEntry.noExecute),
      user: rights.user && entry.has(PageTableEntry.user))
  }

  /// Sets bits in an entry if they are not set; false if the entry is no longer what was read.
  private func set(_ bits: UInt64, in slot: UnsafeMutablePointer<UInt64>, of entry: PageTableEntry) -> Bool {
    if entry.rawValue & bits == bits { return true }
    return slot.replaceShared(entry.rawValue, with: entry.rawValue | bits)
  }
}

/// A number as it stands in messages: 0x and lower-case hexadecimal digits.
func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
