// SPDX-License-Identifier: Apache-2.0
//
// What entries give, as Specs/Shadow says it in `GuestEntry` and `Translation`.

import Interfaces

extension GuestTableEntry {
  /// What a processor may make of the entry: nothing before it is accessed, no writing to a page before it is dirty.
  /// - Parameter frame: what the shadow entry is to lead to.
  @inline(__always)
  func translation(at level: Int, to frame: MachineFrame) -> ShadowTableEntry {
    guard has(EntryBits.present | EntryBits.accessed) else { return .absent }
    var bits = rawValue & (EntryBits.user | EntryBits.noExecute) | EntryBits.present | EntryBits.accessed
    if level != 0 {
      bits |= rawValue & EntryBits.writable
    } else if has(EntryBits.writable | EntryBits.dirty) {
      bits |= EntryBits.writable | EntryBits.dirty
    }
    return ShadowTableEntry(rawValue: frame.rawValue &<< 12 & EntryBits.frame | bits)
  }
  @inline(__always) var leaf: ShadowTableEntry { translation(at: 0, to: frame) }
}

extension ShadowTableEntry {
  /// Whether the entry's downgrade is not stored yet.
  @inline(__always) var isQueued: Bool { has(SoftwareEntryBits.queued) }
  /// What processors make of it.
  @inline(__always) var settled: ShadowTableEntry {
    ShadowTableEntry(rawValue: rawValue & ~SoftwareEntryBits.queued)
  }

  /// Whether `other` gives all that `self` gives.
  @inline(__always) func isWithin(_ other: ShadowTableEntry) -> Bool {
    guard isPresent else { return true }
    let given = EntryBits.present | EntryBits.writable | EntryBits.user
    return rawValue & given & ~other.rawValue == 0 && frame == other.frame
      && (has(EntryBits.noExecute) || !other.has(EntryBits.noExecute))
  }

  @inline(__always) var readOnly: ShadowTableEntry {
    ShadowTableEntry(rawValue: rawValue & ~(EntryBits.writable | EntryBits.dirty))
  }

  /// What both give.
  @inline(__always) func restricted(to other: ShadowTableEntry) -> ShadowTableEntry {
    guard isPresent, other.isPresent, frame == other.frame else { return .absent }
    let taken = (EntryBits.writable | EntryBits.user | EntryBits.dirty) & ~other.rawValue
    return ShadowTableEntry(rawValue: rawValue & ~taken | other.rawValue & EntryBits.noExecute)
  }
}
