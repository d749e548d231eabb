// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// Makes a host's memory of so many frames.
public typealias HostMemoryMaker =
  @Sendable (_ frames: Int, _ limit: ExtentOrder, _ surroundings: any FrameSurroundings) -> (any HostMemory)?

extension Trial {
  /// A host's memory against its specification: a few domains that ask for anything, stores, uses, deaths; after every
  /// operation all that can be seen from outside is compared.
  public static func hostMemory(
    _ maker: @escaping HostMemoryMaker = {
      OptimisedHostMemory(frameCount: $0, limit: $1, surroundings: $2)
    }
  ) -> Trial {
    Trial("Balloon", makeRunner: { HostMemoryPlay(maker).run })
  }
}

/// One sequence of operations.
private final class HostMemoryPlay {
  private let model = HostMemoryModel.small
  private let maker: HostMemoryMaker
  private let world = HostMemoryWorld()
  private let oracle: Oracle
  private var memory: any HostMemory
  private var choices = Choices([])
  private var outcome = TrialOutcome()
  private var frameCount = 0

  init(_ maker: @escaping HostMemoryMaker) {
    self.maker = maker
    oracle = Oracle(model.programs)
    guard let memory = maker(1, .frame, world) else { preconditionFailure("there is no host of one frame") }
    self.memory = memory
  }

  func run(_ bytes: [UInt8]) -> TrialOutcome {
    outcome = TrialOutcome()
    let stepsBefore = oracle.stepCount
    choices = Choices(bytes)
    begin()
    do throws(Divergence) {
      while !choices.areExhausted {
        world.isStuck = choices.oneIn(16)
        try operate()
        outcome.operations += 1
        try compare()
      }
    } catch {
      outcome.divergence = error
    }
    outcome.steps = oracle.stepCount - stepsBefore
    return outcome
  }

  /// Any size, any limit.
  private func begin() {
    oracle.reset()
    world.reset()
    frameCount = 1 + choices.pick(HostMemoryModel.frames)
    let limit = ExtentOrder(UInt8(choices.pick(5)))
    guard let memory = maker(frameCount, limit, world),
      oracle.set(model.poolSize, to: UInt64(frameCount)), oracle.set(model.limit, to: limit.frameCount - 1)
    else { preconditionFailure("there is a host of \(frameCount) frames") }
    self.memory = memory
  }

  // MARK: Choosing

  private func number() -> UInt64 { UInt64(choices.pick(HostMemoryModel.domains)) }
  private func id(_ domain: UInt64) -> DomainID { DomainID(UInt16(domain)) }
  private func anyFrame() -> UInt64 { UInt64(choices.pick(HostMemoryModel.frames)) }
  /// Of a domain, mostly.
  private func frame(of domain: UInt64) -> UInt64 {
    let start = choices.pick(HostMemoryModel.frames)
    if choices.oneIn(4) { return UInt64(start) }
    let all = (0..<HostMemoryModel.frames).map { ($0 + start) % HostMemoryModel.frames }
    return UInt64(all.first { memory.owner(of: MachineFrame(UInt64($0))) == id(domain) } ?? start)
  }
  private func order() -> ExtentOrder { ExtentOrder(UInt8(choices.pick(6))) }
  private func state(_ register: Int, _ key: UInt64 = 0) -> UInt64 { oracle.simulator[register + Int(key)] }

  // MARK: Operations

  private func operate() throws(Divergence) {
    let domain = number()
    switch choices.pick(24) {
    case 0, 1: try agree(memory.addDomain(id(domain)) == .okay, model.create, [domain])
    case 2, 3: try number(model.setMaximum, domain) { memory.setMaximum($0, of: id(domain)) }
    case 4: try number(model.setTarget, domain) { memory.setTarget($0, of: id(domain)) }
    case 5: try number(model.claim, domain) { memory.claim($0, for: id(domain)) }
    case 6...8: try increase(domain, order())
    case 9...11: try populate(domain, UInt64(choices.pick(HostMemoryModel.pages / 2)), order())
    case 12, 13: try decrease(domain, frame(of: domain))
    case 14, 15: try exchange(domain, order())
    case 16: try kill(domain)
    case 17, 18: try relinquish(domain)
    case 19: _ = oracle.attempt(model.store, [domain, frame(of: domain)])
    case 20, 21: try retain(frame(of: domain))
    case 22: try release()
    default:
      let frame = frame(of: domain)
      if choices.oneIn(4) { try agree(memory.entrust(MachineFrame(frame)), model.entrust, [frame]) }
    }
  }

  /// What has no answer is done exactly where the specification allows it.
  private func agree(_ isDone: Bool, _ action: Int, _ arguments: [UInt64]) throws(Divergence) {
    guard oracle.attempt(action, arguments) != isDone else { return }
    throw oracle.divergence(
      at: action, arguments, isDone ? "the specification does not allow it" : "it is refused without reason")
  }

  private func take(_ action: Int, _ arguments: [UInt64], _ status: BalloonStatus) throws(Divergence) {
    try oracle.take(action, arguments, expecting: [HostMemoryModel.result(status)])
  }

  private func number(_ action: Int, _ domain: UInt64, _ body: (UInt64) -> BalloonStatus) throws(Divergence) {
    let pages = UInt64(choices.pick(choices.bit() ? 64 : 128))
    try take(action, [domain, pages], body(pages))
  }

  private func increase(_ domain: UInt64, _ order: ExtentOrder) throws(Divergence) {
    let answer = memory.increase(id(domain), order)
    let extent = order.frameCount - 1
    try allocated(answer, domain, extent, model.increase, [domain, extent, answer.base.rawValue])
  }

  private func populate(_ domain: UInt64, _ first: UInt64, _ order: ExtentOrder) throws(Divergence) {
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
    try allocated(answer, domain, extent, model.populate, [domain, first, extent, answer.base.rawValue])
  }

  private func allocated(
    _ answer: ExtentAnswer, _ domain: UInt64, _ extent: UInt64, _ action: Int, _ arguments: [UInt64]
  ) throws(Divergence) {
    // In pieces: there must be no free extent of that size.
    if answer.status == .noMemory, extent != 0, !hasFreeExtent(extent) {
      return try take(model.findNoExtent, [domain, extent], .noMemory)
    }
    guard answer.base.rawValue < HostMemoryModel.frames else {
      throw oracle.divergence(at: action, [domain, extent, 0], "\(answer.base) is not a frame of the host")
    }
    try take(action, arguments, answer.status)
  }

  /// By the specification's state.
  private func hasFreeExtent(_ extent: UInt64) -> Bool {
    stride(from: 0, to: UInt64(frameCount), by: Int(extent) + 1).contains { base in
      base + extent < frameCount && (base...base + extent).allSatisfy { state(model.use, $0) == 0 }
    }
  }

  private func decrease(_ domain: UInt64, _ frame: UInt64) throws(Divergence) {
    let status = memory.decrease(id(domain), MachineFrame(frame))
    try take(model.decrease, [domain, frame, world.isStuck ? 0 : 1], status)
    try scrub()
  }

  private func exchange(_ domain: UInt64, _ order: ExtentOrder) throws(Divergence) {
    let count = Int(order.frameCount) * (1 + choices.pick(2))
    let wanted = (0..<count).map { _ in MachineFrame(frame(of: domain)) }
    // Frames one after another, so that there are some that can be exchanged.
    let row = (0..<UInt64(HostMemoryModel.frames)).map { MachineFrame($0) }.filter {
      memory.owner(of: $0) == id(domain)
    }
    let frames = choices.bit() && row.count >= count ? Array(row.prefix(count)) : wanted
    var bases = frames
    let status = frames.withUnsafeBufferPointer { frames in
      bases.withUnsafeMutableBufferPointer { memory.exchange(id(domain), frames, for: order, into: $0) }
    }
    if status == .badOrder {
      guard state(model.life, domain) == 1, UInt64(count) <= state(model.limit) + 1 else { return }
      throw oracle.divergence(at: "exchange of \(count) frames", "it is refused without reason")
    }
    try follow(status, domain, order, frames.map(\.rawValue), bases.map(\.rawValue))
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
      let isPromised = UInt64(frames.count) > free - state(model.promised)
      guard isPromised || freeExtents(order) << Int(order.rawValue) < frames.count else {
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

  private var free: UInt64 { UInt64(frameCount) - state(model.held) }

  private func freeExtents(_ order: ExtentOrder) -> Int {
    let size = Int(order.frameCount)
    return stride(from: 0, to: frameCount - size + 1, by: size).count { base in
      (base..<base + size).allSatisfy { state(model.use, UInt64($0)) == 0 }
    }
  }

  private func kill(_ domain: UInt64) throws(Divergence) {
    guard choices.oneIn(4) else { return }
    memory.retire(id(domain))
    oracle.attempt(model.kill, domain)
  }

  private func relinquish(_ domain: UInt64) throws(Divergence) {
    world.isStuck = false
    let isGone = memory.relinquish(id(domain), limit: 1 + choices.pick(8))
    for frame in world.scrubbed { try oracle.take(model.relinquish, [domain, frame]) }
    try scrub()
    if state(model.life, domain) == 2 || isGone { try agree(isGone, model.forget, [domain]) }
  }

  private func retain(_ frame: UInt64) throws(Divergence) {
    // The implementation's own bound is beyond what the specification counts here.
    guard state(model.useCount, frame) < HostMemoryModel.uses - 1 else { return }
    try agree(memory.retain(MachineFrame(frame)), model.retain, [frame])
  }

  private func release() throws(Divergence) {
    let start = anyFrame()
    for offset in 0..<UInt64(HostMemoryModel.frames) {
      let frame = (start + offset) % UInt64(HostMemoryModel.frames)
      guard state(model.useCount, frame) != 0 else { continue }
      memory.release(MachineFrame(frame))
      return try oracle.take(model.release, frame)
    }
  }

  /// What the implementation has scrubbed is clean in the specification too.
  private func scrub() throws(Divergence) {
    for frame in world.scrubbed where state(model.isDirty, frame) == 1 { try oracle.take(model.scrub, frame) }
    world.scrubbed.removeAll(keepingCapacity: true)
  }

  // MARK: Comparing

  private func compare() throws(Divergence) {
    try same("free frames", memory.freeFrames, free)
    try same("unclaimed frames", memory.unclaimedFrames, free - state(model.promised))
    for domain in 0..<UInt64(HostMemoryModel.domains) {
      let account = memory.account(of: id(domain))
      try same("domain \(domain) is there", account == nil ? 0 : 1, state(model.life, domain) == 0 ? 0 : 1)
      guard let account else { continue }
      try same("owned by \(domain)", account.owned, state(model.owned, domain))
      try same("maximum of \(domain)", account.maximum, state(model.maximum, domain))
      try same("target of \(domain)", account.target, state(model.target, domain))
      try same("claimed by \(domain)", account.claimed, state(model.claimed, domain))
    }
    for frame in 0..<UInt64(HostMemoryModel.frames) {
      let owner = memory.owner(of: MachineFrame(frame)).map { UInt64($0.rawValue) }
      let isOwned = state(model.use, frame) != 0
      try same("owner of frame \(frame)", owner ?? .max, isOwned ? state(model.owner, frame) : .max)
    }
    for (place, frame) in world.physical.enumerated() {
      let isPresent = state(model.isPresent, UInt64(place)) != 0
      try same("page \(place)", frame ?? .max, isPresent ? state(model.frame, UInt64(place)) : .max)
    }
  }

  private func same(_ what: String, _ here: UInt64, _ there: UInt64) throws(Divergence) {
    guard here != there else { return }
    throw oracle.divergence(at: what, "it is \(here), and \(there) in the specification")
  }
}
