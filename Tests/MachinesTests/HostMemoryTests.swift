// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@Suite("A host's memory") struct HostMemoryTests {
  private static let (one, two) = (DomainID(1), DomainID(2))
  private let host = BalloonHost()

  /// A host whose domains 1 and 2 may have all of it.
  private func memory(frames: Int = 16, limit: UInt8 = 3) throws -> OptimisedHostMemory {
    let memory = try #require(
      OptimisedHostMemory(frameCount: frames, limit: ExtentOrder(limit), surroundings: host))
    for domain in [Self.one, Self.two] {
      #expect(memory.addDomain(domain) == .okay)
      #expect(memory.setMaximum(.max, of: domain) == .okay)
    }
    return memory
  }

  private func frame(_ memory: OptimisedHostMemory, _ domain: DomainID = one) throws -> MachineFrame {
    let answer = memory.increase(domain, .frame)
    try #require(answer.status == .okay)
    return answer.base
  }

  @Test("begins within the sizes that it has")
  func beginnings() {
    #expect(OptimisedHostMemory(frameCount: 0, limit: .frame, surroundings: host) == nil)
    #expect(OptimisedHostMemory(frameCount: Int(UInt32.max), limit: .frame, surroundings: host) == nil)
    #expect(OptimisedHostMemory(frameCount: 1, limit: ExtentOrder(21), surroundings: host) == nil)
  }

  @Test("is handed out in aligned extents, all of it, and joined again", arguments: [15, 16, 21, 64])
  func extents(frames: Int) throws {
    let memory = try memory(frames: frames)
    var taken: Set<MachineFrame> = []
    for order in [2, 0, 3, 1, 0] as [UInt8] {
      let answer = memory.increase(Self.one, ExtentOrder(order))
      guard answer.status == .okay else { continue }
      #expect(answer.base.rawValue % ExtentOrder(order).frameCount == 0)
      for offset in 0..<ExtentOrder(order).frameCount {
        #expect(taken.insert(MachineFrame(answer.base.rawValue + offset)).inserted)
      }
    }
    while case let answer = memory.increase(Self.one, .frame), answer.status == .okay {
      #expect(taken.insert(answer.base).inserted)
    }
    #expect(taken.count == frames && memory.freeFrames == 0)
    #expect(taken.allSatisfy { $0.rawValue < UInt64(frames) && memory.owner(of: $0) == Self.one })
    #expect(memory.increase(Self.two, .frame).status == .noMemory)
    for frame in taken { #expect(memory.decrease(Self.one, frame) == .okay) }
    var whole = 0
    while memory.increase(Self.two, ExtentOrder(3)).status == .okay { whole += 1 }
    #expect(whole == frames / 8)
  }

  @Test("has no extent where what is free is in pieces")
  func pieces() throws {
    let memory = try memory(frames: 4)
    let all = try (0..<4).map { _ in try frame(memory) }
    #expect(memory.decrease(Self.one, MachineFrame(0)) == .okay)
    #expect(memory.decrease(Self.one, MachineFrame(2)) == .okay)
    #expect(memory.freeFrames == 2 && all.count == 4)
    #expect(memory.increase(Self.one, ExtentOrder(1)).status == .noMemory)
    #expect(memory.increase(Self.one, ExtentOrder(4)).status == .badOrder)
  }

  @Test("gives a domain no more than its maximum, however large the numbers")
  func maximum() throws {
    let memory = try memory()
    #expect(memory.setMaximum(2, of: Self.one) == .okay)
    #expect(memory.setTarget(3, of: Self.one) == .overMaximum)
    #expect(memory.setTarget(2, of: Self.one) == .okay)
    #expect(memory.increase(Self.one, ExtentOrder(2)).status == .overMaximum)
    #expect(memory.increase(Self.one, ExtentOrder(1)).status == .okay)
    #expect(memory.increase(Self.one, .frame).status == .overMaximum)
    #expect(memory.setMaximum(1, of: Self.one) == .okay)
    #expect(memory.increase(Self.one, .frame).status == .overMaximum)
    #expect(memory.account(of: Self.one)?.owned == 2 && memory.account(of: Self.one)?.target == 1)
    #expect(memory.increase(Self.two, .frame).status == .okay)
    #expect(memory.claim(.max, for: Self.two) == .noMemory)
  }

  @Test("is never promised twice")
  func claims() throws {
    let memory = try memory()
    let kept = try frame(memory)
    #expect(memory.claim(1, for: Self.one) == .invalid)
    #expect(memory.claim(13, for: Self.one) == .okay)
    #expect(memory.unclaimedFrames == 3 && memory.freeFrames == 15)
    #expect(memory.claim(13, for: Self.one) == .busy)
    #expect(memory.claim(4, for: Self.two) == .noMemory)
    #expect(memory.increase(Self.two, ExtentOrder(2)).status == .noMemory)
    #expect(memory.exchange(Self.one, [kept], for: .frame).status == .okay)
    #expect(memory.account(of: Self.one)?.claimed == 12)
    #expect(memory.increase(Self.one, ExtentOrder(2)).status == .okay)
    #expect(memory.account(of: Self.one)?.claimed == 8 && memory.unclaimedFrames == 3)
    memory.retire(Self.one)
    #expect(memory.unclaimedFrames == 11)
    #expect(memory.claim(3, for: Self.two) == .okay && memory.claim(0, for: Self.two) == .okay)
    #expect(memory.unclaimedFrames == 11)
  }

  @Test("takes no frame back that is another's, in use, special, or that cannot be unmapped")
  func refusals() throws {
    let memory = try memory()
    let mapped = memory.populate(Self.one, at: GuestFrame(7), .frame)
    #expect(mapped.status == .okay && host.physical.count == 1)
    #expect(memory.populate(Self.one, at: GuestFrame(6), ExtentOrder(1)).status == .occupied)
    #expect(memory.populate(Self.one, at: GuestFrame(1 << 32 - 1), ExtentOrder(1)).status == .badFrame)
    #expect(memory.populate(Self.one, at: GuestFrame(.max), .frame).status == .badFrame)
    #expect(memory.decrease(Self.two, mapped.base) == .badFrame)
    #expect(memory.decrease(Self.one, MachineFrame(.max)) == .badFrame)
    #expect(memory.decrease(DomainID.firstReserved, mapped.base) == .noDomain)
    #expect(memory.retain(mapped.base) && memory.decrease(Self.one, mapped.base) == .busy)
    memory.release(mapped.base)
    host.isStuck = true
    #expect(
      memory.decrease(Self.one, mapped.base) == .notUpdated && memory.owner(of: mapped.base) == Self.one)
    host.isStuck = false
    let special = try frame(memory)
    #expect(memory.entrust(special) && memory.decrease(Self.one, special) == .busy)
    #expect(memory.decrease(Self.one, mapped.base) == .okay && host.physical.isEmpty)
    #expect(!memory.retain(mapped.base) && !memory.entrust(mapped.base))
  }

  @Test("counts so many uses of a frame and no more")
  func uses() throws {
    let memory = try memory()
    let frame = try frame(memory)
    for _ in 0..<maximumFrameReferences { #expect(memory.retain(frame)) }
    #expect(!memory.retain(frame))
  }

  @Test("exchanges all frames or none")
  func exchange() throws {
    let memory = try memory()
    var frames = try (0..<8).map { _ in try frame(memory) }
    let own = Set(frames)
    func isUnchanged() -> Bool {
      own.allSatisfy { memory.owner(of: $0) == Self.one } && memory.account(of: Self.one)?.owned == 8
        && memory.freeFrames == 8
    }
    #expect(
      memory.exchange(Self.one, [frames[0], frames[1], frames[0], frames[2]], for: .frame).status == .badFrame
    )
    #expect(isUnchanged())
    #expect(memory.retain(frames[3]))
    #expect(memory.exchange(Self.one, Array(frames[0..<4]), for: ExtentOrder(2)).status == .busy)
    memory.release(frames[3])
    #expect(isUnchanged())
    #expect(memory.exchange(Self.one, Array(frames[0..<3]), for: ExtentOrder(1)).status == .badOrder)
    #expect(memory.exchange(Self.one, [], for: .frame).status == .badOrder)
    #expect(isUnchanged())
    let (status, bases) = memory.exchange(Self.one, Array(frames[0..<4]), for: ExtentOrder(2))
    #expect(status == .okay && bases.count == 1 && bases[0].rawValue % 4 == 0)
    #expect(memory.account(of: Self.one)?.owned == 8 && memory.freeFrames == 8)
    #expect(frames[0..<4].allSatisfy { memory.owner(of: $0) == nil })
    // With too little free that is not promised, all is as it was.
    #expect(memory.claim(6, for: Self.two) == .okay)
    frames = [0, 1, 2, 3].map { MachineFrame(bases[0].rawValue + $0) }
    #expect(memory.exchange(Self.one, frames, for: ExtentOrder(2)).status == .noMemory)
    #expect(frames.allSatisfy { memory.owner(of: $0) == Self.one } && memory.freeFrames == 8)
  }

  @Test("gets back a dead domain's frames bit by bit, those in use when they are no more")
  func relinquish() throws {
    let memory = try memory()
    let frames = try (0..<8).map { _ in try frame(memory) }
    host.dirty = Set(frames)
    for frame in frames.suffix(3) { #expect(memory.retain(frame)) }
    #expect(!memory.relinquish(Self.one, limit: 100) && memory.freeFrames == 8)
    memory.retire(Self.one)
    #expect(memory.increase(Self.one, .frame).status == .noDomain)
    var calls = 0
    while memory.freeFrames < 13 {
      #expect(!memory.relinquish(Self.one, limit: 2))
      calls += 1
      try #require(calls < 10, "frames in use keep others from being taken back")
    }
    for _ in 0..<5 { #expect(!memory.relinquish(Self.one, limit: 2)) }
    for frame in frames.suffix(3) { memory.release(frame) }
    while !memory.relinquish(Self.one, limit: 2) { calls += 1; try #require(calls < 20) }
    #expect(memory.freeFrames == 16 && host.dirty.isEmpty && memory.account(of: Self.one) == nil)
    #expect(memory.addDomain(Self.one) == .okay && memory.account(of: Self.one) == BalloonAccount())
  }
}
