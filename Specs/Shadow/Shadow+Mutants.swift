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

/// XSA-58, 299, 310: what is dropped is a reference on the table that the entry is in, not on the one it leads to.
final class ShadowXSA299: Shadow {
  override func linked(_ place: Place) -> Pair<Frame, Level> { Pair(place.frame, place.level - 1) }
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

/// Shadow page tables for the engines.
public let shadowSubject = Subject(
  "Shadow", scopes: [.twoFrames, .oneTable, .twoSlots, .rights, .twoLevels, .anyStore, .seats],
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
  ],
  equivalents: shadowEquivalents
) { Shadow() }

/// Mechanical mutants of Shadow that are no bugs.
private let shadowEquivalents: [EquivalentMutant] = {
  let again =
    "an entry that loses nothing is stored once more"
  let nothing =
    "a processor that takes over an absent entry loses what it had, which is never wrong"
  let livelock =
    "an entry without its accessed bit offers nothing: the fault comes again; progress is not claimed"
  let fewer =
    "a fix-up that is not used, or whose table is in sync, names an entry that loses a right and may fault again"
  let kept =
    "a fix-up that is kept names one entry more than writes to the table: closing looks at it in vain"
  let closes =
    "a fix-up that cannot be dropped stays until its table is closed; progress is not claimed"
  let unread =
    "a snapshot is read only of a table out of sync, and taken when it goes out"
  let reset =
    "what is kept of a table out of sync is read only while it is, and is set anew at both ends"
  let refuses =
    "a hypervisor that gives a little more shadow memory than it must"
  let never =
    "the sum exceeds the count by the number of levels: the two are equal nowhere"
  let less =
    "a step that the hypervisor leaves out: it serves worse, and breaks no rule; progress is not claimed"
  let more =
    "entries of other tables are cleared too: they are pulled again"
  return [
    EquivalentMutant("update: equality 6 turned round", because: again),
    EquivalentMutant("dropFixup: equality 3 turned round", because: again),
    EquivalentMutant("close: equality 8 turned round", because: again),
    EquivalentMutant("protect: equality 4 turned round", because: again),
    EquivalentMutant("settle: equality 13 turned round", because: again),
    EquivalentMutant("clear: equality 3 turned round", because: again),
    EquivalentMutant("expel: equality 4 turned round", because: again),
    EquivalentMutant("fill: guard 1 dropped", because: nothing),
    EquivalentMutant("pull: assignment 1 dropped", because: livelock),
    EquivalentMutant("dropFixup: guard 1 dropped", because: fewer),
    EquivalentMutant("dropFixup: assignment 3 dropped", because: kept),
    EquivalentMutant("dropFixup: assignment 4 dropped", because: kept),
    EquivalentMutant("dropFixup: equality 1 turned round", because: closes),
    EquivalentMutant("link: equality 3 turned round", because: unread),
    EquivalentMutant("link: equality 4 turned round", because: unread),
    EquivalentMutant("link: assignment 3 dropped", because: unread),
    EquivalentMutant("settle: assignment 3 dropped", because: unread),
    EquivalentMutant("close: assignment 5 dropped", because: reset),
    EquivalentMutant("unsync: assignment 3 dropped", because: reset),
    EquivalentMutant("resize: comparison 1 off by one", because: refuses),
    EquivalentMutant("prepare: comparison 1 off by one", because: never),
    EquivalentMutant("finish: assignment 1 dropped", because: less),
    EquivalentMutant("clear: assignment 1 dropped", because: less),
    EquivalentMutant("release: assignment 1 dropped", because: less),
    EquivalentMutant("surrender: assignment 1 dropped", because: less),
    EquivalentMutant("pin: assignment 1 dropped", because: less),
    EquivalentMutant("unpin: assignment 1 dropped", because: less),
    EquivalentMutant("clear: equality 1 turned round", because: more),
  ]
}()
