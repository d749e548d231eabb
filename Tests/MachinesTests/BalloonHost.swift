// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// The surroundings of a host's memory, as tests see them: physical memories, and what was scrubbed.
final class BalloonHost: FrameSurroundings {
  struct Page: Hashable {
    let domain: DomainID
    let page: UInt64
  }

  var physical: [Page: MachineFrame] = [:]
  /// Frames that hold somebody's data.
  var dirty: Set<MachineFrame> = []
  /// Whether physical memories can be told nothing.
  var isStuck = false

  func scrub(_ frame: MachineFrame) { dirty.remove(frame) }

  func isVacant(_ first: GuestFrame, count: UInt64, of domain: DomainID) -> Bool {
    (0..<count).allSatisfy { physical[Page(domain: domain, page: first.rawValue + $0)] == nil }
  }

  func map(_ first: GuestFrame, _ base: MachineFrame, count: UInt64, of domain: DomainID) {
    for offset in 0..<count {
      physical[Page(domain: domain, page: first.rawValue + offset)] = MachineFrame(base.rawValue + offset)
    }
  }

  func unmap(_ page: GuestFrame, of domain: DomainID) -> Bool {
    if isStuck { return false }
    physical[Page(domain: domain, page: page.rawValue)] = nil
    return true
  }
}

extension OptimisedHostMemory {
  /// `exchange` of arrays.
  func exchange(_ domain: DomainID, _ frames: [MachineFrame], for order: ExtentOrder)
    -> (status: BalloonStatus, bases: [MachineFrame])
  {
    var bases = frames
    let status = frames.withUnsafeBufferPointer { frames in
      bases.withUnsafeMutableBufferPointer { exchange(domain, frames, for: order, into: $0) }
    }
    return (status, Array(bases.prefix(frames.count >> Int(order.rawValue))))
  }
}
