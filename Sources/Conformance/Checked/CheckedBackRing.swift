// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Logic
import Machines
import Specs

/// A back end's side of a ring whose every memory access is followed by the specification, over the real page and
/// beside a peer that really runs. To the specification the peer is hostile: it stores, between any two accesses,
/// whatever was then found in its words.
final class CheckedBackRing<Side: RingSide>: BackRing {
  private let page: SharedRingPage
  private let follower: RingFollower
  private let watch: MachineWatch
  private var side: Side
  /// After this the ring is not used any more.
  private enum Ending {
    case corrupt(RingError)
    case diverged
  }
  private var ending: Ending?

  /// Attaches to the ring in `page`; for the limits see `SharedRingMemory`.
  init(_ memory: SharedRingMemory, model: RingModel, monitor: CheckMonitor) {
    let oracle = Oracle(model.programs)
    let base = memory.load(Side.end.producerWord)
    page = SharedRingPage(memory, model, oracle, Side.end)
    follower = RingFollower(model, oracle, Side.end, at: base, page)
    let tap = RingTap(slotCount: memory.slotCount, slotSize: memory.slotSize, accesses: follower)
    side = Side(memory: tap, indices: RingIndices(quiescentAt: base))
    watch = monitor.watch(oracle, start: page.start())
  }

  var slotCount: Int { Int(page.memory.slotCount) }
  var slotSize: Int { page.memory.slotSize }

  func takeRequest(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    try perform(.take, slot)
  }

  func putResponse(_ slot: UnsafeRawBufferPointer) {
    // A put cannot fail, and only reads the slot.
    _ = try? perform(.put, UnsafeMutableRawBufferPointer(mutating: slot))
  }

  func pushResponses() -> Bool { (try? perform(.push, page.scratch)) ?? false }

  func finalCheckForRequests() throws(RingError) -> Bool { try perform(.finalCheck, page.scratch) }

  /// Once the ring has diverged there is nothing to be had from it: the domain is being ended.
  private func perform(_ operation: RingOperation, _ slot: UnsafeMutableRawBufferPointer) throws(RingError)
    -> Bool
  {
    switch ending {
    case .corrupt(let error): throw error
    case .diverged: return false
    case nil: break
    }
    do throws(Divergence) {
      let outcome = try compare(operation, slot)
      watch.finish()
      if case .failure(let error) = outcome { ending = .corrupt(error) }
      if case .answer(let answer) = outcome { return answer }
    } catch {
      ending = .diverged
      watch.diverge(error)
    }
    if case .corrupt(let error) = ending { throw error }
    return false
  }

  private func compare(_ operation: RingOperation, _ slot: UnsafeMutableRawBufferPointer) throws(Divergence)
    -> RingOutcome
  {
    page.begin(operation, slot)
    if follower.step == .asleep { page.wake() }
    let outcome = try follower.follow(operation, of: &side, with: slot)
    if operation == .take, outcome == .answer(true), !page.wasHandedOut(slot) {
      throw page.oracle.divergence(at: "\(Side.end) take", "what it hands out is not what lay in the slot")
    }
    return outcome
  }
}

/// A ring's page, shared with a peer that is not followed.
final class SharedRingPage: RingSurroundings {
  let memory: SharedRingMemory
  let oracle: Oracle
  private let model: RingModel
  private let own: Int
  private let peer: UInt64
  private let end: RingEnd
  /// What an operation that names no slot is given.
  let scratch: UnsafeMutableRawBufferPointer
  /// What the last take read from its slot.
  private let taken: UnsafeMutableRawBufferPointer
  /// What a put is to write.
  private var message = UnsafeRawBufferPointer(start: nil, count: 0)

  init(_ memory: SharedRingMemory, _ model: RingModel, _ oracle: Oracle, _ end: RingEnd) {
    self.memory = memory
    self.model = model
    self.oracle = oracle
    self.end = end
    own = Int(end.rawValue)
    peer = end.peer.rawValue
    scratch = .allocate(byteCount: memory.slotSize, alignment: 8)
    taken = .allocate(byteCount: memory.slotSize, alignment: 8)
  }

  deinit {
    scratch.deallocate()
    taken.deallocate()
  }

  /// Puts the specification where the ring begins.
  /// - Returns: what that is, for a trace.
  func start() -> [TraceStart] {
    let start = [
      TraceStart(component: "size", keys: [], value: UInt64(memory.slotCount)),
      TraceStart(component: "hostile", keys: [peer], value: 1),
    ]
    let isSet = start.allSatisfy { $0.apply(to: oracle.simulator) }
    precondition(isSet, "the slots fit the indices")
    return start
  }

  func begin(_ operation: RingOperation, _ slot: UnsafeMutableRawBufferPointer) {
    message = UnsafeRawBufferPointer(slot)
  }

  /// The side goes on, whether an event came or it does so unasked.
  func wake() {
    oracle.attempt(model.poke, peer)
    oracle.attempt(model.wake, end.rawValue)
  }

  /// Whether a slot holds what the last take read.
  func wasHandedOut(_ slot: UnsafeMutableRawBufferPointer) -> Bool {
    guard let found = slot.baseAddress, let expected = taken.baseAddress else { return false }
    return memcmp(found, expected, taken.count) == 0
  }

  // MARK: Surroundings

  /// The peer acts by itself.
  func pass() {}

  func peerProducer(_ indices: RingIndices) -> UInt32 {
    let value = memory.load(end.peer.producerWord)
    let distance = model.reducedDifference(value &- indices.taken)
    let seen = (oracle.simulator[model.ownTaken[own]] &+ distance) & model.indexMask
    if seen != oracle.simulator[model.sharedProducer[Int(peer)]] {
      oracle.attempt(model.scribbleProducer, [peer, seen])
    }
    return value
  }

  func peerEvent(_ indices: RingIndices) -> UInt32 {
    let value = memory.load(end.peer.eventWord)
    let distance = model.reducedDifference(indices.published &- value)
    let seen = (oracle.simulator[model.ownPublished[own]] &- distance) & model.indexMask
    if seen != oracle.simulator[model.sharedEvent[Int(peer)]] {
      oracle.attempt(model.scribbleEvent, [peer, seen])
    }
    return value
  }

  func store(_ word: RingWord, _ value: UInt32) { memory.store(word, value) }

  func drain() {
    memory.fullFence()
    for action in [model.drainMessage, model.drainProducer, model.drainEvent] {
      while oracle.attempt(action, end.rawValue) {}
    }
  }

  func copyOut(_ index: UInt32, _ message: [UInt64], into slot: UnsafeMutableRawBufferPointer) {
    memory.copySlotOut(index, into: taken)
    slot.copyMemory(from: UnsafeRawBufferPointer(taken))
  }

  func copyIn(_ index: UInt32, from slot: UnsafeRawBufferPointer) -> Bool {
    guard let found = slot.baseAddress, let expected = message.baseAddress, slot.count >= memory.slotSize,
      message.count >= memory.slotSize, memcmp(found, expected, memory.slotSize) == 0
    else { return false }
    memory.copySlotIn(index, from: slot)
    return true
  }
}
