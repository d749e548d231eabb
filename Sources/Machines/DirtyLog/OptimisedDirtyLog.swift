// SPDX-License-Identifier: Apache-2.0
//
// The dirty log of a domain, optimised: no allocation an operation; a report of video memory costs in proportion to the
// range, and nothing while it is frozen. The rules stand in Specs/DirtyLog.

import Interfaces

/// The dirty log over entries in memory.
public typealias OptimisedDirtyLog = DirtyLogMachine<ShadowEntries>

/// The dirty log over any access to entries.
public final class DirtyLogMachine<Entries: ShadowEntryAccess>: DirtyLog {
  /// Where the watch of video memory stands.
  public enum Stage: UInt8, Sendable, CaseIterable { case writing, closing, frozen }

  let entries: Entries
  public let method: DirtyLogMethod
  /// How many quiet reports it takes until write access goes.
  public let limit: UInt8
  let frameCount: Int

  /// By entry: its frame's number plus one; 0 for an empty one.
  var frames: ContiguousArray<UInt32>
  /// Entries beyond the two that video memory's frames have: mappings that the log does not know.
  var surplus: BitSet
  var unknown: BitSet
  private var unknownCounts: ContiguousArray<UInt16>
  private var trackedRanges: InlineArray<2, Range<Int>> = [0..<0, 0..<0]
  var logged: InlineArray<2, BitSet>
  private var video: VideoRange
  /// The report that is being made.
  private var draft: BitSet

  public internal(set) var stage = Stage.writing
  public internal(set) var quiet: UInt8 = 0
  public internal(set) var isUnflushed = false

  /// - Parameters:
  ///   - frames: frames of the domain, fewer than 2³².
  ///   - maximumVideoFrames: the largest range of video memory.
  ///   - limit: quiet reports until write access goes, at least 1; two seconds at 30 a second are 60.
  public init(
    _ entries: Entries, frames: Int, maximumVideoFrames: Int = 1 << 14, method: DirtyLogMethod = .dirtyBit,
    limit: UInt8 = 60
  ) {
    precondition(limit > 0 && frames > 0 && frames < Int(UInt32.max) && maximumVideoFrames >= 0)
    self.entries = entries
    self.method = method
    self.limit = limit
    frameCount = frames
    self.frames = ContiguousArray(repeating: 0, count: entries.count)
    surplus = BitSet(count: entries.count)
    unknown = BitSet(count: frames)
    unknownCounts = ContiguousArray(repeating: 0, count: frames)
    logged = [BitSet(count: frames), BitSet(count: frames)]
    draft = BitSet(count: frames)
    video = VideoRange(maximumFrames: maximumVideoFrames)
  }

  // MARK: Frames

  public func tracked(_ tracker: DirtyTracker) -> Range<Int> { trackedRanges[Int(tracker.rawValue)] }

  func isTracked(_ tracker: DirtyTracker, _ frame: Int) -> Bool { tracked(tracker).contains(frame) }

  /// A frame was written, or may have been: every tracker is to hear of it.
  func log(_ frame: Int) {
    for tracker in DirtyTracker.allCases where isTracked(tracker, frame) {
      logged[Int(tracker.rawValue)][frame] = true
    }
  }

  private func isLogged(_ frame: Int) -> Bool {
    for tracker in DirtyTracker.allCases
    where isTracked(tracker, frame) && !logged[Int(tracker.rawValue)][frame] { return false }
    return true
  }

  private func mayBeWritable(_ frame: Int) -> Bool {
    (stage == .writing || !isTracked(.video, frame)) && (method == .dirtyBit || isLogged(frame))
  }

  /// Video memory changes, or is about to.
  private func thaw(_ frame: Int) {
    guard isTracked(.video, frame) else { return }
    stage = .writing
    quiet = 0
  }

  /// The frame that an entry maps, as far as the log knows.
  func frame(_ index: ShadowEntryIndex) -> Int? {
    let number = frames[Int(index.rawValue)]
    return number == 0 ? nil : Int(number) - 1
  }

  // MARK: The shadow

  @discardableResult
  public func map(_ index: ShadowEntryIndex, _ word: UInt64, frame: GuestFrame) -> Bool {
    let number = Int(frame.rawValue)
    precondition(number < frameCount && frames[Int(index.rawValue)] == 0)
    let mayWrite = word & EntryBits.writable != 0
    var entry = word & ~(EntryBits.dirty | SoftwareEntryBits.mayWrite)
    if mayWrite { entry |= SoftwareEntryBits.mayWrite }
    if isTracked(.video, number), !video.add(index, number) {
      // Without room to count it, there is no such entry: the guest faults again, and waits for others to go.
      guard becomeSurplus(index, number) else { return false }
    } else if !mayBeWritable(number) {
      entry &= ~EntryBits.writable
    }
    frames[Int(index.rawValue)] = UInt32(number) + 1
    entries.store(index, entry)
    return entry & EntryBits.writable != 0
  }

  public func unmap(_ index: ShadowEntryIndex) {
    guard let frame = frame(index) else { return }
    frames[Int(index.rawValue)] = 0
    let old = entries.clear(index, ~0)
    isUnflushed = true
    if surplus[Int(index.rawValue)] {
      surplus[Int(index.rawValue)] = false
      return unmapUnknown(GuestFrame(UInt64(frame)))
    }
    if method == .dirtyBit, old & EntryBits.dirty != 0 { log(frame) }
    if isTracked(.video, frame) { video.remove(index, frame) }
  }

  public func fault(_ index: ShadowEntryIndex) -> Bool {
    guard let frame = frame(index) else { return false }
    let entry = entries.load(index)
    if entry & EntryBits.writable != 0 { return true }
    guard entry & SoftwareEntryBits.mayWrite != 0 else { return false }
    log(frame)
    let wasClosed = stage != .writing && isTracked(.video, frame)
    thaw(frame)
    entries.set(index, EntryBits.writable)
    if wasClosed { reopen() }
    return true
  }

  /// Gives all of video memory its write access back: of many entries, one has faulted.
  private func reopen() {
    for slot in video.slots {
      guard let index = video.entry(slot), let frame = frame(index), mayBeWritable(frame) else { continue }
      let entry = entries.load(index)
      if entry & SoftwareEntryBits.mayWrite != 0, entry & EntryBits.writable == 0 {
        entries.set(index, EntryBits.writable)
      }
    }
  }

  // MARK: Mappings that the shadow does not know

  public func mapUnknown(_ frame: GuestFrame) -> Bool {
    let number = Int(frame.rawValue)
    guard unknownCounts[number] < .max else { return false }
    unknownCounts[number] += 1
    unknown[number] = true
    thaw(number)
    return true
  }

  public func unmapUnknown(_ frame: GuestFrame) {
    let number = Int(frame.rawValue)
    precondition(unknownCounts[number] > 0, "a mapping ends that was not made")
    unknownCounts[number] -= 1
    log(number)
    if unknownCounts[number] == 0 { unknown[number] = false }
  }

  /// An entry is one too many for its frame: a mapping that the log does not know.
  /// - Returns: false if there are too many of those.
  private func becomeSurplus(_ index: ShadowEntryIndex, _ frame: Int) -> Bool {
    guard mapUnknown(GuestFrame(UInt64(frame))) else { return false }
    surplus[Int(index.rawValue)] = true
    return true
  }

  // MARK: Trackers

  public func track(_ tracker: DirtyTracker, _ range: Range<Int>) -> Bool {
    guard range.lowerBound >= 0, range.upperBound <= frameCount else { return false }
    guard tracker == .log || range.count <= video.maximumFrames else { return false }
    let old = tracked(tracker)
    if range == old { return true }
    trackedRanges[Int(tracker.rawValue)] = range
    for frame in old where !range.contains(frame) { logged[Int(tracker.rawValue)][frame] = false }
    for frame in range where !old.contains(frame) { logged[Int(tracker.rawValue)][frame] = true }
    if tracker == .video {
      if range.contains(where: { !old.contains($0) }) {
        stage = .writing
        quiet = 0
      }
      beginVideo(range)
    }
    return true
  }

  /// Finds the entries of a range; there is one look at all entries, when tracking begins or changes.
  private func beginVideo(_ range: Range<Int>) {
    video.begin(range)
    if range.isEmpty { return }
    for number in frames.indices where frames[number] != 0 {
      let (index, frame) = (ShadowEntryIndex(UInt32(number)), Int(frames[number]) - 1)
      guard range.contains(frame), !surplus[number], !video.add(index, frame) else { continue }
      // Processors may hold it as the log does not see it any more.
      isUnflushed = true
      if !becomeSurplus(index, frame) {
        frames[number] = 0
        _ = entries.clear(index, ~0)
        log(frame)
      }
    }
  }

  // MARK: Reports

  public func report(
    _ tracker: DirtyTracker, flush: () -> Void, _ take: (borrowing DirtyReport) -> Bool
  ) -> DirtyLogAnswer {
    if tracker == .video, stage == .frozen { return .unchanged }
    collect(tracker)
    if isUnflushed {
      flush()
      isUnflushed = false
    }
    let isQuiet = !drawUp(tracker)
    if isQuiet {
      if tracker == .video { grow() }
      return .unchanged
    }
    // After the report is handed over: until then, what was taken stays write-protected.
    defer { if tracker == .video { disturb() } }
    guard take(DirtyReport(frames: tracked(tracker), words: draft.words.span)) else { return .refused }
    forget(tracker)
    return .taken
  }

  /// Looks at every entry of the tracker's frames.
  private func collect(_ tracker: DirtyTracker) {
    switch tracker {
    case .video: collectVideo(taking: bits(closing: stage == .closing))
    case .log:
      for number in frames.indices where frames[number] != 0 && !surplus[number] {
        let frame = Int(frames[number]) - 1
        guard isTracked(.log, frame) else { continue }
        let bits = bits(closing: stage == .closing && isTracked(.video, frame))
        note(take(ShadowEntryIndex(UInt32(number)), bits), of: frame)
      }
    }
  }

  /// What is taken of an entry; in the last look before video memory is frozen, write access too.
  private func bits(closing: Bool) -> UInt64 {
    (method == .dirtyBit ? EntryBits.dirty : EntryBits.writable)
      | (closing ? EntryBits.writable : 0)
  }

  /// Thirty times a second, over thousands of entries of which few have anything to tell.
  @_specialize(where Entries == ShadowEntries)
  private func collectVideo(taking bits: UInt64) {
    let first = video.frames.lowerBound
    let slots = video.slots
    video.places.withUnsafeBufferPointer { places in
      for slot in slots where places[slot] != 0 {
        let taken = take(ShadowEntryIndex(places[slot] - 1), bits)
        if taken != 0 { note(taken, of: first + slot / VideoRange.placesPerFrame) }
      }
    }
  }

  /// Takes bits of an entry; returns those that were there.
  @inline(__always)
  private func take(_ index: ShadowEntryIndex, _ bits: UInt64) -> UInt64 {
    // Most have nothing to tell: a plain load spares them the atomic operation.
    entries.load(index) & bits == 0 ? 0 : entries.clear(index, bits) & bits
  }

  /// An entry of a frame has told that it was written, or has lost write access.
  private func note(_ taken: UInt64, of frame: Int) {
    if taken == 0 { return }
    isUnflushed = true
    if method == .dirtyBit, taken & EntryBits.dirty != 0 { log(frame) }
  }

  /// Writes the report; false if it is empty.
  private func drawUp(_ tracker: DirtyTracker) -> Bool {
    let range = tracked(tracker)
    var any: UInt64 = 0
    for word in BitSet.words(of: range) {
      let bits = (logged[Int(tracker.rawValue)].words[word] | unknown.words[word]) & mask(range, word)
      draft.setWord(word, bits)
      any |= bits
    }
    return any != 0
  }

  /// What the tracker was told is told.
  private func forget(_ tracker: DirtyTracker) {
    let range = tracked(tracker)
    for word in BitSet.words(of: range) {
      let old = logged[Int(tracker.rawValue)].words[word]
      logged[Int(tracker.rawValue)].setWord(word, old & ~mask(range, word))
    }
  }

  /// The bits of a word that are a range's.
  private func mask(_ range: Range<Int>, _ word: Int) -> UInt64 {
    let (first, end) = (max(range.lowerBound - word * 64, 0), min(range.upperBound - word * 64, 64))
    return (end == 64 ? ~0 : (1 << UInt64(end)) - 1) & ~((1 << UInt64(first)) - 1)
  }

  /// One more quiet report of video memory; at the limit, the next takes write access and a last look.
  private func grow() {
    if quiet < limit { quiet += 1 }
    if stage == .closing { stage = .frozen }
    if stage == .writing, quiet == limit { stage = .closing }
  }

  /// There was something in a report of video memory.
  private func disturb() {
    let wasClosing = stage == .closing
    stage = .writing
    quiet = 0
    if wasClosing { reopen() }
  }
}
