// SPDX-License-Identifier: Apache-2.0
//
// Bugs that were real, as one-place changes of the specification. Each must be caught.

import Logic

/// xen.git 3ea6bace3b: after write access is removed, and before the frame is a table, write is granted again.
final class ShadowRegrants: Shadow {
  override func isWritable(_ frame: Frame) -> Bit {
    sync[frame] != .inSync && reach[frame].writes && !reach[frame].isLeaving
  }
}

/// xen.git 6d72e644df, 1f80f21b47: a resync gives what the guest's entry says, write access to tables included.
final class ShadowResyncGrants: Shadow {
  override func resynced(_ old: Translation, _ entry: GuestEntry, since snapshot: GuestEntry) -> Translation {
    entry.translation(at: 0)
  }
}

/// xen.git 535501ae64: what is pulled through beside a resync does not reach the snapshot.
final class ShadowFastPath: Shadow {
  override func touch(_ frame: Frame, _ slot: Slot, dirty: Bit) {
    var entry = guest[frame, slot]
    entry.accessed = true
    entry.dirty = entry.dirty || dirty
    write(frame, slot, entry)
  }
}

/// XSA-438: a top-level shadow is freed while a CR3 uses it.
final class ShadowXSA438: Shadow {
  override func requireUnloaded(_ frame: Frame, _ level: Level) {}
}

/// XSA-182, 148: an entry of which only the rights change is not validated again.
final class ShadowXSA182: Shadow {
  override func revalidate(_ place: Place, _ entry: GuestEntry) {
    when(!(entry.present && shadow[place].maps(entry.target))) { super.revalidate(place, entry) }
  }
}

/// XSA-58, 299, 310: what is dropped is the reference that the guest's entry would have, not the one that was taken.
final class ShadowXSA299: Shadow {
  override func linked(_ place: Place) -> Pair<Frame, Level> {
    Pair(guest[place.frame, place.slot].target, place.level - 1)
  }
}

/// XSA-286, 401, 408: nothing is flushed after a change above level 1, or of a frame's type.
final class ShadowXSA286: Shadow {
  override func requireStored() {}
}

/// Classic: the guest's flush does not bring tables back into sync.
final class ShadowFlushedOutOfSync: Shadow {
  override func requireResynced() { requireStored() }
}

/// Classic: a frame that is a table at a higher level too goes out of sync.
final class ShadowUpperOutOfSync: Shadow {
  override func requireOnlyLeaf(_ frame: Frame) { require(exists[frame, 0], "R1") }
}

/// Classic: write access is given to a table out of sync without a fix-up.
final class ShadowWithoutFixup: Shadow {
  override func record(_ place: Place, for table: Frame, second: Bit) {}
}

extension Scope {
  /// Two frames of one entry at two levels: frame 1 is walked from, frame 0 goes out of sync. One processor has one
  /// place for a table out of sync, which has one fix-up; all three policies. Entries are the kernel's, writable,
  /// accessed and dirty.
  static let twoFrames = Scope(
    name: "two frames",
    arguments: [
      "storeByGuest.user": [1], "storeByGuest.noExecute": [0], "storeByGuest.accessed": [1],
      "storeByGuest.dirty": [1], "update.user": [1], "update.noExecute": [0], "update.accessed": [1],
      "update.dirty": [1], "update.target": [0], "resize.capacity": [2], "acquire.writes": [1],
      "link.table": [1], "load.table": [1], "unsync.table": [0], "expel.frame": [1], "pull.second": [0],
      "dropFixup.second": [0], "pull.table": [0], "storeByGuest.writable": [1], "update.writable": [1],
    ],
    excluding: ["pin", "unpin", "invalidate", "clear", "release"])
}

/// Shadow page tables for the engines.
public let shadowSubject = Subject(
  "Shadow", scopes: [.twoFrames],
  mutants: [
    HandMutant(
      "regrants", advisory: "xen.git 3ea6bace3b",
      mechanism: "write access is granted again after it was removed",
      killer: "no shadow lets the guest write to a table in sync"
    ) { ShadowRegrants() },
    HandMutant(
      "resync grants", advisory: "xen.git 6d72e644df, 1f80f21b47",
      mechanism: "a resync grants write access to tables",
      killer: "no shadow lets the guest write to a table in sync"
    ) { ShadowResyncGrants() },
    HandMutant(
      "fast path", advisory: "xen.git 535501ae64", mechanism: "a pull-through does not reach the snapshot",
      killer: "out of sync, the shadow is within the snapshot"
    ) { ShadowFastPath() },
    HandMutant(
      "XSA-438", advisory: "XSA-427, 438", mechanism: "a top-level shadow is freed while a CR3 uses it",
      killer: "CR3 leads to a shadow"
    ) { ShadowXSA438() },
    HandMutant(
      "XSA-182", advisory: "XSA-182, 148",
      mechanism: "an entry of which only rights change is not validated again",
      killer: "in sync, the shadow is within the guest's entry"
    ) { ShadowXSA182() },
    HandMutant(
      "XSA-299", advisory: "XSA-58, 299, 310", mechanism: "an entry drops another reference than it took",
      killer: "references are exact"
    ) { ShadowXSA299() },
    HandMutant(
      "XSA-286", advisory: "XSA-286, 401, 408", mechanism: "a change is relied on before it is flushed",
      killer: "no processor writes to a table in sync"
    ) { ShadowXSA286() },
    HandMutant(
      "flush out of sync", advisory: "classic", mechanism: "a flush does not bring tables back into sync",
      killer: "a processor uses only what was offered since its flush"
    ) { ShadowFlushedOutOfSync() },
    HandMutant(
      "upper out of sync", advisory: "classic", mechanism: "a table of a higher level goes out of sync",
      killer: "only level-1 tables go out of sync"
    ) { ShadowUpperOutOfSync() },
    HandMutant(
      "without fix-up", advisory: "classic", mechanism: "a writable mapping is not known as a fix-up",
      killer: "what writes to a table out of sync is a fix-up"
    ) { ShadowWithoutFixup() },
  ]
) { Shadow() }
