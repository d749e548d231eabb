// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

/// A domain's entries, its dirty log, and a processor that writes through them.
private final class Bench {
  static let frames = 256
  static let entryCount = 1024
  let words: UnsafeMutablePointer<UInt64>
  let log: OptimisedDirtyLog
  private(set) var flushes = 0
  /// What the processor holds: entries through which it writes without a look at memory.
  private var held: Set<UInt32> = []

  init(_ method: DirtyLogMethod = .dirtyBit, limit: UInt8 = 2, maximumVideoFrames: Int = 64) {
    words = .allocate(capacity: Self.entryCount)
    words.initialize(repeating: 0, count: Self.entryCount)
    log = OptimisedDirtyLog(
      ShadowEntries(UnsafeMutableRawPointer(words), count: Self.entryCount), frames: Self.frames,
      maximumVideoFrames: maximumVideoFrames, method: method, limit: limit)
  }
  deinit { words.deallocate() }

  @discardableResult
  func map(_ index: UInt32, _ frame: Int, writes: Bool = true) -> Bool {
    let bits = EntryBits.present | (writes ? EntryBits.writable : 0)
    return log.map(ShadowEntryIndex(index), UInt64(frame + 7) << 12 | bits, frame: GuestFrame(UInt64(frame)))
  }

  /// Writes as a processor does; false if the guest gets a fault of its own.
  func write(_ index: UInt32) -> Bool {
    if held.contains(index) { return true }
    for _ in 0..<2 {
      let word = words[Int(index)]
      guard word & EntryBits.present != 0 else { return false }
      if word & EntryBits.writable != 0 {
        words[Int(index)] |= EntryBits.dirty
        held.insert(index)
        return true
      }
      guard log.fault(ShadowEntryIndex(index)) else { return false }
    }
    return false
  }

  /// The frames of a report; nil if it said that nothing was written.
  /// - Parameter reading: is called while the report is read.
  func report(_ tracker: DirtyTracker, arrives: Bool = true, reading: () -> Void = {}) -> [Int]? {
    var found: [Int]?
    let answer = log.report(
      tracker,
      flush: {
        held = []
        flushes += 1
      },
      { report in
        reading()
        found = report.frames.filter { report.contains(GuestFrame(UInt64($0))) }
        return arrives
      })
    #expect(answer == (found == nil ? .unchanged : arrives ? .taken : .refused))
    return found
  }
}

@Suite("A dirty log") struct DirtyLogTests {
  @Test("reports what was written since the last report, once", arguments: DirtyLogMethod.allCases)
  func reports(method: DirtyLogMethod) {
    let bench = Bench(method, limit: 200)
    for frame in 0..<100 { bench.map(UInt32(frame), frame) }
    #expect(bench.log.track(.log, 0..<Bench.frames))
    #expect(bench.report(.log) == Array(0..<Bench.frames))
    #expect(bench.report(.log) == nil)
    #expect(bench.write(3) && bench.write(70) && bench.write(3))
    #expect(bench.report(.log) == [3, 70])
    #expect(bench.write(3))
    #expect(bench.report(.log) == [3])
    #expect(bench.report(.log) == nil)
  }

  @Test("loses nothing when a report does not arrive", arguments: DirtyLogMethod.allCases)
  func refusals(method: DirtyLogMethod) {
    let bench = Bench(method)
    for frame in 0..<10 { bench.map(UInt32(frame), frame) }
    #expect(bench.log.track(.video, 0..<10))
    #expect(bench.report(.video, arrives: false) == Array(0..<10))
    #expect(bench.report(.video) == Array(0..<10))
    #expect(bench.write(4))
    #expect(bench.report(.video, arrives: false) == [4])
    #expect(bench.write(5))
    #expect(bench.report(.video) == [4, 5])
  }

  @Test("has two trackers, neither of which takes the other's news away", arguments: DirtyLogMethod.allCases)
  func trackers(method: DirtyLogMethod) {
    let bench = Bench(method, limit: 200)
    for frame in 0..<20 { bench.map(UInt32(frame), frame) }
    #expect(bench.log.track(.log, 0..<Bench.frames) && bench.log.track(.video, 8..<16))
    _ = bench.report(.log)
    _ = bench.report(.video)
    #expect(bench.write(9) && bench.write(17))
    #expect(bench.report(.video) == [9])
    #expect(bench.report(.log) == [9, 17])
    #expect(bench.write(10))
    #expect(bench.report(.log) == [10])
    #expect(bench.log.track(.log, 0..<0))
    #expect(bench.report(.video) == [10])
  }

  @Test("takes write access from video memory that is quiet, and gives all of it back at the first write")
  func freezing() {
    let bench = Bench()
    for frame in 0..<32 { bench.map(UInt32(frame), frame) }
    #expect(bench.log.track(.video, 8..<16))
    #expect(bench.report(.video) == Array(8..<16))
    #expect(bench.write(9))
    #expect(bench.report(.video) == [9])
    for _ in 0..<2 { #expect(bench.report(.video) == nil) }
    #expect(bench.log.stage == .closing)
    #expect((8..<16).allSatisfy { bench.words[$0] & EntryBits.writable != 0 })
    #expect(bench.report(.video) == nil)
    #expect(bench.log.stage == .frozen)
    #expect((8..<16).allSatisfy { bench.words[$0] & EntryBits.writable == 0 })
    #expect(bench.words[7] & EntryBits.writable != 0)
    let flushes = bench.flushes
    for _ in 0..<10 { #expect(bench.report(.video) == nil) }
    #expect(bench.flushes == flushes)
    #expect(bench.write(12))
    #expect(bench.log.stage == .writing)
    #expect((8..<16).allSatisfy { bench.words[$0] & EntryBits.writable != 0 })
    #expect(bench.write(13))
    #expect(bench.report(.video) == [12, 13])
  }

  @Test("sees a write before the last look, and gives write access back")
  func lastLook() {
    let bench = Bench()
    bench.map(0, 0)
    #expect(bench.log.track(.video, 0..<1))
    _ = bench.report(.video)
    #expect(bench.report(.video) == nil)
    // The entry is marked in memory, and held by the processor when write access goes.
    #expect(bench.write(0) && bench.report(.video) == [0])
    for _ in 0..<2 { #expect(bench.report(.video) == nil) }
    #expect(bench.log.stage == .closing && bench.write(0))
    var wasWritable = true
    let report = bench.report(.video) { wasWritable = bench.words[0] & EntryBits.writable != 0 }
    #expect(report == [0] && !wasWritable)
    #expect(bench.log.stage == .writing && bench.words[0] & EntryBits.writable != 0)
  }

  @Test("follows frames that are mapped twice, read-only, or more often than it keeps track of")
  func mappings() {
    let bench = Bench()
    #expect(bench.log.track(.video, 0..<4))
    _ = bench.report(.video)
    bench.map(10, 1)
    bench.map(11, 1)
    #expect(!bench.map(12, 2, writes: false))
    #expect(bench.report(.video) == nil)
    #expect(bench.write(11) && bench.write(10))
    #expect(bench.report(.video) == [1])
    #expect(!bench.write(12))
    #expect(bench.report(.video) == nil)
    // A third mapping of a frame: it is in every report until that is gone, and once more.
    bench.map(13, 1)
    for _ in 0..<5 { #expect(bench.report(.video) == [1]) }
    bench.log.unmap(ShadowEntryIndex(13))
    #expect(bench.report(.video) == [1])
    #expect(bench.report(.video) == nil)
    // What was marked is not lost with the entry.
    #expect(bench.write(10))
    bench.log.unmap(ShadowEntryIndex(10))
    #expect(bench.words[10] == 0)
    #expect(bench.report(.video) == [1])
  }

  @Test("reports what it cannot see, and does not freeze it")
  func unknown() {
    let bench = Bench()
    #expect(bench.log.track(.video, 0..<4))
    _ = bench.report(.video)
    #expect(bench.log.mapUnknown(GuestFrame(3)) && bench.log.mapUnknown(GuestFrame(3)))
    for _ in 0..<5 { #expect(bench.report(.video) == [3]) }
    bench.log.unmapUnknown(GuestFrame(3))
    #expect(bench.report(.video) == [3])
    bench.log.unmapUnknown(GuestFrame(3))
    #expect(bench.report(.video) == [3])
    for _ in 0..<4 { #expect(bench.report(.video) == nil) }
    #expect(bench.log.stage == .frozen)
    #expect(bench.log.mapUnknown(GuestFrame(3)) && bench.log.stage == .writing)
    #expect(bench.report(.video) == [3])
  }

  @Test("leaves an entry empty for which there is no room to count it")
  func overflow() {
    let bench = Bench()
    #expect(bench.log.track(.video, 0..<4))
    for _ in 0..<65_535 { #expect(bench.log.mapUnknown(GuestFrame(1))) }
    #expect(!bench.log.mapUnknown(GuestFrame(1)))
    bench.map(0, 1)
    bench.map(1, 1)
    #expect(!bench.map(2, 1) && bench.words[2] == 0)
    bench.log.unmap(ShadowEntryIndex(2))
    bench.log.unmapUnknown(GuestFrame(1))
    #expect(bench.map(2, 1) && bench.words[2] != 0)
  }

  @Test("stays frozen when its range shrinks or is named again, and watches what is new")
  func shrinking() {
    let bench = Bench()
    for frame in 0..<8 { bench.map(UInt32(frame), frame) }
    #expect(bench.log.track(.video, 0..<8))
    _ = bench.report(.video)
    for _ in 0..<3 { #expect(bench.report(.video) == nil) }
    #expect(bench.log.stage == .frozen)
    #expect(bench.log.track(.video, 0..<8) && bench.log.track(.video, 2..<6) && bench.log.stage == .frozen)
    #expect(bench.write(7) && bench.log.stage == .frozen)
    #expect(bench.report(.video) == nil)
    #expect(bench.log.track(.video, 2..<7) && bench.log.stage == .writing)
    #expect(bench.report(.video) == [6])
  }

  @Test("changes its range without losing what is in both, and refuses ranges that are none")
  func ranges() {
    let bench = Bench(limit: 200)
    for frame in 0..<64 { bench.map(UInt32(frame), frame) }
    #expect(bench.log.track(.video, 0..<8))
    _ = bench.report(.video)
    #expect(bench.write(2) && bench.write(6))
    #expect(bench.log.track(.video, 4..<12))
    #expect(bench.report(.video) == [6, 8, 9, 10, 11])
    #expect(bench.write(9) && bench.write(3))
    #expect(bench.report(.video) == [9])
    #expect(!bench.log.track(.video, 0..<65))
    #expect(!bench.log.track(.log, 0..<Bench.frames + 1))
    #expect(bench.log.tracked(.video) == 4..<12)
    #expect(bench.log.track(.video, 0..<0))
    #expect(bench.write(9) && bench.report(.video) == nil)
  }

  @Test("knows nothing of an entry that maps nothing") func nothingMapped() {
    let bench = Bench()
    #expect(!bench.log.fault(ShadowEntryIndex(9)) && bench.words[9] == 0)
  }

  @Test("takes an entry away that it can neither follow nor count, and reports its frame")
  func uncounted() {
    let bench = Bench()
    for index in 0..<3 as Range<UInt32> { bench.map(index, 5) }
    for _ in 0..<Int(UInt16.max) { #expect(bench.log.mapUnknown(GuestFrame(5))) }
    #expect(bench.write(2))
    #expect(bench.log.track(.video, 4..<8))
    #expect(bench.words[2] == 0 && bench.words[0] != 0 && bench.words[1] != 0)
    #expect(bench.report(.video) == [4, 5, 6, 7])
    #expect(!bench.write(2) && !bench.map(2, 5))
    bench.log.unmapUnknown(GuestFrame(5))
    #expect(bench.map(2, 5) && bench.write(2))
    #expect(bench.report(.video) == [5])
  }
}
