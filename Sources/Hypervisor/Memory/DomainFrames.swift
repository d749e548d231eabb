// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What one domain may reach: its own frames, and those of others that it has mapped through grants.
///
/// Guarded by the domain's lock. While that is held, a frame of the domain stays the domain's, since only the
/// domain's own hypercalls give it away.
final class DomainFrames {
  let domain: DomainID
  let memory: MachineMemory

  private struct Mappings {
    var readers = 0
    var writers = 0
  }
  /// Frames of others, by the number of grant mappings that let this domain's processors reach them.
  private var granted: [MachineFrame: Mappings] = [:]

  /// Own frames that the guest has pinned as page tables of some level.
  var pinned: Set<MachineFrame> = []

  init(_ domain: DomainID, memory: MachineMemory) {
    self.domain = domain
    self.memory = memory
  }

  /// Whether the domain owns a frame.
  func owns(_ frame: MachineFrame) -> Bool { memory.owner(of: frame) == domain }

  /// Whether the domain's processors may read, or also write, a frame.
  func mayReach(_ frame: MachineFrame, writing: Bool) -> Bool {
    if owns(frame) { return true }
    guard !granted.isEmpty, let mappings = granted[frame] else { return false }
    return mappings.writers > 0 || (!writing && mappings.readers > 0)
  }

  /// The 512 entries of a frame of the domain's own; nil if it is not. Guests write them at any time.
  func entries(of frame: MachineFrame) -> UnsafeMutablePointer<UInt64>? {
    guard owns(frame) else { return nil }
    return memory.bytes(of: frame)?.assumingMemoryBound(to: UInt64.self)
  }

  /// An entry of a page table of the domain's own; an empty one if it is not.
  func entry(_ place: EntryPlace) -> PageTableEntry {
    PageTableEntry(entries(of: place.table).map { ($0 + place.index).loadShared() } ?? 0)
  }

  // MARK: Grants

  /// A grant mapping begins: the frame can be reached until `dropGranted`.
  func addGranted(_ frame: MachineFrame, readOnly: Bool) {
    if readOnly {
      granted[frame, default: Mappings()].readers += 1
    } else {
      granted[frame, default: Mappings()].writers += 1
    }
  }

  /// A grant mapping ended. The caller tells the pager (`grantChanged`), as when one begins.
  func dropGranted(_ frame: MachineFrame, readOnly: Bool) {
    guard var mappings = granted[frame] else { return }
    if readOnly { mappings.readers -= 1 } else { mappings.writers -= 1 }
    granted[frame] = mappings.readers <= 0 && mappings.writers <= 0 ? nil : mappings
  }
}
