// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

/// Random operations of hostile domains; after each, the rules of Specs/Balloon as far as they can be seen from outside.
@Suite("A host's memory under random operations") struct HostMemoryRandomTests {
  private final class Run {
    let host = BalloonHost()
    let memory: OptimisedHostMemory
    let frameCount: UInt64 = 64
    let domains = [DomainID(1), DomainID(2), DomainID(3)]
    /// Whose each frame is, as the answers say.
    var owners: [MachineFrame: DomainID] = [:]
    var uses: [MachineFrame: Int] = [:]
    var dying: Set<DomainID> = []
    /// How often each answer was given.
    var answers: [BalloonStatus: Int] = [:]
    private var state: UInt64

    init(seed: UInt64) throws {
      memory = try #require(
        OptimisedHostMemory(frameCount: Int(frameCount), limit: ExtentOrder(4), surroundings: host))
      state = seed
      for domain in domains { begin(domain) }
    }

    func begin(_ domain: DomainID) {
      #expect(memory.addDomain(domain) == .okay)
      #expect(memory.setMaximum(pick(40), of: domain) == .okay)
    }

    /// A number below `limit`.
    func pick(_ limit: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % limit
    }

    func anyFrame() -> MachineFrame { MachineFrame(pick(frameCount + 1)) }

    func note(_ status: BalloonStatus) { answers[status, default: 0] += 1 }

    func took(_ answer: ExtentAnswer, _ order: ExtentOrder, _ domain: DomainID) {
      note(answer.status)
      if answer.status == .okay { took(answer.base, order, domain) }
    }

    func took(_ base: MachineFrame, _ order: ExtentOrder, _ domain: DomainID) {
      #expect(base.rawValue & (order.frameCount - 1) == 0)
      for offset in 0..<order.frameCount {
        let frame = MachineFrame(base.rawValue + offset)
        #expect(owners.updateValue(domain, forKey: frame) == nil, "a frame is handed out twice")
        #expect(!host.dirty.contains(frame), "a frame is handed out with somebody's data")
        host.dirty.insert(frame)
      }
    }

    func step() {
      let domain = domains[Int(pick(3))]
      let order = ExtentOrder(UInt8(pick(6)))
      host.isStuck = pick(20) == 0
      switch pick(12) {
      case 0, 1: took(memory.increase(domain, order), order, domain)
      case 2, 3: took(memory.populate(domain, at: GuestFrame(pick(64)), order), order, domain)
      case 4, 5:
        let frame = anyFrame()
        let status = memory.decrease(domain, frame)
        note(status)
        if status == .okay { #expect(owners.removeValue(forKey: frame) == domain) }
      case 6: exchange(domain, order)
      case 7: note(memory.setMaximum(pick(64), of: domain))
      case 8: note(memory.claim(pick(3) == 0 ? 0 : pick(64), for: domain))
      case 9:
        let frame = anyFrame()
        if memory.retain(frame) { uses[frame, default: 0] += 1 }
      case 10:
        if let frame = uses.keys.min() {
          memory.release(frame)
          uses[frame] = uses[frame].flatMap { $0 == 1 ? nil : $0 - 1 }
        }
      default: die(domain)
      }
      check()
    }

    private func exchange(_ domain: DomainID, _ order: ExtentOrder) {
      let own = owners.filter { $0.value == domain }.keys.sorted()
      let count = Int(order.frameCount) * (1 + Int(pick(2)))
      var frames = (0..<count).map { own.isEmpty ? anyFrame() : own[($0 + Int(pick(2))) % own.count] }
      if pick(2) == 0 { frames = Array(own.prefix(count)) }
      let (status, bases) = memory.exchange(domain, frames, for: order)
      note(status)
      guard status == .okay else { return }
      for frame in frames { #expect(owners.removeValue(forKey: frame) == domain) }
      for base in bases { took(base, order, domain) }
    }

    private func die(_ domain: DomainID) {
      if !dying.contains(domain) {
        guard pick(20) == 0 else { return }
        memory.retire(domain)
        dying.insert(domain)
      }
      host.isStuck = false
      let isGone = memory.relinquish(domain, limit: 5)
      for (frame, owner) in owners where owner == domain && memory.owner(of: frame) == nil {
        owners[frame] = nil
        #expect(uses[frame] == nil, "a frame is taken back while it is in use")
      }
      guard isGone else { return }
      dying.remove(domain)
      #expect(!owners.values.contains(domain))
      begin(domain)
    }

    private func check() {
      #expect(memory.freeFrames == frameCount - UInt64(owners.count))
      var promised: UInt64 = 0
      for domain in domains {
        guard let account = memory.account(of: domain) else { continue }
        #expect(account.owned == UInt64(owners.values.count { $0 == domain }))
        #expect(account.target <= account.maximum)
        promised += account.claimed
      }
      #expect(promised <= memory.freeFrames && memory.unclaimedFrames == memory.freeFrames - promised)
      for (frame, owner) in owners { #expect(memory.owner(of: frame) == owner) }
      for (page, frame) in host.physical { #expect(owners[frame] == page.domain) }
      for frame in uses.keys { #expect(owners[frame] != nil) }
    }
  }

  @Test("keeps its rules", arguments: [1, 2, 3] as [UInt64])
  func rules(seed: UInt64) throws {
    let run = try Run(seed: seed)
    for _ in 0..<4000 { run.step() }
    // Every answer that there is was given, or the rules were kept by doing nothing.
    let missing = BalloonStatus.allCases.filter { run.answers[$0] == nil }
    #expect(missing.isEmpty, "never answered: \(missing)")
    #expect((run.answers[.okay] ?? 0) > 500)
  }
}
