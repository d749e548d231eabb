// SPDX-License-Identifier: Apache-2.0
//
// Shadow page tables of a running guest that carry the specification along, at its real size. What is compared, and when:
//
// At every step that the machine makes, the specification takes the same one, in the midst of the operation; it must
// be allowed there. Each entry that the machine reads of a guest's table must be what the specification has, or what a
// processor could store: through an entry of a shadow that let it write to the table, and that the stub has not taken
// since. A table in sync changes by `write` alone; but the accessed and dirty bits that a copy on the guest's behalf sets are
// taken as written. Memory that is no table may hold anything: it is taken up when it becomes one. What the stub is told
// to store must be all that the specification has queued.
//
// After every operation: its answer; that it made the step that it stands for; everything that those steps have changed in
// the specification, against the machine: entries of shadows with their mark of being queued, of snapshots, of
// guests' tables in sync; the state of frames, fix-ups and places, shadows and their counts of references, roots, pages. And
// each shadow whole, of the tables that came, went, or were brought into or out of sync.
//
// After every 4,096th operation: every entry of every shadow, and the machine's own books, with the reverse map.
//
// Not compared: what processors and KVM derived from the shadows, which nobody can look into; the entries of the
// hypervisor's own in the slots that the ABI keeps for it; and, of a change that the specification knows nothing of, in a
// table that no step names, nothing until the next 4,096th operation.

import Interfaces
import Logic
import Machines
import Specs

/// Shadow page tables of a real guest, followed by their specification.
final class FollowedShadowTables: ShadowTables {
  let model: HostShadowModel
  let oracle: SparseOracle
  let tap: ShadowTap
  let watch: MachineWatch
  private let stub: FollowedStub
  private var made: (any InspectableShadowTables)?
  var inner: any InspectableShadowTables {
    guard let made else { preconditionFailure("steps of a machine that is being made touch no table") }
    return made
  }

  /// The first difference; from then on nothing is compared any more.
  private(set) var divergence: Divergence?
  /// Why nothing is compared any more, if it is not for a difference.
  private var lost: String?
  private var operations = 0
  private static let wholeInterval = 4096

  /// Which operations are followed; nil for all.
  let sample: CheckSample?
  /// Whether operations are not followed now, and how many are yet to come until that changes.
  var (isResting, remaining): (Bool, Int)

  /// Of the operation under way: the steps, and what was read first of each entry.
  private(set) var steps: [ShadowStep] = []
  private(set) var loads: [GuestPlace: GuestTableEntry] = [:]
  /// Frames that are being brought into sync.
  var closing: Set<MachineFrame> = []
  /// By table: the level-1 entries through which a processor was led to write to it.
  var ways: [UInt64: [GuestPlace]] = [:]
  /// Whose shadow a page is.
  var owners: [MachineFrame: (table: UInt64, level: Int)] = [:]

  struct GuestPlace: Hashable {
    var table: MachineFrame
    var slot: Int
  }

  init(
    _ maker: ShadowMaker, memory: UnsafeMutableRawPointer, pages: ShadowPages, vcpuCount: Int,
    stub real: any ShadowStub, model: HostShadowModel, monitor: CheckMonitor, sample: CheckSample? = nil
  ) {
    self.model = model
    self.sample = sample
    (isResting, remaining) = (false, sample?.length ?? 0)
    oracle = SparseOracle(model.programs)
    let start = TraceStart(component: "policy", keys: [], value: ShadowModel.policy(.few))
    let isSet = oracle.apply(start)
    precondition(isSet, "a policy is one of three")
    watch = monitor.watch(oracle, start: [start])
    tap = ShadowTap(base: memory, frameCount: model.frameCount, isParavirtual: true)
    stub = FollowedStub(real)
    stub.tables = self
    tap.onLoad = { [unowned self] in loaded($0, $1, $2) }
    tap.onStep = { [unowned self] in follow($0) }
    made = maker.make(
      ShadowMaker.Parts(tap: tap, pages: pages, vcpuCount: vcpuCount, policy: .few, stub: stub))
  }

  var state: HostShadowState { HostShadowState(model: model, simulator: oracle.simulator) }
  private var isFollowing: Bool { divergence == nil && lost == nil && !isResting }

  // MARK: Operations

  /// Does an operation and compares it.
  @discardableResult
  func perform<Answer>(
    _ operation: () -> Answer, _ check: (Answer) throws(Divergence) -> Void
  ) -> Answer {
    steps.removeAll(keepingCapacity: true)
    loads.removeAll(keepingCapacity: true)
    oracle.forgetChanges()
    let answer = operation()
    if let lost { watch.skip(because: lost) }
    if isResting {
      countSkipped()
      return answer
    }
    guard isFollowing else { return answer }
    operations += 1
    do throws(Divergence) {
      try check(answer)
      try compareChanges()
      if operations % Self.wholeInterval == 0 { try compareEverything() }
      watch.finish()
      try countFollowed()
    } catch {
      diverge(error)
    }
    return answer
  }

  func diverge(_ found: Divergence) {
    guard isFollowing else { return }
    divergence = found
    watch.diverge(found)
  }

  func complain(at step: String, _ reason: String) { diverge(oracle.divergence(at: step, reason)) }

  /// The specification cannot follow what comes.
  private func lose(_ reason: String) { if isFollowing { lost = reason } }

  // MARK: Steps

  private func take(_ action: Int, _ arguments: [UInt64]) {
    guard isFollowing else { return }
    do throws(Divergence) { try oracle.take(action, arguments) } catch { diverge(error) }
  }

  private func follow(_ step: ShadowStep) {
    guard isFollowing else { return }
    steps.append(step)
    switch step {
    case .protect(let frame):
      takeUp(frame)
      leadWriter(to: frame)
    case .store: for frame in closing { catchUp(frame) }
    case .settle(let table): catchUp(table)
    case .destroy(let table, let level):
      owners = owners.filter { $0.value != (model.frame(table), level) }
    default: break
    }
    guard let (action, arguments) = model.translated(step) else { return }
    take(action, arguments)
    switch step {
    case .protect(let frame), .close(let frame): closing.insert(frame)
    case .settle(let table):
      closing.remove(table)
      ways[model.frame(table)] = nil
    case .pull(let table, let slot, _, _): leadWriter(through: table, slot)
    case .create(let table, let level):
      if let page = inner.page(of: table, level: level) { owners[page] = (model.frame(table), level) }
    default: break
    }
  }

  /// A frame is to be a table: what it holds counts from now on.
  private func takeUp(_ frame: MachineFrame) {
    forEachDifference(in: frame) { slot, entry in
      take(model.actions.update, [model.frame(frame), UInt64(slot)] + model.arguments(entry))
    }
  }

  /// A frame that comes into sync: what processors have stored there.
  private func catchUp(_ frame: MachineFrame) {
    forEachDifference(in: frame) { slot, entry in stored(frame, slot, entry) }
  }

  private func forEachDifference(in frame: MachineFrame, _ body: (Int, GuestTableEntry) -> Void) {
    let state = state
    for slot in 0..<PagingLimits.slotCount where isFollowing {
      let entry = tap.peek(frame, slot)
      if state.meaning(entry) != state.guest(model.frame(frame), slot) { body(slot, entry) }
    }
  }

  // MARK: What others store

  private func loaded(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry) {
    guard isFollowing else { return }
    let place = GuestPlace(table: table, slot: slot)
    if loads[place] == nil { loads[place] = entry }
    let state = state
    guard state.sync(model.frame(table)) != .plain,
      state.meaning(entry) != state.guest(model.frame(table), slot)
    else { return }
    stored(table, slot, entry)
  }

  /// An entry of a table is not what the specification has: somebody has stored it.
  private func stored(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry) {
    let (f, s, fields) = (model.frame(table), UInt64(slot), model.arguments(entry))
    for way in ways[f] ?? [] {
      let arguments = [0, model.frame(way.table), UInt64(way.slot), s] + fields
      let path = oracle.simulator.pack(
        model.cached.target, 0, model.frame(way.table), 0, UInt64(way.slot))
      guard oracle.simulator[model.cached.target, path] == f else { continue }
      if oracle.attempt(model.actions.storeByGuest, arguments) { return }
    }
    // A copy on the guest's behalf, with the domain's lock held, marks the entries that it uses.
    let marks = EntryBits.accessed | EntryBits.dirty
    let (old, new) = (state.guest(f, slot).rawValue, state.meaning(entry).rawValue)
    if old != 0, old | marks == new | marks, old & ~new == 0 {
      if !oracle.attempt(model.actions.update, [f, s] + fields) {
        lose("a guest's table that is a table of two levels was marked: the specification has no such step")
      }
      return
    }
    complain(
      at: "entry \(slot) of table \(f), which is \(state.sync(f))",
      "it was \(state.text(GuestTableEntry(rawValue: old))) and is \(state.text(GuestTableEntry(rawValue: new))), "
        + "and no processor could store there (R2, R12)")
  }

  /// A processor takes over an entry that lets it write to a table, or to what is about to be one.
  private func leadWriter(through table: MachineFrame, _ slot: Int) {
    let (simulator, key) = (oracle.simulator, state.place(model.frame(table), 0, slot))
    guard isFollowing, simulator[model.shadow.writable, key] == 1 else { return }
    let target = simulator[model.shadow.target, key]
    guard state.sync(target) != .plain else { return }
    lead(GuestPlace(table: table, slot: slot), to: target)
  }
  private func leadWriter(to frame: MachineFrame) {
    guard isFollowing, let way = writers(of: frame).first(where: { _ in true }) else { return }
    lead(way, to: model.frame(frame))
  }
  /// The entries of level-1 shadows that let a processor write to a frame.
  func writers(of frame: MachineFrame) -> some Sequence<GuestPlace> {
    let (simulator, shadow) = (oracle.simulator, model.shadow)
    return simulator.entries(of: shadow.target, holding: model.frame(frame)).lazy.compactMap { key in
      guard simulator[shadow.writable, key] == 1 else { return nil }
      let place = simulator.keys(of: shadow.target, key)
      return place[1] == 0 ? GuestPlace(table: MachineFrame(place[0]), slot: Int(place[2])) : nil
    }
  }
  func lead(_ way: GuestPlace, to target: UInt64) {
    oracle.attempt(model.actions.fill, [0, model.frame(way.table), 0, UInt64(way.slot)])
    if ways[target]?.contains(way) != true { ways[target, default: []].append(way) }
  }

  // MARK: The stub

  /// The stub is told to store entries: they must be all that are queued.
  fileprivate func stores(_ downgrades: UnsafeBufferPointer<Downgrade>) {
    guard isFollowing else { return }
    var places: Set<UInt64> = []
    for downgrade in downgrades {
      let slot = Int(downgrade.address.rawValue % UInt64(frameSize)) / 8
      guard let owner = owners[downgrade.address.frame] else {
        return complain(at: "a store of the stub", "it is not to a shadow")
      }
      if owner.level != PagingLimits.topLevel || !PagingLimits.reservedSlots.contains(slot) {
        places.insert(state.place(owner.table, owner.level, slot))
      }
    }
    let queued = oracle.simulator.entries(of: model.queued)
    if let missing = queued.keys.first(where: { !places.contains($0) }) {
      let place = oracle.simulator.keys(of: model.queued, missing)
      return complain(
        at: "a store of the stub",
        "entry \(place[2]) of table \(place[0]) at level \(place[1]) is not among them (R6)")
    }
    if places.count > queued.count {
      lose("more rights are taken in one step than the queue of downgrades has room for")
    }
  }
}

/// The stub, which sees to it that it is told of everything.
private final class FollowedStub: ShadowStub {
  private let inner: any ShadowStub
  weak var tables: FollowedShadowTables?
  init(_ inner: any ShadowStub) { self.inner = inner }
  func store(_ downgrades: UnsafeBufferPointer<Downgrade>) {
    tables?.stores(downgrades)
    inner.store(downgrades)
  }
}
