// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// Who answers a dirty log's accesses to entries.
public protocol EntryAccesses: AnyObject {
  func load(_ index: ShadowEntryIndex) -> UInt64
  func store(_ index: ShadowEntryIndex, _ word: UInt64)
  func clear(_ index: ShadowEntryIndex, _ bits: UInt64) -> UInt64
  func set(_ index: ShadowEntryIndex, _ bits: UInt64)
}

/// Entries that hand each access on.
public struct EntryTap: ShadowEntryAccess {
  public let count: Int
  public unowned let accesses: any EntryAccesses

  public init(count: Int, accesses: any EntryAccesses) {
    self.count = count
    self.accesses = accesses
  }

  public func load(_ index: ShadowEntryIndex) -> UInt64 { accesses.load(index) }
  public func store(_ index: ShadowEntryIndex, _ word: UInt64) { accesses.store(index, word) }
  public func clear(_ index: ShadowEntryIndex, _ bits: UInt64) -> UInt64 { accesses.clear(index, bits) }
  public func set(_ index: ShadowEntryIndex, _ bits: UInt64) { accesses.set(index, bits) }
}

/// A dirty log as an implementation: what the drivers hold against the specification.
///
/// `isReported`, `isSurplus` and `resume` are those of `DirtyLogMachine`.
public protocol DirtyLogSide: Interfaces.DirtyLog, SendableMetatype {
  typealias Stage = DirtyLogMachine<EntryTap>.Stage
  init(_ entries: EntryTap, frames: Int, method: DirtyLogMethod, limit: UInt8)
  var stage: Stage { get }
  var quiet: UInt8 { get }
  var isUnflushed: Bool { get }
  func isReported(_ tracker: DirtyTracker, _ frame: Int) -> Bool
  func isSurplus(_ index: ShadowEntryIndex) -> Bool
  func tracked(_ tracker: DirtyTracker) -> Range<Int>
  func resume(stage: Stage, quiet: UInt8, isUnflushed: Bool, isLogged: (DirtyTracker, Int) -> Bool)
}

/// The optimised log over such entries.
public typealias TappedDirtyLog = DirtyLogMachine<EntryTap>

extension DirtyLogMachine: DirtyLogSide where Entries == EntryTap {
  public convenience init(_ entries: EntryTap, frames: Int, method: DirtyLogMethod, limit: UInt8) {
    self.init(entries, frames: frames, maximumVideoFrames: frames, method: method, limit: limit)
  }
}

/// One operation of a dirty log's interface.
enum DirtyLogOperation: Hashable {
  case map(place: Int, frame: Int, writes: Bool)
  case unmap(place: Int)
  case fault(place: Int)
  case mapUnknown(frame: Int)
  case unmapUnknown(frame: Int)
  case track(DirtyTracker, from: Int, to: Int)
  case report(DirtyTracker, arrives: Bool)
}

/// What the surroundings see of an operation while it runs.
enum DirtyLogEvent: Hashable {
  case load(Int)
  case store(Int, UInt64)
  case clear(Int, UInt64)
  case set(Int, UInt64)
  case flush
  /// The report is read; its frames, one bit each.
  case take(UInt64)
}

/// How an operation ended.
enum DirtyLogOutcome: Hashable {
  case done
  case answer(Bool)
  case report(DirtyLogAnswer)
}

extension DirtyLogSide {
  /// Performs an operation; `flush` and `take` are told of as events of its own.
  func perform(_ operation: DirtyLogOperation, flush: () -> Void, take: (UInt64) -> Void) -> DirtyLogOutcome {
    switch operation {
    case .map(let place, let frame, let writes):
      let word = DirtyLogModel.word(of: frame, writes: writes)
      return .answer(map(ShadowEntryIndex(UInt32(place)), word, frame: DirtyLogModel.guestFrame(frame)))
    case .unmap(let place):
      unmap(ShadowEntryIndex(UInt32(place)))
      return .done
    case .fault(let place): return .answer(fault(ShadowEntryIndex(UInt32(place))))
    case .mapUnknown(let frame): return .answer(mapUnknown(DirtyLogModel.guestFrame(frame)))
    case .unmapUnknown(let frame):
      unmapUnknown(DirtyLogModel.guestFrame(frame))
      return .done
    case .track(let tracker, let from, let to):
      return .answer(track(tracker, DirtyLogModel.number(from)..<DirtyLogModel.number(to)))
    case .report(let tracker, let arrives):
      return .report(
        report(tracker, flush: flush) { report in
          var frames: UInt64 = 0
          for frame in report.frames where report.contains(GuestFrame(UInt64(frame))) {
            frames |= 1 << UInt64(frame - DirtyLogModel.firstFrame)
          }
          take(frames)
          return arrives
        })
    }
  }
}
