// SPDX-License-Identifier: Apache-2.0
//
// The dirty log: which frames a domain has written to since somebody last asked. The rules stand in Specs/DirtyLog.

/// An entry of a domain's shadow page tables at level 1, by number: its tables lie one after another.
public struct ShadowEntryIndex: Unit {
  public let rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// Who asks what was written; each has frames and reports of its own.
public enum DirtyTracker: UInt8, Sendable, CaseIterable {
  /// Log-dirty: of all of a domain's memory, for migration.
  case log
  /// Video memory: of a range, for a display.
  case video
}

/// How it is found out what was written.
public enum DirtyLogMethod: UInt8, Sendable, CaseIterable {
  /// By the dirty bit that processors set at the first write through an entry.
  case dirtyBit
  /// By the fault at the first write.
  case writeProtection
}

/// What asking for a report came to.
public enum DirtyLogAnswer: UInt8, Sendable {
  /// Nothing was written; there was no report to take.
  case unchanged
  /// The report was taken: what it said counts as told.
  case taken
  /// The report was not taken: the next one will say the same, and what comes to it.
  case refused
}

/// A report: one bit a frame.
public struct DirtyReport: ~Escapable {
  /// The frames that it is about.
  public let frames: Range<Int>
  /// The words of all frames, 64 a word; those outside `frames` are not the reader's.
  private let words: Span<UInt64>

  @_lifetime(copy words)
  public init(frames: Range<Int>, words: Span<UInt64>) {
    self.frames = frames
    self.words = words
  }

  /// Whether a frame of the report was written.
  public func contains(_ frame: GuestFrame) -> Bool {
    let number = Int(truncatingIfNeeded: frame.rawValue)
    guard frames.contains(number) else { return false }
    return words[number / 64] & 1 << UInt64(number % 64) != 0
  }

  /// How many frames were written.
  public var count: Int {
    var count = 0
    for frame in frames where words[frame / 64] & 1 << UInt64(frame % 64) != 0 { count += 1 }
    return count
  }
}

/// A domain's dirty log, between its shadow page tables and those who ask.
///
/// Callers hold the domain's lock; processors run meanwhile, and set dirty bits. Frames and entries that are out of range
/// are the caller's mistake.
public protocol DirtyLog: AnyObject {
  /// The shadow fills an entry, which was empty.
  /// - Parameters:
  ///   - word: the entry as the guest's rights make it. Source of its bits: Intel SDM volume 3, table 4-20.
  ///   - frame: the guest's number of the frame.
  /// - Returns: whether the guest may write through it now; if not, its first write faults. Where a frame of video memory
  ///   has more mappings than can be counted (65,535), the entry stays empty.
  @discardableResult
  func map(_ index: ShadowEntryIndex, _ word: UInt64, frame: GuestFrame) -> Bool
  /// The shadow empties an entry; the caller sees to it that processors are flushed before it relies on that.
  func unmap(_ index: ShadowEntryIndex)
  /// A write faulted at an entry.
  /// - Returns: whether to try again; if not, the guest itself may not write there.
  func fault(_ index: ShadowEntryIndex) -> Bool
  /// Something else than the shadow maps a frame so that it can be written: a device model, a grant.
  /// - Returns: false, and nothing happens, if there are too many already (65,535).
  func mapUnknown(_ frame: GuestFrame) -> Bool
  /// Such a mapping ends. Once for each that was made.
  func unmapUnknown(_ frame: GuestFrame)
  /// Watches these frames and no others, for one tracker. Frames that are new are in its first report.
  /// - Returns: false, and nothing changes, if the domain has no such frames, or a range of video memory is larger than
  ///   the log was made for.
  func track(_ tracker: DirtyTracker, _ frames: Range<Int>) -> Bool
  /// Reports what was written since the tracker's last report that was taken.
  /// - Parameters:
  ///   - flush: flushes all processors of the domain; called at most once.
  ///   - take: reads the report; returns whether it arrived.
  func report(_ tracker: DirtyTracker, flush: () -> Void, _ take: (borrowing DirtyReport) -> Bool)
    -> DirtyLogAnswer
}
