// SPDX-License-Identifier: Apache-2.0
//
// Memories of a host with bugs planted in them, for the drivers to find.

import Conformance
import Interfaces
import Machines

/// What a planted memory does wrong.
public enum HostMemoryBug: Int, CaseIterable, Sendable {
  /// XSA-252: a frame that is used is given back, and the use ends.
  case dropsUse
  /// A domain may have one page more than its maximum.
  case generous
  /// What is promised to one domain is given to another.
  case promisesTwice
  /// An exchange names an extent that it has not given.
  case misnames
  /// Where the guest's physical memory has something, the host is said to have no more.
  case evasive
  /// A domain is gone as soon as some of what it had is taken back.
  case hasty
  /// Near the end there is said to be no extent, and there is.
  case stingy
  /// Frames are not scrubbed.
  case unscrubbed

  /// Makes memories with the bug.
  public var maker: HostMemoryMaker {
    { frames, limit, surroundings in
      let around = self == .unscrubbed ? Unscrubbed(surroundings) : surroundings
      return OptimisedHostMemory(
        frameCount: frames, limit: limit, domainCount: HostMemories.domainCount, surroundings: around
      ).map { memory in
        switch self {
        case .dropsUse: DroppingMemory(memory)
        case .generous: GenerousMemory(memory)
        case .promisesTwice: PromisingMemory(memory)
        case .misnames: MisnamingMemory(memory)
        case .evasive: EvasiveMemory(memory)
        case .hasty: HastyMemory(memory)
        case .stingy: StingyMemory(memory)
        case .unscrubbed: PlantedMemory(memory)
        }
      }
    }
  }
}

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

/// An exchange names an extent that it has not given.
private final class MisnamingMemory: PlantedMemory {
  override func exchange(
    _ domain: DomainID, _ frames: UnsafeBufferPointer<MachineFrame>, for order: ExtentOrder,
    into bases: UnsafeMutableBufferPointer<MachineFrame>
  ) -> BalloonStatus {
    let status = memory.exchange(domain, frames, for: order, into: bases)
    if status == .okay { bases[0] = frames[0] }
    return status
  }
}

/// Where the guest's physical memory has something, the host is said to have no more.
private final class EvasiveMemory: PlantedMemory {
  override func populate(_ domain: DomainID, at first: GuestFrame, _ order: ExtentOrder) -> ExtentAnswer {
    let answer = memory.populate(domain, at: first, order)
    return answer.status == .occupied ? ExtentAnswer(status: .noMemory) : answer
  }
}

/// A domain is gone as soon as what nobody uses has been taken back.
private final class HastyMemory: PlantedMemory {
  override func relinquish(_ domain: DomainID, limit: Int) -> Bool {
    let before = memory.freeFrames
    return memory.relinquish(domain, limit: limit) || memory.freeFrames != before
  }
}

/// Of what is free in pieces it says that there is too little of it, however small the extent.
private final class StingyMemory: PlantedMemory {
  override func increase(_ domain: DomainID, _ order: ExtentOrder) -> ExtentAnswer {
    let answer = memory.increase(domain, order)
    guard answer.status == .okay, order > .frame, memory.unclaimedFrames < 4 else { return answer }
    for offset in 0..<order.frameCount {
      _ = memory.decrease(domain, MachineFrame(answer.base.rawValue + offset))
    }
    return ExtentAnswer(status: .noMemory)
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
