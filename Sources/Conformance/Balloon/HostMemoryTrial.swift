// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension Trial {
  /// A host's memory against its specification: a few domains that ask for anything, stores, uses, deaths; after every
  /// operation all that can be seen from outside is compared.
  public static func hostMemory(_ maker: @escaping HostMemoryMaker = HostMemories.optimised) -> Trial {
    Trial("Balloon", makeRunner: { _ in HostMemoryPlay(maker).run })
  }
}

/// The implementation that stands for the specification.
public enum HostMemories {
  public static let optimised: HostMemoryMaker = {
    OptimisedHostMemory(frameCount: $0, limit: $1, domainCount: domainCount, surroundings: $2)
  }
  /// More than any comparison has; what a real host has room for takes long to begin.
  public static let domainCount = 8
}

/// One sequence of operations.
private final class HostMemoryPlay {
  private let model = HostMemoryModel.random
  private let maker: HostMemoryMaker
  private let oracle: Oracle
  private var host: FollowedHostMemory
  private var choices = Choices([])

  init(_ maker: @escaping HostMemoryMaker) {
    self.maker = maker
    oracle = Oracle(model.programs)
    host = FollowedHostMemory(model, oracle, frames: 1, limit: .frame, maker)
  }

  func run(_ bytes: [UInt8]) -> TrialOutcome {
    var outcome = TrialOutcome()
    let stepsBefore = oracle.stepCount
    choices = Choices(bytes)
    // Any size, any limit.
    let frames = 1 + choices.pick(model.frames)
    host = FollowedHostMemory(
      model, oracle, frames: frames, limit: ExtentOrder(UInt8(choices.pick(5))), maker)
    host.begin()
    do throws(Divergence) {
      if choices.bit() { try settle() }
      while !choices.areExhausted {
        host.world.isStuck = choices.oneIn(16)
        try operate()
        outcome.operations += 1
        try host.compare()
      }
    } catch {
      outcome.divergence = error
    }
    outcome.steps = oracle.stepCount - stepsBefore
    return outcome
  }

  /// All domains are there and may have everything; together they have half of the host.
  private func settle() throws(Divergence) {
    for domain in 0..<UInt64(model.domains) {
      try host.addDomain(domain)
      try host.setMaximum(UInt64(host.frameCount), of: domain)
      for _ in 0..<host.frameCount / (2 * model.domains) { try host.increase(domain, .frame) }
    }
    try host.compare()
  }

  // MARK: Choosing

  private func pages() -> UInt64 {
    let numbers = Int(model.numbers)
    return UInt64(choices.pick(choices.bit() ? numbers / 2 : numbers))
  }
  private func order() -> ExtentOrder { ExtentOrder(UInt8(choices.pick(6))) }
  /// Of a domain, mostly.
  private func frame(of domain: UInt64) -> UInt64 {
    let start = choices.pick(model.frames)
    if choices.oneIn(4) { return UInt64(start) }
    let all = (0..<model.frames).lazy.map { UInt64(($0 + start) % self.model.frames) }
    return all.first { isOwned($0, by: domain) } ?? UInt64(start)
  }
  private func isOwned(_ frame: UInt64, by domain: UInt64) -> Bool {
    host.state(model.use, frame) != 0 && host.state(model.owner, frame) == domain
  }

  private func operate() throws(Divergence) {
    let domain = UInt64(choices.pick(model.domains))
    switch choices.pick(24) {
    case 0, 1: try host.addDomain(domain)
    case 2, 3: try host.setMaximum(pages(), of: domain)
    case 4: try host.setTarget(pages(), of: domain)
    case 5: try host.claim(pages(), for: domain)
    case 6...8: try host.increase(domain, order())
    case 9...11: try host.populate(domain, at: UInt64(choices.pick(model.pages / 2)), order())
    case 12, 13: try host.decrease(domain, frame(of: domain))
    case 14, 15: try exchange(domain, order())
    case 16: if choices.oneIn(4) { host.retire(domain) }
    case 17, 18: try host.relinquish(domain, limit: 1 + choices.pick(8))
    case 19: host.store(domain, frame(of: domain))
    case 20, 21: try host.retain(frame(of: domain))
    case 22: try release()
    default:
      let frame = frame(of: domain)
      if choices.oneIn(4) { try host.entrust(frame) }
    }
  }

  private func exchange(_ domain: UInt64, _ order: ExtentOrder) throws(Divergence) {
    let count = Int(order.frameCount) * (1 + choices.pick(2))
    let wanted = (0..<count).map { _ in frame(of: domain) }
    // Frames one after another, so that there are some that can be exchanged.
    let row = (0..<UInt64(model.frames)).filter { isOwned($0, by: domain) }
    let isRow = choices.bit() && row.count >= count
    try host.exchange(domain, isRow ? Array(row.prefix(count)) : wanted, for: order)
  }

  private func release() throws(Divergence) {
    let start = choices.pick(model.frames)
    for offset in 0..<model.frames {
      let frame = UInt64((start + offset) % model.frames)
      if host.state(model.useCount, frame) != 0 { return try host.release(frame) }
    }
  }
}
