// SPDX-License-Identifier: Apache-2.0
//
// One side of a ring is put into a state by its four private indices, lifted to 32 bits so that they are about to
// wrap, and by the answers that its operation has had so far.

import Interfaces
import Logic
import Machines
import Specs

/// Compares one side of a ring with its specification, exhaustively at a small scope.
public struct RingExploration<Side: RingSide> {
  private let slots: Int
  private let hostile: Bool

  /// - Parameters:
  ///   - slots: 1 or 2.
  ///   - hostile: whether the peer stores what it likes.
  public init(_ type: Side.Type, slots: Int, hostile: Bool) {
    precondition(slots == 1 || slots == 2, "the slots fit indices of 2 bits")
    self.slots = slots
    self.hostile = hostile
  }

  /// - Parameters:
  ///   - countsReachable: whether to explore the specification alone too, to say how much of it the implementation was
  ///     driven to.
  ///   - progress: is told now and then how far it is.
  public func run(countsReachable: Bool = true, progress: ExhaustiveProgress.Observer? = nil)
    -> ExhaustiveReport
  {
    let peer =
      hostile
      ? "that stores any index of its own at any time, slots not told apart" : "that keeps to the protocol"
    var report = ExhaustiveReport(
      name: "Ring, \(Side.end) end", scope: "indices of 2 bits, slots \(slots), peer \(peer)")
    let exploration = JointExploration(ExploredRing<Side>(slots: slots, hostile: hostile))
    exploration.run(&report, progress: progress)
    if countsReachable, report.holds { report.reachable = exploration.reachable() ?? 0 }
    return report
  }
}

private final class ExploredRing<Side: RingSide>: ExploredSide {
  private let model = RingModel(bits: 2)
  private let slots: Int
  private let hostile: Bool
  private let script = RingScript()
  private let slot = UnsafeMutableRawBufferPointer.allocate(byteCount: RingWorld.slotSize, alignment: 8)
  private let ownActions: [Int]
  private let end = Int(Side.end.rawValue)
  let oracle: Oracle

  init(slots: Int, hostile: Bool) {
    self.slots = slots
    self.hostile = hostile
    oracle = Oracle(model.programs)
    ownActions = [
      model.put, model.publish, model.loadEvent, model.look, model.take, model.ask, model.recheck,
      model.fence,
    ]
  }

  deinit { slot.deallocate() }

  /// An operation in progress: what it has done, and where it began.
  struct Control: Hashable {
    var progress: RingProgress
    var start: RingIndices
    var answers: [UInt32] = []
    var slot: [UInt64] = []
  }

  func describe(_ control: Control) -> String { "\(Side.end) \(control.progress.operation)" }

  var beginnings: [[UInt64]] {
    var state = model.programs.layout.initialRegisters
    state[model.size] = UInt64(slots)
    state[model.hostile[Int(Side.end.peer.rawValue)]] = hostile ? 1 : 0
    return [state]
  }

  func actor(of action: Int, _ arguments: [UInt64]) -> StepActor {
    guard arguments.first == Side.end.rawValue else { return .surroundings }
    return action == model.wake ? .user : ownActions.contains(action) ? .side : .surroundings
  }

  private func value(_ registers: [Int]) -> UInt64 { oracle.simulator.registers[registers[end]] }
  private var step: Step { RingModel.steps[value(model.step)] }

  /// The side's indices with 32 bits, such that they wrap at 2³² when those of the specification wrap.
  private var lifted: RingIndices {
    func ahead(_ a: [Int], _ b: [Int]) -> UInt32 { UInt32((value(a) &- value(b)) & model.indexMask) }
    let taken = UInt32(value(model.ownTaken)) &- 4
    let put =
      Side.end == .front
      ? taken &+ ahead(model.ownPut, model.ownTaken) : taken &- ahead(model.ownTaken, model.ownPut)
    return RingIndices(
      put: put, published: put &- ahead(model.ownPut, model.ownPublished), taken: taken,
      known: taken &+ ahead(model.ownKnown, model.ownTaken))
  }

  func begin(_ visit: (Control) throws(Divergence) -> Void) throws(Divergence) {
    guard step == .idle else { return }
    let own = lifted
    let hasRoom = Side.end == .front ? own.put &- own.taken < UInt32(slots) : own.put != own.taken
    for operation in RingOperation.allCases where operation != .put || hasRoom {
      try visit(Control(progress: RingProgress(operation, own), start: own))
    }
  }

  func resume(_ control: Control) throws(Divergence) -> Resumption<Control> {
    script.answers = control.answers
    script.rewind()
    let operation = control.progress.operation
    let payload = [Side.end.rawValue, model.reduced(control.start.put)]
    if operation == .put { RingWorld.encode(payload, into: slot) }
    if control.slot.count == 2 {
      script.slot = (
        UInt32(truncatingIfNeeded: control.slot[0]), UInt32(truncatingIfNeeded: control.slot[1])
      )
    }
    let tap = RingTap(slotCount: UInt32(slots), slotSize: RingWorld.slotSize, accesses: script)
    var side = Side(memory: tap, indices: control.start)
    let outcome = side.perform(operation, with: slot)
    if let access = script.next {
      if case .copyIn = access, script.written != payload {
        throw oracle.divergence(at: "\(Side.end) put", "the slot is not what was to be put")
      }
      return try advance(control, by: access)
    }
    if let complaint = control.progress.complaint(about: outcome, step: step, indices: side.indices) {
      throw oracle.divergence(at: describe(control), complaint)
    }
    if operation == .take, outcome == .answer(true),
      RingWorld.decode(UnsafeRawBufferPointer(slot)) != control.slot
    {
      throw oracle.divergence(at: describe(control), "what it hands out is not what lay in the slot")
    }
    return .ends
  }

  /// Takes the step that an access is; a fence waits until the store buffer is empty.
  private func advance(_ control: Control, by access: RingAccess) throws(Divergence) -> Resumption<Control> {
    let action: Int
    do throws(Inadmissible) {
      action = try model.action(for: access, of: Side.end, control.progress.own, step: step)
    } catch {
      throw oracle.divergence(at: describe(control), error.reason)
    }
    if access == .fence, step == .published || step == .asked, !isDrained { return .waits }
    let value = loaded(access, control.progress.own)
    try oracle.take(action, Side.end.rawValue)
    var after = control
    after.answers.append(value)
    if action == model.take { after.slot = oracle.results }
    after.progress.follow(action, in: model, value: value, results: oracle.results)
    return .advances(after, action: action)
  }

  private var isDrained: Bool {
    value(model.drained) == value(model.ownPut) && value(model.holdsProducer) == 0
      && value(model.holdsEvent) == 0
  }

  /// What a load finds, with 32 bits.
  private func loaded(_ access: RingAccess, _ own: RingIndices) -> UInt32 {
    let peer = Int(Side.end.peer.rawValue)
    switch access {
    case .load(let word) where word == Side.end.peer.producerWord:
      let difference = oracle.simulator[model.sharedProducer[peer]] &- model.reduced(own.taken)
      return own.taken &+ UInt32(difference & model.indexMask)
    case .load(let word) where word == Side.end.peer.eventWord:
      let difference = model.reduced(own.published) &- oracle.simulator[model.sharedEvent[peer]]
      return own.published &- UInt32(difference & model.indexMask)
    default: return 0
    }
  }
}
