// SPDX-License-Identifier: Apache-2.0
//
// A dirty log is put into a state by what the specification says of it, and its entries are the specification's: so an
// operation can be run again and again, each time one event further.

import Interfaces
import Logic
import Machines
import Specs

/// Compares the dirty log with its specification, exhaustively at a small scope: a processor writes, looks at entries and
/// forgets them between any two of its accesses.
public struct DirtyLogExploration<Side: DirtyLogSide> {
  private let scope: DirtyLogExplorationScope

  public init(_ type: Side.Type, _ scope: DirtyLogExplorationScope) { self.scope = scope }

  /// - Parameter countsReachable: whether to explore the specification alone too.
  public func run(countsReachable: Bool = true, progress: ExhaustiveProgress.Observer? = nil)
    -> ExhaustiveReport
  {
    var report = ExhaustiveReport(name: "DirtyLog", scope: scope.name)
    let exploration = JointExploration(ExploredDirtyLog<Side>(scope))
    exploration.run(&report, progress: progress)
    if countsReachable, report.holds { report.reachable = exploration.reachable() ?? 0 }
    return report
  }
}

/// Where a dirty log stands between two operations. Of frames, one bit each.
private struct DirtyLogStart: Hashable {
  var entries: [UInt64] = []
  /// Of its entries, by place.
  var frames: [Int] = []
  /// By tracker.
  var tracked: [UInt64] = []
  var logged: [UInt64] = []
  var unknown: UInt64 = 0
  var method = DirtyLogMethod.dirtyBit
  var stage = TappedDirtyLog.Stage.writing
  var quiet: UInt8 = 0
  var isUnflushed = false
}

/// Answers accesses from a script, and stops listening at its end.
private final class EntryScript: EntryAccesses {
  private var answers: [UInt64] = []
  private var position = 0
  /// The first event beyond the script; nil if the operation ended before.
  private(set) var next: DirtyLogEvent?
  /// While a log is put where it is to begin.
  var isMuted = true

  func rewind(_ answers: [UInt64]) {
    self.answers = answers
    position = 0
    next = nil
  }

  @discardableResult
  func answer(_ event: DirtyLogEvent) -> UInt64 {
    if isMuted { return 0 }
    if position < answers.count {
      defer { position += 1 }
      return answers[position]
    }
    if next == nil { next = event }
    return 0
  }

  func load(_ index: ShadowEntryIndex) -> UInt64 { answer(.load(Int(index.rawValue))) }
  func store(_ index: ShadowEntryIndex, _ word: UInt64) { answer(.store(Int(index.rawValue), word)) }
  func clear(_ index: ShadowEntryIndex, _ bits: UInt64) -> UInt64 {
    answer(.clear(Int(index.rawValue), bits))
  }
  func set(_ index: ShadowEntryIndex, _ bits: UInt64) { answer(.set(Int(index.rawValue), bits)) }
}

private final class ExploredDirtyLog<Side: DirtyLogSide>: ExploredSide {
  private let scope: DirtyLogExplorationScope
  private let model: DirtyLogModel
  private let script = EntryScript()
  private let surroundings: Set<Int>
  let oracle: Oracle

  init(_ scope: DirtyLogExplorationScope) {
    // Two entries a frame are kept track of: none is surplus.
    precondition(scope.places <= 2, "the specification has every entry")
    self.scope = scope
    model = DirtyLogModel(frames: scope.frames, places: scope.places, processors: 1, quietBits: 1)
    surroundings = [model.fill, model.store, model.storeFirst, model.evict, model.storeUnknown]
    oracle = Oracle(model.programs)
  }

  /// An operation in progress.
  struct Control: Hashable {
    var progress: DirtyLogProgress
    var start: DirtyLogStart
    var answers: [UInt64] = []
  }

  func describe(_ control: Control) -> String { "\(control.progress.operation)" }

  var beginnings: [[UInt64]] {
    scope.methods.map { method in
      var state = model.programs.layout.initialRegisters
      state[model.limit] = 1
      state[model.method] = UInt64(method.rawValue)
      return state
    }
  }

  func actor(of action: Int, _ arguments: [UInt64]) -> StepActor {
    surroundings.contains(action) ? .surroundings : .side
  }

  func isInScope(_ action: Int, _ arguments: [UInt64]) -> Bool {
    if scope.excluded.contains(oracle.specification.actions[action].name) { return false }
    let namesTracker = [model.track, model.untrack, model.deliver].contains(action)
    return !namesTracker || scope.trackers.contains { UInt64($0.rawValue) == arguments[0] }
  }

  // MARK: Operations

  func begin(_ visit: (Control) throws(Divergence) -> Void) throws(Divergence) {
    let start = start
    for operation in operations(at: start) {
      try visit(Control(progress: DirtyLogProgress(operation), start: start))
    }
  }

  private func operations(at start: DirtyLogStart) -> [DirtyLogOperation] {
    var operations: [DirtyLogOperation] = []
    for place in 0..<model.places {
      if start.entries[place] != 0 {
        operations += [.unmap(place: place), .fault(place: place)]
      } else {
        for frame in 0..<model.frames {
          operations += [true, false].map { .map(place: place, frame: frame, writes: $0) }
        }
      }
    }
    if !scope.excluded.contains("mapUnknown") {
      for frame in 0..<model.frames {
        let isUnknown = start.unknown & 1 << UInt64(frame) != 0
        operations.append(isUnknown ? .unmapUnknown(frame: frame) : .mapUnknown(frame: frame))
      }
    }
    for tracker in scope.trackers {
      operations += [true, false].map { .report(tracker, arrives: $0) }
      for from in 0..<model.frames {
        for to in from...model.frames where isInScope(tracker, from..<to, start) {
          operations.append(.track(tracker, from: from, to: to))
        }
      }
    }
    return operations
  }

  private func isInScope(_ tracker: DirtyTracker, _ range: Range<Int>, _ start: DirtyLogStart) -> Bool {
    let bits = range.reduce(0 as UInt64) { $0 | 1 << UInt64($1) }
    return !scope.excluded.contains("untrack") || start.tracked[Int(tracker.rawValue)] & ~bits == 0
  }

  /// Where the specification stands.
  private var start: DirtyLogStart {
    var start = DirtyLogStart()
    let simulator = oracle.simulator
    start.entries = (0..<model.places).map { oracle.entry($0, model) }
    start.frames = (0..<model.places).map { Int(simulator[model.frame + $0]) }
    for tracker in DirtyTracker.allCases {
      func bits(_ table: Int) -> UInt64 {
        (0..<model.frames).reduce(0) { $0 | simulator[table + model.of(tracker, $1)] << UInt64($1) }
      }
      start.tracked.append(bits(model.tracked))
      start.logged.append(bits(model.logged))
    }
    start.unknown = (0..<model.frames).reduce(0) { $0 | simulator[model.isUnknown + $1] << UInt64($1) }
    start.method = DirtyLogMethod(rawValue: UInt8(simulator[model.method])) ?? .dirtyBit
    start.stage = oracle.stage(model)
    start.quiet = UInt8(simulator[model.quiet])
    start.isUnflushed = oracle.isSet(model.isUnflushed)
    return start
  }

  private func makeSide(_ start: DirtyLogStart) -> Side {
    script.isMuted = true
    defer { script.isMuted = false }
    let side = Side(
      EntryTap(count: model.places, accesses: script), frames: DirtyLogModel.number(model.frames),
      method: start.method, limit: 1)
    for place in 0..<model.places where start.entries[place] != 0 {
      side.map(
        ShadowEntryIndex(UInt32(place)), start.entries[place],
        frame: DirtyLogModel.guestFrame(start.frames[place]))
    }
    for frame in 0..<model.frames where start.unknown & 1 << UInt64(frame) != 0 {
      _ = side.mapUnknown(DirtyLogModel.guestFrame(frame))
    }
    for tracker in DirtyTracker.allCases {
      let bits = start.tracked[Int(tracker.rawValue)]
      guard bits != 0 else { continue }
      let (first, end) = (bits.trailingZeroBitCount, 64 - bits.leadingZeroBitCount)
      _ = side.track(tracker, DirtyLogModel.number(first)..<DirtyLogModel.number(end))
    }
    side.resume(stage: start.stage, quiet: start.quiet, isUnflushed: start.isUnflushed) { tracker, number in
      start.logged[Int(tracker.rawValue)] & 1 << UInt64(number - DirtyLogModel.firstFrame) != 0
    }
    return side
  }

  func resume(_ control: Control) throws(Divergence) -> Resumption<Control> {
    let side = makeSide(control.start)
    script.rewind(control.answers)
    let outcome = side.perform(
      control.progress.operation, flush: { script.answer(.flush) }, take: { script.answer(.take($0)) })
    var after = control
    if let event = script.next {
      let word = word(before: event)
      after.answers.append(word)
      try after.progress.follow(event, word: word, oracle, model)
      return .advances(after, action: DirtyLogProgress.action(of: event, in: model))
    }
    try after.progress.track(oracle, model)
    try after.progress.finish(outcome, stage: side.stage, unknownCount: 1, oracle, model)
    try after.progress.compare(side, oracle, model)
    return .ends
  }

  private func word(before event: DirtyLogEvent) -> UInt64 {
    switch event {
    case .load(let place), .clear(let place, _): oracle.entry(place, model)
    case .store, .set, .flush, .take: 0
    }
  }
}
