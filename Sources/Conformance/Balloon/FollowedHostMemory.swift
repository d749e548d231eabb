// SPDX-License-Identifier: Apache-2.0
//
// A host's memory with its specification beside it. After each operation the specification has taken the same steps,
// or a divergence is thrown.

import Interfaces
import Logic
import Machines
import Specs

/// Makes a host's memory of so many frames.
public typealias HostMemoryMaker =
  @Sendable (_ frames: Int, _ limit: ExtentOrder, _ surroundings: any FrameSurroundings) -> (any HostMemory)?

/// Every operation on a host's memory, followed. Domains, frames and pages are the model's numbers.
final class FollowedHostMemory {
  let model: HostMemoryModel
  let oracle: Oracle
  let world: HostMemoryWorld
  let memory: any HostMemory
  let frameCount: Int
  let limit: ExtentOrder

  init(
    _ model: HostMemoryModel, _ oracle: Oracle, frames: Int, limit: ExtentOrder, _ maker: HostMemoryMaker
  ) {
    self.model = model
    self.oracle = oracle
    world = HostMemoryWorld(model)
    frameCount = frames
    self.limit = limit
    guard let memory = maker(frames, limit, world) else {
      preconditionFailure("there is a host of \(frames) frames")
    }
    self.memory = memory
  }

  /// The specification begins with this host.
  func begin() {
    oracle.reset()
    let count = UInt64(frameCount)
    guard oracle.set(model.poolSize, to: count), oracle.set(model.free, to: count),
      oracle.set(model.limit, to: limit.frameCount - 1)
    else { preconditionFailure("a host of \(count) frames is one of the specification's") }
  }

  func id(_ domain: UInt64) -> DomainID { DomainID(UInt16(domain)) }

  /// A part of the specification's state: an entry of a table of one key, or a scalar.
  func state(_ register: Int, _ key: UInt64 = 0) -> UInt64 { oracle.simulator.registers[register + Int(key)] }

  // MARK: The toolstack

  func addDomain(_ domain: UInt64) throws(Divergence) {
    try agree(memory.addDomain(id(domain)) == .okay, model.create, [domain])
  }
  func setMaximum(_ pages: UInt64, of domain: UInt64) throws(Divergence) {
    try take(model.setMaximum, [domain, pages], memory.setMaximum(pages, of: id(domain)))
  }
  func setTarget(_ pages: UInt64, of domain: UInt64) throws(Divergence) {
    try take(model.setTarget, [domain, pages], memory.setTarget(pages, of: id(domain)))
  }
  func claim(_ pages: UInt64, for domain: UInt64) throws(Divergence) {
    try take(model.claim, [domain, pages], memory.claim(pages, for: id(domain)))
  }
  func retire(_ domain: UInt64) {
    memory.retire(id(domain))
    oracle.attempt(model.kill, domain)
  }

  func relinquish(_ domain: UInt64, limit: Int) throws(Divergence) {
    world.isStuck = false
    let isGone = memory.relinquish(id(domain), limit: limit)
    for frame in world.scrubbed { try oracle.take(model.relinquish, [domain, frame]) }
    try scrub()
    if state(model.life, domain) == 2 || isGone { try agree(isGone, model.forget, [domain]) }
  }

  // MARK: Extents

  func increase(_ domain: UInt64, _ order: ExtentOrder) throws(Divergence) {
    let answer = memory.increase(id(domain), order)
    let extent = order.frameCount - 1
    try allocated(answer, domain, extent, model.increase, [domain, extent, answer.base.rawValue])
  }

  func populate(_ domain: UInt64, at first: UInt64, _ order: ExtentOrder) throws(Divergence) {
    let occupied = world.firstOccupied(GuestFrame(first), count: order.frameCount, of: id(domain))
    let answer = memory.populate(id(domain), at: GuestFrame(first), order)
    let extent = order.frameCount - 1
    if answer.status == .occupied {
      guard let occupied else {
        throw oracle.divergence(
          at: model.populateOccupied, [domain, first, extent, first], "nothing is there")
      }
      return try take(model.populateOccupied, [domain, first, extent, occupied], .occupied)
    }
    // Of pages beyond the last both say that there are none; the model's last is not the implementation's.
    try allocated(answer, domain, extent, model.populate, [domain, first, extent, answer.base.rawValue])
  }

  private func allocated(
    _ answer: ExtentAnswer, _ domain: UInt64, _ extent: UInt64, _ action: Int, _ arguments: [UInt64]
  ) throws(Divergence) {
    // In pieces: there must be no free extent of that size.
    if answer.status == .noMemory, extent != 0, freeExtents(extent) == 0 {
      return try take(model.findNoExtent, [domain, extent], .noMemory)
    }
    guard answer.base.rawValue < model.frames else {
      throw oracle.divergence(at: action, [domain, extent, 0], "\(answer.base) is not a frame of the host")
    }
    try take(action, arguments, answer.status)
  }

  /// How many extents of that size are free, by the specification's state.
  private func freeExtents(_ extent: UInt64) -> Int {
    let size = Int(extent) + 1
    return stride(from: 0, to: frameCount - size + 1, by: size).count { base in
      (base..<base + size).allSatisfy { state(model.use, UInt64($0)) == 0 }
    }
  }

  func decrease(_ domain: UInt64, _ frame: UInt64) throws(Divergence) {
    let status = memory.decrease(id(domain), MachineFrame(frame))
    try take(model.decrease, [domain, frame, world.isStuck ? 0 : 1], status)
    try scrub()
  }

  // MARK: Exchange

  func exchange(_ domain: UInt64, _ frames: [UInt64], for order: ExtentOrder) throws(Divergence) {
    let named = frames.map { MachineFrame($0) }
    var bases = named
    let status = named.withUnsafeBufferPointer { named in
      bases.withUnsafeMutableBufferPointer { memory.exchange(id(domain), named, for: order, into: $0) }
    }
    if status == .badOrder {
      guard state(model.life, domain) == 1, order <= limit, UInt64(frames.count) <= limit.frameCount else {
        return
      }
      throw oracle.divergence(at: "exchange of \(frames)", "it is refused without reason")
    }
    try follow(status, domain, order, frames, bases.map(\.rawValue))
  }

  private func follow(
    _ status: BalloonStatus, _ domain: UInt64, _ order: ExtentOrder, _ frames: [UInt64], _ bases: [UInt64]
  ) throws(Divergence) {
    var stolen: [UInt64] = []
    let isUpdated: UInt64 = world.isStuck ? 0 : 1
    for frame in frames {
      // The first that cannot be taken is why there is no exchange.
      if oracle.simulator.run(model.steal, [domain, frame, isUpdated]),
        oracle.simulator.result(0) != HostMemoryModel.result(.okay)
      {
        try take(model.steal, [domain, frame, isUpdated], status)
        for frame in stolen { try oracle.take(model.restore, [domain, frame]) }
        return
      }
      try take(model.steal, [domain, frame, isUpdated], .okay)
      stolen.append(frame)
    }
    if status == .noMemory {
      let isPromised = UInt64(frames.count) > state(model.free) - state(model.promised)
      let isEnough = freeExtents(order.frameCount - 1) << Int(order.rawValue) >= frames.count
      guard isPromised || !isEnough else {
        throw oracle.divergence(at: "exchange of \(frames)", "it is refused, and there is memory")
      }
      for frame in stolen { try oracle.take(model.restore, [domain, frame]) }
      return
    }
    guard status == .okay else {
      throw oracle.divergence(at: "exchange of \(frames)", "it answers \(status) without reason")
    }
    for number in 0..<frames.count >> Int(order.rawValue) {
      try oracle.take(model.replace, [domain, order.frameCount - 1, bases[number]])
    }
    for frame in frames { try oracle.take(model.surrender, [domain, frame]) }
    try scrub()
  }

  // MARK: Frames

  func store(_ domain: UInt64, _ frame: UInt64) { oracle.attempt(model.store, [domain, frame]) }

  func retain(_ frame: UInt64) throws(Divergence) {
    // The implementation's own bound is beyond what the specification counts here.
    guard state(model.useCount, frame) < model.uses - 1 else { return }
    try agree(memory.retain(MachineFrame(frame)), model.retain, [frame])
  }

  /// Ends a use, if there is one.
  func release(_ frame: UInt64) throws(Divergence) {
    guard state(model.useCount, frame) != 0 else { return }
    memory.release(MachineFrame(frame))
    try oracle.take(model.release, frame)
  }

  func entrust(_ frame: UInt64) throws(Divergence) {
    try agree(memory.entrust(MachineFrame(frame)), model.entrust, [frame])
  }

  // MARK: Pieces

  /// What has no answer is done exactly where the specification allows it.
  private func agree(_ isDone: Bool, _ action: Int, _ arguments: [UInt64]) throws(Divergence) {
    guard oracle.attempt(action, arguments) != isDone else { return }
    throw oracle.divergence(
      at: action, arguments, isDone ? "the specification does not allow it" : "it is refused without reason")
  }

  private func take(_ action: Int, _ arguments: [UInt64], _ status: BalloonStatus) throws(Divergence) {
    try oracle.take(action, arguments, expecting: [HostMemoryModel.result(status)])
  }

  /// What the implementation has scrubbed is clean in the specification too.
  private func scrub() throws(Divergence) {
    for frame in world.scrubbed where state(model.isDirty, frame) == 1 { try oracle.take(model.scrub, frame) }
    world.scrubbed.removeAll(keepingCapacity: true)
  }

  // MARK: Comparing

  /// All that can be seen from outside.
  func compare() throws(Divergence) {
    let free = state(model.free)
    try same("free frames", memory.freeFrames, free)
    try same("unclaimed frames", memory.unclaimedFrames, free - state(model.promised))
    for domain in 0..<UInt64(model.domains) {
      let account = memory.account(of: id(domain))
      try same("a domain that is there", account == nil ? 0 : 1, state(model.life, domain) == 0 ? 0 : 1)
      guard let account else { continue }
      try same("a domain's frames", account.owned, state(model.charged, domain) - state(model.owed, domain))
      try same("a domain's maximum", account.maximum, state(model.maximum, domain))
      try same("a domain's target", account.target, state(model.target, domain))
      try same("a domain's claim", account.claimed, state(model.claimed, domain))
    }
    for frame in 0..<UInt64(model.frames) {
      let owner = memory.owner(of: MachineFrame(frame)).map { UInt64($0.rawValue) }
      let isOwned = state(model.use, frame) != 0
      try same("a frame's owner", owner ?? .max, isOwned ? state(model.owner, frame) : .max)
    }
    for place in world.physical.indices {
      let isPresent = state(model.isPresent, UInt64(place)) != 0
      try same(
        "a page's frame", world.physical[place] ?? .max, isPresent ? state(model.frame, UInt64(place)) : .max)
    }
  }

  private func same(_ what: StaticString, _ here: UInt64, _ there: UInt64) throws(Divergence) {
    guard here != there else { return }
    throw oracle.divergence(at: "\(what)", "it is \(here), and \(there) in the specification")
  }
}
