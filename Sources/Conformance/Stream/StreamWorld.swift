// SPDX-License-Identifier: Apache-2.0
//
// One side is the implementation; its peer, the store buffers and, if the peer is hostile, any store at any time are
// the specification's own actions, chosen by the driver between any two accesses.

import Interfaces
import Logic
import Machines
import Specs

/// A byte stream whose shared memory is the specification's.
final class StreamWorld: StreamSurroundings {
  static let indexBits = 8
  static let model = StreamModel(bits: indexBits)

  let model = StreamWorld.model
  let oracle: Oracle
  let role: StreamRole
  var choices: Choices
  private var isHostile = false
  private(set) var size: UInt32 = 1
  /// Where the implementation's indices were when the specification's were 0.
  private(set) var base: UInt32 = 0

  init(_ role: StreamRole, _ choices: Choices) {
    self.role = role
    self.choices = choices
    oracle = Oracle(model.programs)
  }

  /// A new stream.
  func begin(size: UInt32, hostile: Bool, at base: UInt32) {
    oracle.reset()
    self.size = size
    self.base = base
    isHostile = hostile
    let isSet =
      oracle.set(model.size, to: UInt64(size))
      && oracle.set(model.hostile[Int(role.peer.rawValue)], to: hostile ? 1 : 0)
    precondition(isSet, "the bytes fit the indices")
  }

  // MARK: Surroundings

  func pass() {
    for _ in 0..<choices.pick(4) { move() }
  }

  /// One move of the peer, or of a store buffer.
  func move() {
    let kind = choices.pick(8)
    if kind < 2 { return _ = drain(kind == 0 ? role : role.peer) }
    if isHostile { return kind < 6 ? scribble() : () }
    let peer = role.peer.rawValue
    switch StreamModel.steps[oracle.simulator[model.step[Int(peer)]]] {
    case .idle:
      switch choices.pick(4) {
      case 0: oracle.attempt(model.look, peer)
      case 1: oracle.attempt(model.publish, peer)
      default: oracle.attempt(role.peer == .writer ? model.write : model.read, [])
      }
    case .moved:
      while drain(role.peer) {}
      oracle.attempt(model.notify, peer)
    case .asleep: oracle.attempt(model.wake, peer)
    case .broken: break
    }
  }

  /// Lets something of a side reach memory.
  /// - Returns: whether there was anything.
  private func drain(_ role: StreamRole) -> Bool {
    if role == .writer, oracle.attempt(model.drainByte, []) { return true }
    return oracle.attempt(model.drainIndex, role.rawValue)
  }

  private func scribble() {
    let peer = role.peer.rawValue
    if choices.pick(4) == 0 { return _ = oracle.attempt(model.poke, peer) }
    oracle.attempt(model.scribbleIndex, [peer, nearby()])
  }

  /// Half the time an index that may well be right, else any.
  private func nearby() -> UInt64 {
    let position = oracle.simulator[model.position[Int(role.rawValue)]]
    let distance = UInt64(choices.bit() ? choices.pick(Int(size) + 2) : choices.pick(1 << Self.indexBits))
    return (role == .reader ? position &+ distance : position &- distance) & model.indexMask
  }

  func peerIndex(_ own: StreamPositions) -> UInt32 {
    let shared = oracle.simulator[model.shared[Int(role.peer.rawValue)]]
    let mine = model.reduced(own.position &- base)
    let ahead = role == .reader ? shared &- mine : mine &- shared
    let distance = lift(ahead & model.indexMask)
    return role == .reader ? own.position &+ distance : own.position &- distance
  }

  /// A difference with 32 bits that is the specification's; if that is too far to tell, any such.
  private func lift(_ difference: UInt64) -> UInt32 {
    let near = UInt32(truncatingIfNeeded: difference)
    guard near > size, isHostile else { return near }
    return near | choices.word() << UInt32(Self.indexBits)
  }

  func store(_ index: StreamIndex, _ value: UInt32) {}

  func drain() {
    // Others may act between.
    while drain(role) { if choices.oneIn(4) { move() } }
  }

  func read(_ position: UInt32, _ serial: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: serial) }
  func write(_ position: UInt32, _ byte: UInt8) {}

  /// What byte a position has: by its serial number in the specification.
  func byte(at position: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: model.reduced(position &- base)) }
}
