// SPDX-License-Identifier: Apache-2.0

import Conformance
import Interfaces
import Machines
import Testing

/// A host's memory with a bug.
private class PlantedMemory: HostMemory {
  let memory: OptimisedHostMemory

  init(_ memory: OptimisedHostMemory) { self.memory = memory }

  var freeFrames: UInt64 { memory.freeFrames }
  var unclaimedFrames: UInt64 { memory.unclaimedFrames }
  func addDomain(_ domain: DomainID) -> BalloonStatus { memory.addDomain(domain) }
  func account(of domain: DomainID) -> BalloonAccount? { memory.account(of: domain) }
  func setMaximum(_ pages: UInt64, of domain: DomainID) -> BalloonStatus {
    memory.setMaximum(pages, of: domain)
  }
  func setTarget(_ pages: UInt64, of domain: DomainID) -> BalloonStatus {
    memory.setTarget(pages, of: domain)
  }
  func claim(_ pages: UInt64, for domain: DomainID) -> BalloonStatus { memory.claim(pages, for: domain) }
  func retire(_ domain: DomainID) { memory.retire(domain) }
  func relinquish(_ domain: DomainID, limit: Int) -> Bool { memory.relinquish(domain, limit: limit) }
  func increase(_ domain: DomainID, _ order: ExtentOrder) -> ExtentAnswer { memory.increase(domain, order) }
  func populate(_ domain: DomainID, at first: GuestFrame, _ order: ExtentOrder) -> ExtentAnswer {
    memory.populate(domain, at: first, order)
  }
  func decrease(_ domain: DomainID, _ frame: MachineFrame) -> BalloonStatus { memory.decrease(domain, frame) }
  func exchange(
    _ domain: DomainID, _ frames: UnsafeBufferPointer<MachineFrame>, for order: ExtentOrder,
    into bases: UnsafeMutableBufferPointer<MachineFrame>
  ) -> BalloonStatus { memory.exchange(domain, frames, for: order, into: bases) }
  func owner(of frame: MachineFrame) -> DomainID? { memory.owner(of: frame) }
  func retain(_ frame: MachineFrame) -> Bool { memory.retain(frame) }
  func release(_ frame: MachineFrame) { memory.release(frame) }
  func entrust(_ frame: MachineFrame) -> Bool { memory.entrust(frame) }
}

/// XSA-252: decrease drops a use that the guest did not ask to drop.
private final class DroppingMemory: PlantedMemory {
  override func decrease(_ domain: DomainID, _ frame: MachineFrame) -> BalloonStatus {
    let status = memory.decrease(domain, frame)
    guard status == .busy else { return status }
    memory.release(frame)
    return memory.decrease(domain, frame)
  }
}

/// A maximum is one page too large.
private final class GenerousMemory: PlantedMemory {
  override func increase(_ domain: DomainID, _ order: ExtentOrder) -> ExtentAnswer {
    let maximum = memory.account(of: domain)?.maximum ?? 0
    _ = memory.setMaximum(maximum + 1, of: domain)
    defer { _ = memory.setMaximum(maximum, of: domain) }
    return memory.increase(domain, order)
  }
}

/// A promise is given twice: it is taken back while another domain claims.
private final class PromisingMemory: PlantedMemory {
  override func increase(_ domain: DomainID, _ order: ExtentOrder) -> ExtentAnswer {
    let other = DomainID(domain.rawValue ^ 1)
    if memory.account(of: other)?.claimed ?? 0 != 0 { _ = memory.claim(0, for: other) }
    return memory.increase(domain, order)
  }
}

/// Frames are not scrubbed.
private final class Unscrubbed: FrameSurroundings {
  let surroundings: any FrameSurroundings
  init(_ surroundings: any FrameSurroundings) { self.surroundings = surroundings }
  func scrub(_ frame: MachineFrame) {}
  func isVacant(_ first: GuestFrame, count: UInt64, of domain: DomainID) -> Bool {
    surroundings.isVacant(first, count: count, of: domain)
  }
  func map(_ first: GuestFrame, _ base: MachineFrame, count: UInt64, of domain: DomainID) {
    surroundings.map(first, base, count: count, of: domain)
  }
  func unmap(_ page: GuestFrame, of domain: DomainID) -> Bool { surroundings.unmap(page, of: domain) }
}

@Suite("A host's memory and its specification") struct HostMemoryTests {
  @Test("agree", arguments: [1, 2] as [UInt64])
  func agrees(seed: UInt64) {
    let report = RandomDriver(.hostMemory(), seed: seed, length: 1024).run(operations: 10_000)
    #expect(report.operations >= 10_000 && report.steps > 5000)
    #expect(report.failure == nil, "\(report.failure.map { "\($0.divergence)" } ?? "")")
  }

  private static let planted: [@Sendable (OptimisedHostMemory) -> any HostMemory] = [
    { DroppingMemory($0) }, { GenerousMemory($0) }, { PromisingMemory($0) },
  ]

  @Test("are told apart where there is a bug", arguments: 0..<4)
  func finds(bug: Int) {
    let trial = Trial.hostMemory { frames, limit, surroundings in
      if bug == 3 {
        return OptimisedHostMemory(
          frameCount: frames, limit: limit, surroundings: Unscrubbed(surroundings))
      }
      return OptimisedHostMemory(frameCount: frames, limit: limit, surroundings: surroundings)
        .map(Self.planted[bug])
    }
    #expect(RandomDriver(trial, seed: 1, length: 1024).run(operations: 20_000).failure != nil)
  }
}
