// SPDX-License-Identifier: Apache-2.0
//
// Dirty logs with bugs planted in them, for the drivers to find.

import Conformance
import Interfaces
import Machines

/// What a planted dirty log does wrong.
public enum DirtyLogBug: Int, CaseIterable, Sendable {
  /// A report is handed over, and processors still hold what was taken.
  case unflushed
  /// What a report said that did not arrive counts as told.
  case lostRefusal
  /// XSA-319: frames that nothing else maps count as mapped by something else, and those that are do not.
  case unknownInverted
  /// XSA-397: tracking video memory switches the global log on and off.
  case togglesLog
  /// The bits that tell are cleared by a load and a store: what a processor sets between them is lost.
  case tornClear
  /// What an entry knew goes with it.
  case lostWithEntry
  /// The guest may write through any entry.
  case ignoresReadOnly
  /// When write access goes, what was written before is not looked at.
  case noLastLook
  /// The first write to frozen video memory is let through, and the range stays frozen.
  case staysFrozen
  /// Of a frame that is mapped twice, one entry is looked at.
  case firstEntryOnly
}

/// Entries with the bug in how they are reached.
private final class PlantedEntries: EntryAccesses {
  let entries: EntryTap
  let bug: DirtyLogBug
  /// By place.
  var frames: [GuestFrame?]
  /// Frames of which an entry was looked at in the report under way; nil between reports.
  var seen: Set<UInt64>?

  init(_ entries: EntryTap, _ bug: DirtyLogBug) {
    self.entries = entries
    self.bug = bug
    frames = Array(repeating: nil, count: entries.count)
  }

  func load(_ index: ShadowEntryIndex) -> UInt64 {
    let word = entries.load(index)
    guard bug == .firstEntryOnly, seen != nil, let frame = frames[Int(index.rawValue)] else { return word }
    return seen?.insert(frame.rawValue).inserted == true ? word : 0
  }

  func store(_ index: ShadowEntryIndex, _ word: UInt64) { entries.store(index, word) }
  func set(_ index: ShadowEntryIndex, _ bits: UInt64) { entries.set(index, bits) }

  func clear(_ index: ShadowEntryIndex, _ bits: UInt64) -> UInt64 {
    if bug == .tornClear {
      let old = entries.load(index)
      entries.store(index, old & ~bits)
      return old
    }
    let old = entries.clear(index, bits)
    switch bug {
    case .lostWithEntry: return bits == ~0 ? 0 : old
    case .noLastLook: return bits == EntryBits.dirty | EntryBits.writable ? old & ~EntryBits.dirty : old
    default: return old
    }
  }
}

/// A dirty log with the bug of that number.
public final class PlantedDirtyLog<let number: Int>: DirtyLogSide {
  private let entries: PlantedEntries
  private let log: TappedDirtyLog
  private let frames: Int
  /// Mappings of frames that the log does not know, for a bug that knows better.
  private var unknown: [Int]
  private var bug: DirtyLogBug { DirtyLogBug.allCases[number] }

  public init(_ entries: EntryTap, frames: Int, method: DirtyLogMethod, limit: UInt8) {
    self.entries = PlantedEntries(entries, DirtyLogBug.allCases[number])
    self.frames = frames
    unknown = Array(repeating: 0, count: frames)
    log = TappedDirtyLog(
      EntryTap(count: entries.count, accesses: self.entries), frames: frames, method: method, limit: limit)
    if bug == .unknownInverted {
      for frame in 0..<frames { _ = log.mapUnknown(GuestFrame(UInt64(frame))) }
    }
  }

  public var stage: Stage { log.stage }
  public var quiet: UInt8 { log.quiet }
  public var isUnflushed: Bool { log.isUnflushed }
  public func isReported(_ tracker: DirtyTracker, _ frame: Int) -> Bool { log.isReported(tracker, frame) }
  public func isSurplus(_ index: ShadowEntryIndex) -> Bool { log.isSurplus(index) }
  public func tracked(_ tracker: DirtyTracker) -> Range<Int> { log.tracked(tracker) }

  public func resume(
    stage: Stage, quiet: UInt8, isUnflushed: Bool, isLogged: (DirtyTracker, Int) -> Bool
  ) { log.resume(stage: stage, quiet: quiet, isUnflushed: isUnflushed, isLogged: isLogged) }

  public func map(_ index: ShadowEntryIndex, _ word: UInt64, frame: GuestFrame) -> Bool {
    entries.frames[Int(index.rawValue)] = frame
    return log.map(index, bug == .ignoresReadOnly ? word | EntryBits.writable : word, frame: frame)
  }

  public func unmap(_ index: ShadowEntryIndex) { log.unmap(index) }

  public func fault(_ index: ShadowEntryIndex) -> Bool {
    let (stage, quiet) = (log.stage, log.quiet)
    let answer = log.fault(index)
    if bug == .staysFrozen, stage == .frozen, answer {
      let isReported = DirtyTracker.allCases.map { tracker in
        (0..<frames).map { log.isReported(tracker, $0) }
      }
      log.resume(stage: stage, quiet: quiet, isUnflushed: log.isUnflushed) {
        isReported[Int($0.rawValue)][$1]
      }
    }
    return answer
  }

  public func mapUnknown(_ frame: GuestFrame) -> Bool {
    guard bug == .unknownInverted else { return log.mapUnknown(frame) }
    unknown[Int(frame.rawValue)] += 1
    if unknown[Int(frame.rawValue)] == 1 { log.unmapUnknown(frame) }
    return true
  }

  public func unmapUnknown(_ frame: GuestFrame) {
    guard bug == .unknownInverted else { return log.unmapUnknown(frame) }
    unknown[Int(frame.rawValue)] -= 1
    if unknown[Int(frame.rawValue)] == 0 { _ = log.mapUnknown(frame) }
  }

  public func track(_ tracker: DirtyTracker, _ range: Range<Int>) -> Bool {
    guard log.track(tracker, range) else { return false }
    if bug == .togglesLog, tracker == .video { _ = log.track(.log, range) }
    return true
  }

  public func report(
    _ tracker: DirtyTracker, flush: () -> Void, _ take: (borrowing DirtyReport) -> Bool
  ) -> DirtyLogAnswer {
    var isRefused = false
    entries.seen = []
    defer { entries.seen = nil }
    let answer = log.report(tracker, flush: bug == .unflushed ? {} : flush) { report in
      isRefused = !take(report)
      return bug == .lostRefusal || !isRefused
    }
    return isRefused ? .refused : answer
  }
}
