// SPDX-License-Identifier: Apache-2.0
//
// Bugs that were real, or would be, as one-place changes. Each must be caught.

import Logic

/// XSA-319: the test for a mapping that the shadow does not know is the wrong way round.
final class DirtyLogXSA319: DirtyLog {
  override func isReported(_ t: Choice<Tracker>, _ f: Frame) -> Bit {
    tracked[t, f] && (logged[t, f] || !isUnknown[f])
  }
}

/// XSA-397: what is learnt goes to the tracker that asked, or that is first, and not to the other.
final class DirtyLogXSA397: DirtyLog {
  override func log(_ f: Frame) {
    logged[Choice(.video), f] = logged[Choice(.video), f] || tracked[Choice(.video), f]
    logged[Choice(.log), f] =
      logged[Choice(.log), f] || (tracked[Choice(.log), f] && !tracked[Choice(.video), f])
  }
}

/// A report is handed over before processors are flushed.
final class DirtyLogUnflushed: DirtyLog {
  override func requireRound(_ tracker: Choice<Tracker>) {
    require(isCollecting)
    requireTaken(tracker)
  }
}

/// A report is handed over before every entry was looked at.
final class DirtyLogHasty: DirtyLog {
  override func requireTaken(_ tracker: Choice<Tracker>) {}
}

/// Video memory is frozen as soon as write access has gone, without a last look.
final class DirtyLogNoLastLook: DirtyLog {
  override var closed: WatchStage { .frozen }
}

/// A frame of frozen video memory is mapped writable.
final class DirtyLogThin: DirtyLog {
  override func mayBeWritable(_ f: Frame) -> Bit { method == .dirtyBit || isLogged(f) }
}

/// The first write to frozen video memory is let through, and the range stays frozen.
final class DirtyLogDeaf: DirtyLog {
  override func thaw(_ f: Frame) {}
}

extension Scope {
  /// One frame that is mapped once, by all means.
  static let mappedOnce = Scope(name: "mapped once", counts: ["Frame": 1, "Mapping": 1])
  /// One frame that is mapped twice, and that both trackers watch.
  static let mappedTwice = Scope(
    name: "mapped twice", counts: ["Frame": 1, "Mapping": 2],
    arguments: ["map.writes": [1], "unmap.place": [0], "deliver.arrives": [1]],
    excluding: ["evict", "fill", "untrack", "mapUnknown", "unmapUnknown", "storeUnknown"])
  /// Two frames, of which one is video memory.
  static let videoBesideOther = Scope(
    name: "video beside other", counts: ["Frame": 2, "Mapping": 1],
    arguments: ["track.frame": [0], "track.tracker": [1], "deliver.tracker": [1], "map.writes": [1]],
    excluding: ["untrack", "unmapUnknown", "storeUnknown", "evict"])
}

/// The dirty log for the engines.
public let dirtyLogSubject = Subject(
  "DirtyLog", scopes: [.mappedOnce, .mappedTwice, .videoBesideOther],
  mutants: [
    HandMutant(
      "XSA-319", advisory: "XSA-319",
      mechanism: "the test for a mapping that the shadow does not know is the wrong way round",
      killer: "what was written is reported next"
    ) { DirtyLogXSA319() },
    HandMutant(
      "XSA-397", advisory: "XSA-27, 397", mechanism: "tracking video memory takes the global log's news away",
      killer: "what was written is reported next"
    ) { DirtyLogXSA397() },
    HandMutant(
      "unflushed", advisory: "classic", mechanism: "a report is handed over before processors are flushed",
      killer: "a write that goes unmarked is logged, or marked already"
    ) { DirtyLogUnflushed() },
    HandMutant(
      "hasty", advisory: "classic", mechanism: "a report is handed over before every entry was looked at",
      killer: "what may be written without a fault is logged"
    ) { DirtyLogHasty() },
    HandMutant(
      "no last look", advisory: "classic",
      mechanism: "video memory is frozen without a look at what was written before",
      killer: "of frozen video memory there is nothing to report"
    ) { DirtyLogNoLastLook() },
    HandMutant(
      "thin", advisory: "classic", mechanism: "a frame of frozen video memory is mapped writable",
      killer: "nobody can write to frozen video memory"
    ) { DirtyLogThin() },
    HandMutant(
      "deaf", advisory: "classic", mechanism: "the first write to frozen video memory does not thaw it",
      killer: "of frozen video memory there is nothing to report"
    ) { DirtyLogDeaf() },
  ],
  equivalents: [
    EquivalentMutant(
      "fill: assignment 1 dropped", because: "a processor that holds only what it has written through"),
    EquivalentMutant(
      "storeFirst: assignment 2 dropped", because: "a processor that holds less and looks at memory again"),
    EquivalentMutant(
      "evict: assignment 1 dropped", because: "what a processor holds less of, it fills in again"),
  ]
) { DirtyLog() }
