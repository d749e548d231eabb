// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// The names of the dirty log's specification, as numbers, at one scope.
final class DirtyLogModel: Sendable {
  let programs: ProgramSet
  let frames, places, processors: Int
  let fill, store, storeFirst, evict, storeUnknown: Int
  let map, unmap, fault, reopen, mapUnknown, unmapUnknown, track, untrack: Int
  let begin, collect, flush, deliver, close: Int
  /// Registers; of tables, the first.
  let method, limit, stage, quiet, isUnflushed, isCollecting: Int
  let present, mayWrite, writable, dirty, frame: Int
  let isUnknown, tracked, logged: Int

  /// - Parameter quietBits: of the count of quiet reports; 8 is real.
  init(frames: Int, places: Int, processors: Int, quietBits: Int) {
    precondition(frames <= 64, "a report is a word")
    self.frames = frames
    self.places = places
    self.processors = processors
    let scope = Scope(
      name: "\(frames) frames, \(places) mappings",
      counts: [
        "Frame": UInt64(frames), "Mapping": UInt64(places), "Processor": UInt64(processors),
        "Quiet": 1 << UInt64(quietBits),
      ])
    programs = .compiled(try Specs.DirtyLog().trace(), at: scope)
    let (s, layout) = (programs.layout.specification, programs.layout)
    fill = s.action("fill")
    store = s.action("store")
    storeFirst = s.action("storeFirst")
    evict = s.action("evict")
    storeUnknown = s.action("storeUnknown")
    map = s.action("map")
    unmap = s.action("unmap")
    fault = s.action("fault")
    reopen = s.action("reopen")
    mapUnknown = s.action("mapUnknown")
    unmapUnknown = s.action("unmapUnknown")
    track = s.action("track")
    untrack = s.action("untrack")
    begin = s.action("begin")
    collect = s.action("collect")
    flush = s.action("flush")
    deliver = s.action("deliver")
    close = s.action("close")
    method = layout.require("method")
    limit = layout.require("limit")
    stage = layout.require("stage")
    quiet = layout.require("quiet")
    isUnflushed = layout.require("isUnflushed")
    isCollecting = layout.require("isCollecting")
    present = layout.require("entries.present", [0])
    mayWrite = layout.require("entries.mayWrite", [0])
    writable = layout.require("entries.writable", [0])
    dirty = layout.require("entries.dirty", [0])
    frame = layout.require("entries.frame", [0])
    isUnknown = layout.require("isUnknown", [0])
    tracked = layout.require("tracked", [0, 0])
    logged = layout.require("logged", [0, 0])
  }

  /// The implementation's number of the specification's first frame: a second one is in the next word of a set.
  static let firstFrame = 63
  static func number(_ frame: Int) -> Int { firstFrame + frame }
  static func guestFrame(_ frame: Int) -> GuestFrame { GuestFrame(UInt64(number(frame))) }

  /// An entry as the shadow makes it. Its address is not its frame's number: the log is told that apart.
  static func word(of frame: Int, writes: Bool) -> UInt64 {
    UInt64(frame + 7) << 12 | EntryBits.present | (writes ? EntryBits.writable : 0)
  }

  func of(_ tracker: DirtyTracker, _ frame: Int) -> Int { Int(tracker.rawValue) * frames + frame }
}

extension Oracle {
  func isSet(_ register: Int) -> Bool { simulator[register] != 0 }

  /// The entry at a place by the specification; 0 for an empty one.
  func entry(_ place: Int, _ model: DirtyLogModel) -> UInt64 {
    guard isSet(model.present + place) else { return 0 }
    var word = DirtyLogModel.word(
      of: Int(simulator[model.frame + place]), writes: isSet(model.writable + place))
    if isSet(model.dirty + place) { word |= EntryBits.dirty }
    if isSet(model.mayWrite + place) { word |= SoftwareEntryBits.mayWrite }
    return word
  }

  /// Where the watch of video memory stands.
  func stage(_ model: DirtyLogModel) -> TappedDirtyLog.Stage {
    TappedDirtyLog.Stage(rawValue: UInt8(simulator[model.stage])) ?? .writing
  }

  /// The bits that a round takes of an entry.
  func takenBits(_ place: Int, _ model: DirtyLogModel) -> UInt64 {
    let closes =
      stage(model) == .closing && isTracked(.video, Int(simulator[model.frame + place]), model)
    let isByDirtyBit = simulator[model.method] == UInt64(DirtyLogMethod.dirtyBit.rawValue)
    return (isByDirtyBit ? EntryBits.dirty : EntryBits.writable) | (closes ? EntryBits.writable : 0)
  }

  func isTracked(_ tracker: DirtyTracker, _ frame: Int, _ model: DirtyLogModel) -> Bool {
    isSet(model.tracked + model.of(tracker, frame))
  }

  func isReported(_ tracker: DirtyTracker, _ frame: Int, _ model: DirtyLogModel) -> Bool {
    isTracked(tracker, frame, model)
      && (isSet(model.logged + model.of(tracker, frame)) || isSet(model.isUnknown + frame))
  }

  /// What a report says by the specification, one bit a frame.
  func report(_ tracker: DirtyTracker, _ model: DirtyLogModel) -> UInt64 {
    (0..<model.frames).reduce(0) { $0 | (isReported(tracker, $1, model) ? 1 << UInt64($1) : 0) }
  }
}
