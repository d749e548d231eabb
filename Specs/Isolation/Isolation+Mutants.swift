// SPDX-License-Identifier: Apache-2.0
//
// What goes wrong between machines that are each right, as one-place changes. Each must be caught.

import Logic

/// A frame leaves a domain while a processor still has it in its TLB.
final class IsolationUnflushed: Isolation {
  override func requireUnusable(_ d: Domain, _ f: Frame) {}
}

/// A frame is freed while somebody's shadows may map it.
final class IsolationReached: Isolation {
  override func requireUnreached(_ f: Frame) {}
}

/// A frame is freed while a grant of it is mapped.
final class IsolationMapped: Isolation {
  override func requireUnmapped(_ f: Frame) {}
}

/// A frame is handed out with what its last owner left in it.
final class IsolationUnscrubbed: Isolation {
  override func isPresentable(_ f: Frame) -> Bit { true }
}

/// A mapping goes while shadows rest on it.
final class IsolationHasty: Isolation {
  override func rests(_ d: Domain, on h: Handle) -> Bit { false }
}

/// A read-only mapping is taken for a writable one when it comes to the shadows.
final class IsolationWritable: Isolation {
  override func carries(_ reason: Reason, _ d: Domain, _ f: Frame, writes: Bit) -> Bit {
    super.carries(reason, d, f, writes: false)
  }
}

/// A grant is mapped that names a frame its granter does not own.
final class IsolationForeign: Isolation {
  override func isPermitted(_ granter: Domain, _ grantee: Domain, _ f: Frame, writes: Bit) -> Bit {
    allows(permits, granter, grantee, f, writes: writes)
  }
}

/// A domain is gone although it still maps what others granted.
final class IsolationOrphan: Isolation {
  override func requireEmpty(_ d: Domain) {
    requireAll("R6") { (f: Frame) in !self.frames[f].belongs(to: d) }
  }
}

extension Scope {
  /// One frame, which domain 1 owns and domain 0 maps, twice, or is given; domain 0's processor reaches it.
  static let oneFrame = Scope(
    name: "one frame", counts: ["Frame": 1, "Handle": 2],
    arguments: [
      "permit.granter": [1], "permit.grantee": [0], "map.mapper": [0], "map.granter": [1],
      "acquire.domain": [0], "open.handle": [0], "transfer.receiver": [0], "use.domain": [0],
    ])
  /// Two frames, of which domain 1 lets domain 0 write to one, which maps it once.
  static let twoOwnedFrames = Scope(
    name: "two frames", counts: ["Frame": 2, "Handle": 1],
    arguments: [
      "permit.granter": [1], "permit.grantee": [0], "permit.writes": [1], "map.mapper": [0],
      "map.granter": [1],
      "permit.permits": [1], "create.domain": [0, 1], "acquire.domain": [0], "open.writes": [1],
    ],
    excluding: ["kill", "forget", "storeByGuest", "storeByBackend", "release", "scrub"])
}

/// The composition for the engines.
public let isolationSubject = Subject(
  "Isolation", scopes: [.oneFrame, .twoOwnedFrames],
  mutants: [
    HandMutant(
      "unflushed", advisory: "classic",
      mechanism: "a frame leaves a domain while a processor still has it in its TLB",
      killer: "what a processor can use is within its domain's reach"
    ) { IsolationUnflushed() },
    HandMutant(
      "reached", advisory: "classic", mechanism: "a frame is freed while somebody's shadows may map it",
      killer: "reach rests on ownership or on a mapping in use"
    ) { IsolationReached() },
    HandMutant(
      "mapped", advisory: "XSA-214, 217", mechanism: "a frame is freed while a grant of it is mapped",
      killer: "a mapped frame stays its granter's"
    ) { IsolationMapped() },
    HandMutant(
      "unscrubbed", advisory: "classic",
      mechanism: "a frame is handed out with what its last owner left in it",
      killer: "data lie only where their domain may write"
    ) { IsolationUnscrubbed() },
    HandMutant(
      "hasty", advisory: "XSA-255", mechanism: "a mapping goes while shadows rest on it",
      killer: "reach rests on ownership or on a mapping in use"
    ) { IsolationHasty() },
    HandMutant(
      "writable", advisory: "XSA-234",
      mechanism: "a read-only mapping is taken for a writable one when it comes to the shadows",
      killer: "a processor reaches only what its domain owns or was granted"
    ) { IsolationWritable() },
    HandMutant(
      "foreign", advisory: "classic",
      mechanism: "a grant is mapped that names a frame its granter does not own",
      killer: "a mapped frame stays its granter's"
    ) { IsolationForeign() },
    HandMutant(
      "orphan", advisory: "XSA-26, 379, 384",
      mechanism: "a domain is gone although it still maps what others granted",
      killer: "a domain that is gone has nothing"
    ) { IsolationOrphan() },
  ],
  equivalents: [
    EquivalentMutant(
      "rest: guard 1 dropped", because: "nobody reads the reason of a reach that is not there")
  ]
) { Isolation() }
