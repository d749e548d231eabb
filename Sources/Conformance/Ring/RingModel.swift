// SPDX-License-Identifier: Apache-2.0
//
// How the ring's implementation and its specification correspond. An access of the implementation is a step of the
// specification, with the same value. Indices have 32 bits in the implementation and may have fewer in the
// specification: both wrap, so those of a side agree modulo the smaller size, and a difference that the smaller size
// cannot tell (it is far beyond any slot count) stands for all such.

import Interfaces
import Logic
import Machines
import Specs

/// One memory access of a ring's side.
enum RingAccess: Hashable {
  case load(RingWord)
  case store(RingWord, UInt32)
  case fence
  case copyOut(UInt32)
  case copyIn(UInt32)
}

/// The names of the specification's states and actions, as numbers.
final class RingModel: Sendable {
  static let steps = Cases<Step>()
  static let sights = Cases<Sight>()

  let programs: ProgramSet
  let put, publish, loadEvent, look, take, ask, recheck, wake, fence: Int
  let drainMessage, drainProducer, drainEvent: Int
  let scribbleProducer, scribbleEvent, poke: Int

  /// By end.
  let step, ownPut, ownPublished, ownBefore, ownTaken, ownKnown: [Int]
  let sharedProducer, sharedEvent, event, hostile, holdsProducer, holdsEvent, drained: [Int]
  let size: Int
  /// All ones in an index of the specification.
  let indexMask: UInt64

  /// - Parameter bits: of an index in the specification, 2 … 16; the slots must be fewer than half of 2^bits.
  init(bits: Int) {
    indexMask = mask(bits)
    let scope = Scope(name: "indices of \(bits) bits", counts: ["Index": 1 << UInt64(bits)])
    programs = .compiled(try Ring().trace(), at: scope)
    let (specification, layout) = (programs.layout.specification, programs.layout)
    put = specification.action("put")
    publish = specification.action("publish")
    loadEvent = specification.action("loadEvent")
    look = specification.action("look")
    take = specification.action("take")
    ask = specification.action("ask")
    recheck = specification.action("recheck")
    wake = specification.action("wake")
    fence = specification.action("fence")
    drainMessage = specification.action("drainMessage")
    drainProducer = specification.action("drainProducer")
    drainEvent = specification.action("drainEvent")
    scribbleProducer = specification.action("scribbleProducer")
    scribbleEvent = specification.action("scribbleEvent")
    poke = specification.action("poke")
    func byEnd(_ component: String) -> [Int] {
      RingEnd.allCases.map { layout.require(component, [$0.rawValue]) }
    }
    step = byEnd("own.step")
    ownPut = byEnd("own.put")
    ownPublished = byEnd("own.published")
    ownBefore = byEnd("own.before")
    ownTaken = byEnd("own.taken")
    ownKnown = byEnd("own.known")
    sharedProducer = byEnd("shared.producer")
    sharedEvent = byEnd("shared.event")
    event = byEnd("event")
    hostile = byEnd("hostile")
    holdsProducer = byEnd("buffer.holdsProducer")
    holdsEvent = byEnd("buffer.holdsEvent")
    drained = byEnd("buffer.drained")
    size = layout.require("size")
  }

  func reduced(_ index: UInt32) -> UInt64 { UInt64(index) & indexMask }

  /// A difference as the specification's indices can tell it: all that are too large are one.
  func reducedDifference(_ difference: UInt32) -> UInt64 { min(UInt64(difference), indexMask) }

  /// The step of the specification that an access of a side is, given the side's indices before it.
  /// - Throws: why there is none.
  func action(
    for access: RingAccess, of end: RingEnd, _ own: RingIndices, step: Step
  ) throws(Inadmissible) -> Int {
    switch access {
    case .load(end.peer.producerWord): return step == .rechecking ? recheck : look
    case .load(end.peer.eventWord): return loadEvent
    case .load(let word): throw Inadmissible("it loads \(word), a word that it keeps itself")
    case .store(end.producerWord, let value):
      if value != own.put {
        throw Inadmissible("it stores \(value) as producer, having put up to \(own.put)")
      }
      return publish
    case .store(end.eventWord, let value):
      if value != own.taken &+ 1 {
        throw Inadmissible("it stores \(value) as event index, having taken up to \(own.taken)")
      }
      return ask
    case .store(let word, _): throw Inadmissible("it stores to \(word), its peer's word")
    case .fence: return fence
    case .copyOut(let index):
      if index != own.taken { throw Inadmissible("it takes \(index), and \(own.taken) is next") }
      return take
    case .copyIn(let index):
      if index != own.put { throw Inadmissible("it writes slot \(index), and \(own.put) is next") }
      return put
    }
  }
}
