// SPDX-License-Identifier: Apache-2.0
//
// Bugs that were real, as one-place changes of the specifications. Each must be caught.

import Interfaces
import Logic

/// XSA-252: giving a frame back drops uses of it that nobody asked to drop.
final class BalloonXSA252: Balloon {
  override func isInUse(_ f: PoolFrame) -> Bit { false }
}

/// XSA-222, 247, 389: that the domain's physical memory could not be told is ignored.
final class BalloonXSA222: Balloon {
  override func failsWithout(_ isUpdated: Bit) -> Bit { false }
}

/// XSA-31, 158: an extent's order is not bounded.
final class BalloonXSA31: Balloon {
  override func isTooLarge(_ extent: Extent) -> Bit { false }
}

/// XSA-385: what a domain has and what it asks for wrap when they are added.
final class BalloonXSA385: Balloon {
  enum NarrowSort: WordSort { static let sort = Sort.word("Narrow", realBits: 32, scopeBits: 1) }

  override func exceeds(_ d: PoolDomain, _ pages: Pages) -> Bit {
    Pages(resizing: Word<NarrowSort>(resizing: charged[d] + pages)) > maximum[d]
  }
}

/// XSA-507: a frame that the hypervisor works with is given back.
final class BalloonXSA507: Balloon {
  override func isKept(_ f: PoolFrame) -> Bit { false }
}

/// A claim looks at what is free, and not at what of it is promised already.
final class BalloonPromisedTwice: Balloon {
  override func promisesTwice(_ domain: PoolDomain, _ pages: Pages) -> Bit { pages > free }
}

/// Frames that are promised to one domain are given to another.
final class BalloonUnclaimed: Balloon {
  override func isShort(_ d: PoolDomain, _ pages: Pages) -> Bit { pages > free }
}

/// A frame is handed out with what its last owner left in it.
final class BalloonUnscrubbed: Balloon {
  override func isReady(_ f: PoolFrame) -> Bit { frames[f].use == .free }
}

/// A frame is handed out that somebody has.
final class BalloonDoubleAllocation: Balloon {
  override func isReady(_ f: PoolFrame) -> Bit { !frames[f].isDirty }
}

/// A domain is forgotten while it has frames.
final class BalloonForgotten: Balloon {
  override func has(_ domain: PoolDomain, _ f: PoolFrame) -> Bit { frames[f].isOwned(by: domain) }
}

/// A maximum is lowered, and the target stays above it.
final class BalloonStaleTarget: Balloon {
  override func keepsTarget(_ domain: PoolDomain, _ pages: Pages) -> Bit { true }
}

/// What an exchange owes a domain does not count against its maximum.
final class BalloonUncharged: Balloon {
  override func exceeds(_ d: PoolDomain, _ pages: Pages) -> Bit { owned(d) + pages > maximum[d] }
}

/// xenballoond of Xen 3.3 divides by a hysteresis of 0.
final class SelfBalloonZero: SelfBalloon {
  override func isAcceptable(_ hysteresis: Hysteresis) -> Bit { true }
}

/// xenballoond of Xen 3.3 skips the floor in directed mode.
final class SelfBalloonFloorSkipped: SelfBalloon {
  override func directed(_ pages: Memory) -> Memory { choose(pages > maximum, maximum, pages) }
}

/// xenballoond of Xen 3.3 cannot be switched off.
final class SelfBalloonAlwaysOn: SelfBalloon {
  override var mayTick: Bit { true }
}

/// A step may go beyond what is needed, and so back again.
final class SelfBalloonOvershoot: SelfBalloon {
  override func mayStep(to pages: Memory) -> Bit { floor <= pages && pages <= maximum }
}

/// A share that is rounded down is nothing near the end, and what is needed is never reached.
final class SelfBalloonStuck: SelfBalloon {
  override func isShare(_ step: Memory, of gap: Memory, _ hysteresis: Hysteresis) -> Bit {
    times(step, hysteresis) <= MemoryProduct(resizing: gap)
      && times(step, hysteresis) + MemoryProduct(resizing: hysteresis) > MemoryProduct(resizing: gap)
  }
}

extension Scope {
  /// Two frames, one domain that has pages in its physical memory.
  static let oneBalloon = Scope(
    name: "one domain", counts: ["Domain": 1, "Frame": 2, "GuestPage": 2, "Pages": 8],
    arguments: ["setMaximum.pages": [1, 2], "claim.pages": [0, 2], "setTarget.pages": [2]])
  /// One domain, to which one frame is handed out at a time: enough for most bugs.
  static let oneBallooned = Scope(
    name: "one frame handed out", counts: ["Domain": 1, "Extent": 2],
    arguments: [
      "setMaximum.pages": [0, 1], "claim.pages": [0, 1], "setTarget.pages": [1], "increase.base": [0],
      "populate.base": [0], "replace.base": [0], "populate.first": [0],
    ])
  /// Two domains that share two frames, without physical memory.
  static let twoBalloons = Scope(
    name: "two domains", counts: ["GuestPage": 2],
    arguments: ["setMaximum.pages": [2], "claim.pages": [0, 1, 2]],
    excluding: [
      "setTarget", "populate", "populateOccupied", "retain", "release", "entrust", "steal", "replace",
      "restore",
      "surrender",
    ])
}

extension Scope {
  /// Two domains, one of which is promised what the other asks for at a page of its own.
  static let twoPopulated = Scope(
    name: "two domains with pages", counts: ["Extent": 2],
    arguments: [
      "setMaximum.pages": [2], "claim.pages": [2], "populate.first": [0, 1],
    ],
    excluding: [
      "setTarget", "increase", "populateOccupied", "findNoExtent", "retain", "release", "entrust", "steal",
      "replace", "restore", "surrender", "store", "kill", "relinquish", "forget",
    ])
}

/// Mechanical mutants of Balloon that are no bugs.
private let balloonEquivalents: [EquivalentMutant] = {
  let stricter =
    "it forbids steps and allows none, which breaks no claim of safety; the pool takes those steps, and conform tells"
  let unread = "nobody reads it before it is written again"
  return [
    EquivalentMutant("claim: comparison 5 off by one", because: stricter),
    EquivalentMutant("relinquish: equality 6 turned round", because: stricter),
    EquivalentMutant("relinquish: equality 7 turned round", because: stricter),
    EquivalentMutant("forget: assignment 1 dropped", because: "a dying domain that never goes has nothing"),
    EquivalentMutant("forget: assignment 2 dropped", because: unread),
    EquivalentMutant("forget: equality 2 turned round", because: stricter),
    EquivalentMutant("increase: equality 4 turned round", because: stricter),
    EquivalentMutant("populateOccupied: comparison 1 off by one", because: stricter),
    EquivalentMutant("decrease: equality 6 turned round", because: stricter),
    EquivalentMutant("steal: assignment 5 dropped", because: unread),
    EquivalentMutant("steal: comparison 1 off by one", because: stricter),
    EquivalentMutant("replace: comparison 1 off by one", because: stricter),
    EquivalentMutant("restore: equality 2 turned round", because: stricter),
    EquivalentMutant("surrender: equality 2 turned round", because: stricter),
    EquivalentMutant("surrender: equality 3 turned round", because: stricter),
    EquivalentMutant("surrender: equality 4 turned round", because: stricter),
  ]
}()

private func balloonMutant(
  _ name: String, _ advisory: String, _ mechanism: String, _ killer: String,
  _ make: @escaping @Sendable () -> Machine
) -> HandMutant {
  HandMutant(name, advisory: advisory, mechanism: mechanism, killer: killer, make: make)
}

/// The memory of a host for the engines.
public let balloonSubject = Subject(
  "Balloon", scopes: [.oneBalloon, .twoBalloons, .oneBallooned, .twoPopulated],
  mutants: [
    balloonMutant(
      "XSA-252", "XSA-252", "decrease drops uses that the guest did not ask to drop",
      "uses end as they began"
    ) { BalloonXSA252() },
    balloonMutant(
      "XSA-222", "XSA-222, 247, 389", "a failed P2M update is ignored",
      "what a domain's memory has is its own"
    ) { BalloonXSA222() },
    balloonMutant(
      "XSA-31", "XSA-31, 158", "an extent's order is unbounded", "no extent is larger than the limit"
    ) { BalloonXSA31() },
    balloonMutant(
      "XSA-385", "XSA-385", "what is had and what is asked for overflow", "a domain has at most its maximum"
    ) { BalloonXSA385() },
    balloonMutant(
      "XSA-507", "XSA-507", "a special page is given back", "a special frame is never given back"
    ) { BalloonXSA507() },
    balloonMutant(
      "promised twice", "classic", "a claim does not count what is promised already",
      "what is promised is free"
    ) { BalloonPromisedTwice() },
    balloonMutant(
      "unclaimed", "classic", "what is promised to one domain is given to another", "what is promised is free"
    ) { BalloonUnclaimed() },
    balloonMutant(
      "unscrubbed", "classic", "a frame is handed out with its last owner's data",
      "a frame holds its owner's data or none"
    ) { BalloonUnscrubbed() },
    balloonMutant(
      "double allocation", "classic", "a frame is handed out that somebody has",
      "no frame is handed out twice"
    ) { BalloonDoubleAllocation() },
    balloonMutant(
      "forgotten", "classic", "a domain is forgotten with frames in flight", "a frame's domain is there"
    ) { BalloonForgotten() },
    balloonMutant(
      "stale target", "classic", "a lowered maximum leaves the target", "a target is at most the maximum"
    ) { BalloonStaleTarget() },
    balloonMutant(
      "uncharged", "classic", "what an exchange owes does not count", "a domain has at most its maximum"
    ) { BalloonUncharged() },
  ],
  equivalents: balloonEquivalents
) { Balloon() }

extension Scope {
  static let fourPages = Scope(
    name: "four pages", arguments: ["configure.down": [0, 2, 3], "configure.up": [0, 1, 2]])
}

/// The self-balloon controller for the engines.
public let selfBalloonSubject = Subject(
  "SelfBalloon", scopes: [.fourPages],
  mutants: [
    balloonMutant("zero", "xenballoond", "up-hysteresis 0 divides by zero", "no hysteresis is 0") {
      SelfBalloonZero()
    },
    balloonMutant(
      "floor skipped", "xenballoond", "the floor is skipped in directed mode", "no target is out of bounds"
    ) { SelfBalloonFloorSkipped() },
    balloonMutant(
      "always on", "xenballoond", "self-ballooning cannot be switched off",
      "a controller that is off sets no target"
    ) { SelfBalloonAlwaysOn() },
    balloonMutant("overshoot", "classic", "a step goes beyond what is needed", "no oscillation") {
      SelfBalloonOvershoot()
    },
    balloonMutant("stuck", "classic", "a share is rounded down to nothing", "each step comes nearer") {
      SelfBalloonStuck()
    },
  ]
) { SelfBalloon() }
