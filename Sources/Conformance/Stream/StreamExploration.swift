// SPDX-License-Identifier: Apache-2.0
//
// One side of a byte stream is put into a state by its position, lifted to 32 bits so that it is about to wrap, and by
// the answers that its operation has had so far.

import Interfaces
import Logic
import Machines
import Specs

/// Compares one side of a byte stream with its specification, exhaustively at a small scope.
public struct StreamExploration<Side: StreamSide> {
  private let size: Int
  private let hostile: Bool

  /// - Parameters:
  ///   - size: of the stream, in bytes: 1 or 2.
  ///   - hostile: whether the peer stores what it likes.
  public init(_ type: Side.Type, size: Int, hostile: Bool) {
    precondition(size == 1 || size == 2, "the bytes fit indices of 2 bits")
    self.size = size
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
      ? "that stores any index of its own at any time, bytes not told apart" : "that keeps to the protocol"
    var report = ExhaustiveReport(
      name: "Stream, \(Side.role)", scope: "indices of 2 bits, bytes \(size), peer \(peer)")
    let exploration = JointExploration(ExploredStream<Side>(size: size, hostile: hostile))
    exploration.run(&report, progress: progress)
    if countsReachable, report.holds { report.reachable = exploration.reachable() ?? 0 }
    return report
  }
}

private final class ExploredStream<Side: StreamSide>: ExploredSide {
  private let model = StreamModel(bits: 2)
  private let size: Int
  private let hostile: Bool
  private let script = StreamScript()
  private let buffer: UnsafeMutableRawBufferPointer
  private let role = Int(Side.role.rawValue)
  let oracle: Oracle

  init(size: Int, hostile: Bool) {
    self.size = size
    self.hostile = hostile
    oracle = Oracle(model.programs)
    buffer = .allocate(byteCount: size + 1, alignment: 8)
  }

  deinit { buffer.deallocate() }

  /// An operation in progress: what it has done, and what it has been answered.
  struct Control: Hashable {
    var progress: StreamProgress
    var answers: [UInt32] = []
    /// The bytes read.
    var bytes: [UInt8] = []
  }

  func describe(_ control: Control) -> String { "\(Side.role), \(control.progress.wanted) bytes" }

  var beginnings: [[UInt64]] {
    var state = model.programs.layout.initialRegisters
    state[model.size] = UInt64(size)
    state[model.hostile[Int(Side.role.peer.rawValue)]] = hostile ? 1 : 0
    return [state]
  }

  func actor(of action: Int, _ arguments: [UInt64]) -> StepActor {
    if action == model.write { return Side.role == .writer ? .side : .surroundings }
    if action == model.read { return Side.role == .reader ? .side : .surroundings }
    guard arguments.first == Side.role.rawValue else { return .surroundings }
    if action == model.look || action == model.publish { return .side }
    return action == model.wake || action == model.notify ? .user : .surroundings
  }

  private func value(_ registers: [Int]) -> UInt64 { oracle.simulator.registers[registers[role]] }
  private var step: StreamStep { StreamModel.steps[value(model.step)] }

  /// Where the side stands, with 32 bits, such that it wraps at 2³² when the specification's index wraps.
  private var lifted: StreamPositions {
    let position = UInt32(value(model.position)) &- 4
    let ahead = (value(model.known) &- value(model.position)) & model.indexMask
    let behind = (value(model.position) &- value(model.known)) & model.indexMask
    return StreamPositions(
      position: position,
      known: Side.role == .reader ? position &+ UInt32(ahead) : position &- UInt32(behind))
  }

  func begin(_ visit: (Control) throws(Divergence) -> Void) throws(Divergence) {
    guard step == .idle else { return }
    for wanted in 0...buffer.count {
      try visit(Control(progress: StreamProgress(Side.role, wanted: wanted, lifted)))
    }
  }

  func resume(_ control: Control) throws(Divergence) -> Resumption<Control> {
    script.answers = control.answers
    script.rewind()
    let progress = control.progress
    let start = progress.own.position &- UInt32(progress.moved)
    let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<progress.wanted])
    if Side.role == .writer {
      for offset in bytes.indices { bytes[offset] = byte(at: start &+ UInt32(offset)) }
    }
    var side = Side(memory: StreamTap(size: UInt32(size), accesses: script), position: start)
    let outcome = side.perform(bytes)
    if let access = script.next {
      if case .write(let position) = access, script.written != byte(at: position) {
        throw oracle.divergence(at: describe(control), "it writes a byte that it was not given")
      }
      return try advance(control, by: access)
    }
    let complaint = progress.complaint(
      about: outcome, step: step, position: side.position, size: UInt32(size))
    if let complaint { throw oracle.divergence(at: describe(control), complaint) }
    if Side.role == .reader, !bytes[..<progress.moved].elementsEqual(control.bytes) {
      throw oracle.divergence(at: describe(control), "what it hands out is not what lay in the stream")
    }
    return .ends
  }

  private func byte(at position: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: model.reduced(position)) }

  /// Takes the step that an access is.
  private func advance(_ control: Control, by access: StreamAccess) throws(Divergence) -> Resumption<Control>
  {
    let action: Int
    do throws(Inadmissible) {
      action = try model.action(for: access, of: Side.role, control.progress.own)
    } catch {
      throw oracle.divergence(at: describe(control), error.reason)
    }
    let takesSide = action != model.read && action != model.write
    var value: UInt32 = action == model.look ? loaded(control.progress.own) : 0
    try oracle.take(action, takesSide ? [Side.role.rawValue] : [])
    var after = control
    if action == model.read {
      value = UInt32(truncatingIfNeeded: oracle.results.first ?? 0)
      after.bytes.append(UInt8(truncatingIfNeeded: value))
    }
    after.answers.append(value)
    after.progress.follow(action, in: model, value: value, results: oracle.results)
    return .advances(after, action: action)
  }

  /// The peer's index, with 32 bits.
  private func loaded(_ own: StreamPositions) -> UInt32 {
    let shared = oracle.simulator[model.shared[Int(Side.role.peer.rawValue)]]
    let mine = model.reduced(own.position)
    return Side.role == .reader
      ? own.position &+ UInt32((shared &- mine) & model.indexMask)
      : own.position &- UInt32((mine &- shared) & model.indexMask)
  }
}
