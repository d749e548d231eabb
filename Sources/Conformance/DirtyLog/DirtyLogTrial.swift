// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// Made once, not for every sequence.
private let trialModel = DirtyLogModel(frames: 5, places: 8, processors: 2, quietBits: 3)

extension Trial {
  /// A dirty log against its specification: entries in memory, and processors between any two accesses.
  public static func dirtyLog<Side: DirtyLogSide>(_ side: Side.Type, name: String = "DirtyLog") -> Trial {
    Trial(
      name,
      makeRunner: { _ in
        let world = DirtyLogWorld<Side>()
        return { bytes in world.run(bytes) }
      })
  }
}

/// The entries that a followed dirty log really reaches, and what happens around it.
private final class DirtyLogWorld<Side: DirtyLogSide>: EntryAccesses {
  private let model = trialModel
  private let oracle: Oracle
  private var choices = Choices([])
  private var words = [UInt64](repeating: 0, count: trialModel.places)
  /// Of entries that are there, by place.
  private var mapped = [Int](repeating: 0, count: trialModel.places)
  private var surplus = [Bool](repeating: false, count: trialModel.places)
  /// Devices' mappings, by frame.
  private var devices = [Int](repeating: 0, count: trialModel.frames)
  /// A surplus entry has gone that processors may hold still.
  private var holdsSurplus = false
  private var side: Side?
  private var progress = DirtyLogProgress(.unmap(place: 0))
  /// The first thing that was wrong; from then on the specification is not asked any more.
  private var divergence: Divergence?

  init() { oracle = Oracle(model.programs) }

  func run(_ bytes: [UInt8]) -> TrialOutcome {
    var outcome = TrialOutcome()
    let stepsBefore = oracle.stepCount
    choices = Choices(bytes)
    let side = begin()
    while divergence == nil, !choices.areExhausted {
      guard let operation = choose() else { continue }
      do throws(Divergence) {
        try perform(operation, side)
        outcome.operations += 1
      } catch {
        divergence = error
      }
    }
    outcome.divergence = divergence
    outcome.steps = oracle.stepCount - stepsBefore
    return outcome
  }

  private func begin() -> Side {
    oracle.reset()
    divergence = nil
    holdsSurplus = false
    for place in words.indices { (words[place], mapped[place], surplus[place]) = (0, 0, false) }
    for frame in devices.indices { devices[frame] = 0 }
    let method = DirtyLogMethod.allCases[choices.pick(2)]
    let limit = UInt8(1 + choices.pick(3))
    let isSet =
      oracle.set(model.method, to: UInt64(method.rawValue)) && oracle.set(model.limit, to: UInt64(limit))
    precondition(isSet, "values of their sorts")
    let side = Side(
      EntryTap(count: model.places, accesses: self), frames: DirtyLogModel.number(model.frames),
      method: method,
      limit: limit)
    self.side = side
    return side
  }

  /// The next operation; nil if what was chosen is none here.
  private func choose() -> DirtyLogOperation? {
    let place = choices.pick(model.places)
    let frame = choices.pick(model.frames)
    let isPresent = words[place] != 0
    switch choices.pick(16) {
    case 0, 1, 2: return isPresent ? nil : .map(place: place, frame: frame, writes: !choices.oneIn(4))
    case 3: return isPresent ? .unmap(place: place) : nil
    case 4, 5: return isPresent ? .fault(place: place) : nil
    case 6: return choices.oneIn(4) ? .mapUnknown(frame: frame) : nil
    case 7: return devices[frame] > 0 ? .unmapUnknown(frame: frame) : nil
    case 8:
      let to = frame + choices.pick(model.frames - frame + 1)
      return .track(choices.bit() ? .video : .log, from: frame, to: to)
    case 9, 10: return .report(.log, arrives: !choices.oneIn(4))
    default: return .report(.video, arrives: !choices.oneIn(4))
    }
  }

  // MARK: An operation

  private func perform(_ operation: DirtyLogOperation, _ side: Side) throws(Divergence) {
    // Of the operation's entry or frame, as they were.
    let (word, wasSurplus, unknowns) = before(operation)
    progress = DirtyLogProgress(operation)
    let outcome = side.perform(
      operation, flush: { self.follow(.flush) }, take: { self.follow(.take($0)) })
    if let divergence { throw divergence }

    var surplusWord = wasSurplus ? word : nil
    var surplusFrame = 0
    switch operation {
    case .map(let place, _, _):
      surplus[place] = isSurplus(place)
      if surplus[place] { surplusWord = word }
    case .unmap(let place):
      (surplusFrame, surplus[place]) = (mapped[place], false)
      if wasSurplus { holdsSurplus = true }
    case .unmapUnknown(let frame): devices[frame] -= 1
    case .mapUnknown(let frame): devices[frame] += 1
    case .track: try changeRange()
    case .fault, .report: break
    }
    try progress.finish(
      outcome, stage: side.stage, surplusWord: surplusWord, surplusFrame: surplusFrame,
      unknownCount: unknowns,
      oracle, model)
    try progress.compare(side, holdsSurplus: holdsSurplus, oracle, model)
    try compareEntries()
    pass()
    if let divergence { throw divergence }
  }

  private func before(_ operation: DirtyLogOperation) -> (word: UInt64, isSurplus: Bool, unknowns: Int) {
    switch operation {
    case .map(let place, _, _): (words[place], false, 0)
    case .unmap(let place), .fault(let place): (words[place], surplus[place], unknowns(mapped[place]))
    case .mapUnknown(let frame), .unmapUnknown(let frame): (0, false, unknowns(frame))
    case .track, .report: (0, false, 0)
    }
  }

  /// How many mappings of a frame the log does not know.
  private func unknowns(_ frame: Int) -> Int {
    devices[frame] + words.indices.count { words[$0] != 0 && surplus[$0] && mapped[$0] == frame }
  }

  private func isSurplus(_ place: Int) -> Bool { side?.isSurplus(ShadowEntryIndex(UInt32(place))) ?? false }

  /// Tracked frames have changed, and entries of theirs may be surplus now.
  private func changeRange() throws(Divergence) {
    let fresh = words.indices.filter { !surplus[$0] && isSurplus($0) }
    for place in fresh { surplus[place] = true }
    try progress.track(becomeSurplus: fresh.map { (place: $0, frame: mapped[$0]) }, oracle, model)
  }

  private func compareEntries() throws(Divergence) {
    for place in words.indices {
      if surplus[place] != isSurplus(place) {
        throw oracle.divergence(at: "\(progress.operation)", "entry \(place) is surplus, or not")
      }
      if !surplus[place], words[place] != oracle.entry(place, model) {
        throw oracle.divergence(
          at: "\(progress.operation)", "entry \(place) is 0x\(String(words[place], radix: 16))")
      }
    }
  }

  // MARK: Processors, and devices

  /// Something may happen.
  private func pass() {
    for _ in 0..<choices.pick(4) where divergence == nil { move() }
  }

  private func move() {
    let (processor, place) = (UInt64(choices.pick(model.processors)), choices.pick(model.places))
    switch choices.pick(8) {
    case 0: oracle.attempt(model.evict, [processor, UInt64(place)])
    case 1: oracle.attempt(model.fill, [processor, UInt64(place)])
    case 2: oracle.attempt(model.store, [processor, UInt64(place)])
    case 3:
      let frame = choices.pick(model.frames)
      if devices[frame] > 0 { oracle.attempt(model.storeUnknown, UInt64(frame)) }
    default: write(place, processor)
    }
  }

  /// A processor writes, having looked at the entry in memory.
  private func write(_ place: Int, _ processor: UInt64) {
    guard words[place] & EntryBits.writable != 0 else { return }
    words[place] |= EntryBits.dirty
    let isAllowed =
      surplus[place]
      ? oracle.attempt(model.storeUnknown, UInt64(mapped[place]))
      : oracle.attempt(model.storeFirst, [processor, UInt64(place)])
    if !isAllowed {
      divergence = oracle.divergence(
        at: "\(progress.operation)", "a processor writes through entry \(place), and is not to")
    }
  }

  // MARK: Accesses

  private func follow(_ event: DirtyLogEvent, at place: Int? = nil) {
    guard divergence == nil else { return }
    pass()
    guard divergence == nil else { return }
    if event == .flush { holdsSurplus = false }
    do throws(Divergence) {
      try progress.follow(
        event, word: place.map { words[$0] } ?? 0,
        surplus: place.flatMap { isSurplus($0) ? mapped[$0] : nil }, oracle, model)
    } catch {
      divergence = error
    }
  }

  func load(_ index: ShadowEntryIndex) -> UInt64 {
    let place = Int(index.rawValue)
    follow(.load(place), at: place)
    return words[place]
  }

  func store(_ index: ShadowEntryIndex, _ word: UInt64) {
    let place = Int(index.rawValue)
    follow(.store(place, word), at: place)
    if case .map(_, let frame, _) = progress.operation { mapped[place] = frame }
    surplus[place] = isSurplus(place)
    words[place] = word
  }

  func clear(_ index: ShadowEntryIndex, _ bits: UInt64) -> UInt64 {
    let place = Int(index.rawValue)
    follow(.clear(place, bits), at: place)
    defer { words[place] &= ~bits }
    return words[place]
  }

  func set(_ index: ShadowEntryIndex, _ bits: UInt64) {
    let place = Int(index.rawValue)
    follow(.set(place, bits), at: place)
    words[place] |= bits
  }
}
