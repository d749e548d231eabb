// SPDX-License-Identifier: Apache-2.0
//
// How the dirty log's implementation and its specification correspond: an operation's accesses to entries, its flush and
// the reading of its report are the specification's steps, one each. A round looks at an entry by a load, and takes it
// there if the load shows nothing to take, or by the atomic operation that follows. Entries that the implementation
// counts as mappings that it does not know are such mappings to the specification too, which does not have them otherwise.

import Interfaces
import Machines

/// An operation of a dirty log, as far as its events show.
struct DirtyLogProgress: Hashable {
  let operation: DirtyLogOperation
  /// The operation's own step is taken; of a report: it was handed over.
  private var isDone = false
  private var hasBegun = false
  /// An entry that was seen to have something to take.
  private var pending: Int?

  init(_ operation: DirtyLogOperation) { self.operation = operation }

  private func wrong(_ oracle: Oracle, _ reason: String) -> Divergence {
    oracle.divergence(at: "\(operation)", reason)
  }

  /// The step that an event is, for a trace.
  static func action(of event: DirtyLogEvent, in model: DirtyLogModel) -> Int {
    switch event {
    case .clear(_, ~0): model.unmap
    case .load, .clear: model.collect
    case .store: model.map
    case .set: model.fault
    case .flush: model.flush
    case .take: model.deliver
    }
  }

  // MARK: Events

  /// Takes the steps that an event is.
  /// - Parameters:
  ///   - word: the entry before the access.
  ///   - surplus: the entry's frame, if the implementation counts it as a mapping that it does not know.
  mutating func follow(
    _ event: DirtyLogEvent, word: UInt64 = 0, surplus: Int? = nil, _ oracle: Oracle, _ model: DirtyLogModel
  ) throws(Divergence) {
    switch (operation, event) {
    case (.report(let tracker, let arrives), _):
      try followReport(event, word, tracker, arrives, oracle, model)
    case (.fault, .load): break
    case (.map(let place, let frame, let writes), .store(let at, let stored)) where at == place && !isDone:
      isDone = true
      if surplus != nil { return try oracle.take(model.mapUnknown, UInt64(frame)) }
      try oracle.take(model.map, [UInt64(place), UInt64(frame), writes ? 1 : 0])
      if stored != oracle.entry(place, model) {
        throw wrong(oracle, "it stores 0x\(String(stored, radix: 16)) as the entry")
      }
    case (.unmap(let place), .clear(let at, ~0)) where at == place && !isDone:
      isDone = true
      if surplus == nil { try oracle.take(model.unmap, UInt64(place)) }
    case (.fault(let place), .set(let at, EntryBits.writable)) where at == place && !isDone:
      isDone = true
      guard let surplus else { return try oracle.take(model.fault, UInt64(place)) }
      // It became surplus when it was write-protected. That its frame is news is noted.
      try endUnknown(surplus, 2, oracle, model)
    case (.fault, .set(let other, EntryBits.writable)) where isDone:
      try oracle.take(model.reopen, UInt64(other))
    default: throw wrong(oracle, "\(event) is no part of it, or not here")
    }
  }

  private mutating func followReport(
    _ event: DirtyLogEvent, _ word: UInt64, _ tracker: DirtyTracker, _ arrives: Bool, _ oracle: Oracle,
    _ model: DirtyLogModel
  ) throws(Divergence) {
    if !hasBegun {
      hasBegun = true
      try oracle.take(model.begin, [])
    }
    switch event {
    // After a last look that found something, write access comes back.
    case .load where isDone: break
    case .set(let place, EntryBits.writable) where isDone: try oracle.take(model.reopen, UInt64(place))
    case .load(let place) where pending == nil:
      if word & oracle.takenBits(place, model) != 0 {
        pending = place
      } else {
        try oracle.take(model.collect, UInt64(place))
      }
    case .clear(let place, let bits) where pending == place && bits == oracle.takenBits(place, model):
      pending = nil
      try oracle.take(model.collect, UInt64(place))
    case .flush where !isDone && pending == nil: try oracle.take(model.flush, [])
    case .take(let frames) where !isDone && pending == nil:
      isDone = true
      if frames != oracle.report(tracker, model) {
        throw wrong(oracle, "it reports the frames 0b\(String(frames, radix: 2))")
      }
      try oracle.take(model.deliver, [UInt64(tracker.rawValue), arrives ? 1 : 0, 0])
    default: throw wrong(oracle, "\(event) is no part of it, or not here")
    }
  }

  // MARK: The end

  /// Takes the steps that show at an operation's end.
  /// - Parameters:
  ///   - surplusWord: the operation's entry before it, if that is surplus.
  ///   - surplusFrame: its frame.
  ///   - unknownCount: mappings of the operation's frame that the log does not know before it, surplus ones among them.
  mutating func finish(
    _ outcome: DirtyLogOutcome, stage: TappedDirtyLog.Stage, surplusWord: UInt64? = nil,
    surplusFrame: Int = 0,
    unknownCount: Int, _ oracle: Oracle, _ model: DirtyLogModel
  ) throws(Divergence) {
    switch operation {
    case .map(let place, _, let writes):
      let expected = surplusWord != nil ? writes : oracle.isSet(model.writable + place)
      try expect(isDone && outcome == .answer(expected), outcome, oracle)
    case .unmap:
      try expect(isDone, outcome, oracle)
      if surplusWord != nil { try endUnknown(surplusFrame, unknownCount, oracle, model) }
    case .fault(let place):
      // Who may not write gets the fault; who may gets access.
      let mayWrite =
        surplusWord.map { $0 & SoftwareEntryBits.mayWrite != 0 } ?? oracle.isSet(model.mayWrite + place)
      let isWritable = surplusWord != nil || oracle.isSet(model.writable + place)
      try expect(outcome == .answer(mayWrite) && (isWritable || !mayWrite), outcome, oracle)
    case .mapUnknown(let frame):
      try oracle.take(model.mapUnknown, UInt64(frame))
      try expect(outcome == .answer(true), outcome, oracle)
    case .unmapUnknown(let frame): try endUnknown(frame, unknownCount, oracle, model)
    case .track: try expect(outcome == .answer(true), outcome, oracle)
    case .report(let tracker, let arrives):
      try finishReport(outcome, tracker, arrives, stage, oracle, model)
    }
  }

  /// One mapping ends of `count` that the shadow does not know: its frame is news, and in every report while others last.
  private func endUnknown(_ frame: Int, _ count: Int, _ oracle: Oracle, _ model: DirtyLogModel)
    throws(Divergence)
  {
    try oracle.take(model.unmapUnknown, UInt64(frame))
    if count > 1 { try oracle.take(model.mapUnknown, UInt64(frame)) }
  }

  /// The steps of a change of tracked frames; entries of the new range may have become surplus.
  func track(becomeSurplus: [(place: Int, frame: Int)] = [], _ oracle: Oracle, _ model: DirtyLogModel)
    throws(Divergence)
  {
    guard case .track(let tracker, let from, let to) = operation else { return }
    for frame in 0..<model.frames {
      let arguments = [UInt64(tracker.rawValue), UInt64(frame)]
      let (was, isNow) = (oracle.isTracked(tracker, frame, model), (from..<to).contains(frame))
      if was, !isNow { try oracle.take(model.untrack, arguments) }
      if !was, isNow { try oracle.take(model.track, arguments) }
    }
    for (place, frame) in becomeSurplus {
      try oracle.take(model.mapUnknown, UInt64(frame))
      try oracle.take(model.unmap, UInt64(place))
    }
  }

  private mutating func finishReport(
    _ outcome: DirtyLogOutcome, _ tracker: DirtyTracker, _ arrives: Bool, _ stage: TappedDirtyLog.Stage,
    _ oracle: Oracle, _ model: DirtyLogModel
  ) throws(Divergence) {
    if pending != nil { throw wrong(oracle, "it leaves an entry that had something to tell") }
    if isDone { return try expect(outcome == .report(arrives ? .taken : .refused), outcome, oracle) }
    try expect(outcome == .report(.unchanged), outcome, oracle)
    // Of frozen video memory there is no round.
    if !hasBegun, tracker == .video, oracle.stage(model) == .frozen { return }
    if !hasBegun { try oracle.take(model.begin, []) }
    if oracle.report(tracker, model) != 0 { throw wrong(oracle, "it has nothing to report") }
    try oracle.take(model.deliver, [UInt64(tracker.rawValue), 1, tracker == .video ? 1 : 0])
    if stage == .closing, oracle.stage(model) == .writing { try oracle.take(model.close, []) }
  }

  private func expect(_ isRight: Bool, _ outcome: DirtyLogOutcome, _ oracle: Oracle) throws(Divergence) {
    if !isRight { throw wrong(oracle, "it ends with \(outcome)") }
  }

  /// Compares the states between operations.
  /// - Parameter holdsSurplus: whether a surplus entry has gone that a processor may hold still.
  func compare<Side: DirtyLogSide>(
    _ side: Side, holdsSurplus: Bool = false, _ oracle: Oracle, _ model: DirtyLogModel
  ) throws(Divergence) {
    let simulator = oracle.simulator
    if side.stage != oracle.stage(model) { throw wrong(oracle, "it is \(side.stage)") }
    if UInt64(side.quiet) != simulator[model.quiet] {
      throw wrong(oracle, "it counts \(side.quiet) quiet reports")
    }
    if side.isUnflushed != (oracle.isSet(model.isUnflushed) || holdsSurplus) {
      throw wrong(oracle, "it takes processors for \(side.isUnflushed ? "un" : "")flushed")
    }
    if oracle.isSet(model.isCollecting) { throw wrong(oracle, "it ends within a round") }
    for tracker in DirtyTracker.allCases {
      for frame in 0..<model.frames {
        if side.tracked(tracker).contains(DirtyLogModel.number(frame))
          != oracle.isTracked(tracker, frame, model)
        {
          throw wrong(oracle, "frame \(frame) is tracked, or not, for \(tracker)")
        }
        if side.isReported(tracker, DirtyLogModel.number(frame)) != oracle.isReported(tracker, frame, model) {
          throw wrong(oracle, "frame \(frame) is news, or not, for \(tracker)")
        }
      }
    }
  }
}
