// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What an exhaustive comparison of a host's memory is about: a small host, and the calls that are made on it.
public struct HostMemoryScope: Sendable {
  let name: String
  let model: HostMemoryModel
  let limit: ExtentOrder
  let calls: [Call]

  struct Call: Sendable {
    let make: @Sendable (FollowedHostMemory) throws(Divergence) -> Void
    init(_ make: @escaping @Sendable (FollowedHostMemory) throws(Divergence) -> Void) { self.make = make }
  }

  private static let pair = ExtentOrder(1)
  private static let four = ExtentOrder(2)

  public static let all = [pages, domains, extents]

  /// Physical memory, uses, what is kept, what cannot be told.
  static let pages = HostMemoryScope(
    name: "one domain, two frames, two pages, extents to two frames",
    model: HostMemoryModel(domains: 1, frames: 2, pages: 2, uses: 2, numbers: 8), limit: pair,
    calls: lives([0]) + maxima([1, 2], of: 0) + [Call { (h) throws(Divergence) in try h.setTarget(2, of: 0) }]
      + extents([.frame, pair, four], of: 0) + frames(2, of: 0)
      + exchanges([[0], [1]], for: .frame) + exchanges([[0, 1], [1, 1]], for: pair)
      + [(0, .frame), (1, .frame), (0, pair)].map { (first: UInt64, order: ExtentOrder) in
        Call { (h) throws(Divergence) in try h.populate(0, at: first, order) }
      }
      + (0..<2).flatMap { (frame: UInt64) in
        [
          Call { (h) throws(Divergence) in
            h.world.isStuck = true
            try h.decrease(0, frame)
          },
          Call { (h) throws(Divergence) in try h.retain(frame) },
          Call { (h) throws(Divergence) in try h.release(frame) },
          Call { (h) throws(Divergence) in try h.entrust(frame) },
        ]
      })

  /// Claims, and what one domain leaves to another.
  static let domains = HostMemoryScope(
    name: "two domains, two frames, claims, frames handed out singly and in pairs",
    model: HostMemoryModel(domains: 2, frames: 2, pages: 2, uses: 2, numbers: 8), limit: pair,
    calls: lives([0, 1])
      + [0, 1].flatMap { (domain: UInt64) in
        maxima([2], of: domain) + claims([0, 1, 2], of: domain) + extents([.frame, pair], of: domain)
          + frames(2, of: domain)
      })

  /// Extents that are split and joined, exchanges.
  static let extents = HostMemoryScope(
    name: "one domain, four frames, extents to four frames, exchanges",
    model: HostMemoryModel(domains: 1, frames: 4, pages: 2, uses: 2, numbers: 16), limit: four,
    calls: lives([0]) + maxima([3, 4], of: 0) + claims([0, 4], of: 0)
      + extents([.frame, pair, four, ExtentOrder(3)], of: 0) + frames(4, of: 0)
      + exchanges([[3], [0, 1], [2, 1]], for: .frame)
      + exchanges([[0, 1], [1, 2], [3, 0]], for: pair) + exchanges([[0, 1, 2, 3]], for: four))

  // MARK: Calls

  private static func lives(_ domains: [UInt64]) -> [Call] {
    domains.flatMap { domain in
      [
        Call { (h) throws(Divergence) in try h.addDomain(domain) },
        Call { (h) throws(Divergence) in h.retire(domain) },
        Call { (h) throws(Divergence) in try h.relinquish(domain, limit: 1) },
        Call { (h) throws(Divergence) in try h.relinquish(domain, limit: 4) },
      ]
    }
  }

  private static func maxima(_ pages: [UInt64], of domain: UInt64) -> [Call] {
    pages.map { pages in Call { (h) throws(Divergence) in try h.setMaximum(pages, of: domain) } }
  }

  private static func claims(_ pages: [UInt64], of domain: UInt64) -> [Call] {
    pages.map { pages in Call { (h) throws(Divergence) in try h.claim(pages, for: domain) } }
  }

  private static func extents(_ orders: [ExtentOrder], of domain: UInt64) -> [Call] {
    orders.map { order in Call { (h) throws(Divergence) in try h.increase(domain, order) } }
  }

  private static func frames(_ count: UInt64, of domain: UInt64) -> [Call] {
    (0..<count).flatMap { frame in
      [
        Call { (h) throws(Divergence) in try h.decrease(domain, frame) },
        Call { (h) throws(Divergence) in h.store(domain, frame) },
      ]
    }
  }

  private static func exchanges(_ frames: [[UInt64]], for order: ExtentOrder) -> [Call] {
    frames.map { frames in Call { (h) throws(Divergence) in try h.exchange(0, frames, for: order) } }
  }
}
