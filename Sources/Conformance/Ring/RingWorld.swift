// SPDX-License-Identifier: Apache-2.0
//
// One side is the implementation; its peer, the store buffers and, if the peer is hostile, any store at any time are
// the specification's own actions, chosen by the driver between any two accesses.

import Interfaces
import Logic
import Machines
import Specs

/// A ring whose shared memory is the specification's.
final class RingWorld: RingSurroundings {
  static let indexBits = 8
  static let model = RingModel(bits: indexBits)

  let model = RingWorld.model
  let oracle: Oracle
  let end: RingEnd
  var choices: Choices
  private var isHostile = false
  private var slotCount: UInt64 = 1
  private let drains: [Int]
  /// What a peer may do that is in the midst of nothing.
  private let whenIdle: [Int]

  init(_ end: RingEnd, _ choices: Choices) {
    self.end = end
    self.choices = choices
    oracle = Oracle(model.programs)
    let m = model
    drains = [m.drainMessage, m.drainProducer, m.drainEvent]
    whenIdle = [m.put, m.put, m.publish, m.look, m.take, m.take, m.ask]
  }

  /// A new ring.
  func begin(slotCount: Int, hostile: Bool) {
    oracle.reset()
    self.slotCount = UInt64(slotCount)
    isHostile = hostile
    let isSet =
      oracle.set(model.size, to: UInt64(slotCount))
      && oracle.set(model.hostile[Int(end.peer.rawValue)], to: hostile ? 1 : 0)
    precondition(isSet, "the slots fit the indices")
  }

  // MARK: Surroundings

  func pass() {
    for _ in 0..<choices.pick(4) { move() }
  }

  /// One move of the peer, or of a store buffer.
  func move() {
    let kind = choices.pick(8)
    if kind == 0 { return _ = oracle.attempt(drains[choices.pick(3)], end.rawValue) }
    let peer = end.peer.rawValue
    if kind < 4 { return _ = oracle.attempt(drains[choices.pick(3)], peer) }
    if isHostile, kind < 6 { return scribble() }
    switch RingModel.steps[oracle.simulator[model.step[Int(peer)]]] {
    case .idle: oracle.attempt(whenIdle[choices.pick(whenIdle.count)], peer)
    case .published, .asked:
      for drain in drains { while oracle.attempt(drain, peer) {} }
      oracle.attempt(model.fence, peer)
    case .fenced: oracle.attempt(model.loadEvent, peer)
    case .rechecking: oracle.attempt(model.recheck, peer)
    case .asleep: oracle.attempt(model.wake, peer)
    case .broken: break
    }
  }

  private func scribble() {
    let peer = end.peer.rawValue
    switch choices.pick(4) {
    case 0: oracle.attempt(model.poke, peer)
    case 1: oracle.attempt(model.scribbleEvent, [peer, nearby()])
    default: oracle.attempt(model.scribbleProducer, [peer, nearby()])
    }
  }

  /// Half the time an index that may well be right, else any.
  private func nearby() -> UInt64 {
    let taken = oracle.simulator[model.ownTaken[Int(end.rawValue)]]
    let distance = choices.bit() ? choices.pick(Int(slotCount) + 2) : choices.pick(1 << Self.indexBits)
    return (taken &+ UInt64(distance)) & model.indexMask
  }

  /// A value with 32 bits that stands as far from `base` as the specification's does; if that is too far to tell,
  /// any such.
  private func lift(_ difference: UInt64, limit: UInt32) -> UInt32 {
    let near = UInt32(truncatingIfNeeded: difference)
    guard near > limit, isHostile else { return near }
    return near | choices.word() << UInt32(Self.indexBits)
  }

  func peerProducer(_ own: RingIndices) -> UInt32 {
    let shared = oracle.simulator[model.sharedProducer[Int(end.peer.rawValue)]]
    let difference = (shared &- model.reduced(own.taken &- base)) & model.indexMask
    return own.taken &+ lift(difference, limit: UInt32(slotCount))
  }

  func peerEvent(_ own: RingIndices) -> UInt32 {
    let shared = oracle.simulator[model.sharedEvent[Int(end.peer.rawValue)]]
    let difference = (model.reduced(own.published &- base) &- shared) & model.indexMask
    return own.published &- lift(difference, limit: UInt32(slotCount))
  }

  /// Where the implementation's indices were when the specification's were 0.
  var base: UInt32 = 0

  func store(_ word: RingWord, _ value: UInt32) {}

  func drain() {
    // Messages first, for the producer index waits for them; others may act between.
    var isMoving = true
    while isMoving {
      isMoving = false
      for action in drains where oracle.attempt(action, end.rawValue) {
        isMoving = true
        if choices.oneIn(4) { move() }
      }
    }
  }

  private(set) var delivered: [UInt64] = []

  func copyOut(_ index: UInt32, _ message: [UInt64], into slot: UnsafeMutableRawBufferPointer) {
    delivered = message
    Self.encode(message, into: slot)
  }

  func copyIn(_ index: UInt32, from slot: UnsafeRawBufferPointer) -> Bool {
    Self.decode(slot) == [end.rawValue, model.reduced(index &- base)]
  }

  static let slotSize = 8

  static func encode(_ message: [UInt64], into slot: UnsafeMutableRawBufferPointer) {
    guard message.count == 2, slot.count >= slotSize else { return }
    slot.storeBytes(of: UInt32(truncatingIfNeeded: message[0]), toByteOffset: 0, as: UInt32.self)
    slot.storeBytes(of: UInt32(truncatingIfNeeded: message[1]), toByteOffset: 4, as: UInt32.self)
  }

  static func decode(_ slot: UnsafeRawBufferPointer) -> [UInt64] {
    guard slot.count >= slotSize else { return [] }
    return [
      UInt64(slot.loadUnaligned(fromByteOffset: 0, as: UInt32.self)),
      UInt64(slot.loadUnaligned(fromByteOffset: 4, as: UInt32.self)),
    ]
  }
}
