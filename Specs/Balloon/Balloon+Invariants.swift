// SPDX-License-Identifier: Apache-2.0

import Logic

extension Balloon {
  /// R1 and R5 as sums, and what follows from them: for explorations, until their proofs at real size close.
  var sums: [Invariant] {
    flying.invariants(
      "frames in flight are counted", "R1", in: self, isMember: { self.frames[$0].use == .inFlight },
      owner: { self.frames[$0].owner }
    ).filter(\.isExplored)
      + owned.invariants(
        "owned frames are counted", "R1", in: self, isMember: { self.frames[$0].use == .owned },
        owner: { self.frames[$0].owner }
      ).filter(\.isExplored)
      + promised.invariants("what is promised is counted", "R5", in: self, number: { self.claimed[$0] })
      .filter(\.isExplored) + [
        invariant("free frames are counted", "R1", reading: .explorationOnly) {
          self.free
            == cardinality(over: PoolFrame.self) {
              self.frames[$0].use == .free && Pages(resizing: $0) < self.poolSize
            }
        },
        invariant("no more is handed out than there is", "R1", reading: .explorationOnly) {
          self.free <= self.poolSize
        },
        invariant("what is promised is free", "R5", reading: .explorationOnly) {
          self.promised.sum <= self.free
        },
        invariant(
          "a domain has at most its maximum", "R3", over: PoolDomain.self, reading: .explorationOnly
        ) { d in
          self.charge(d) <= self.maximum[d] || self.charge(d) <= self.allowed[d]
        },
        invariant("a frame's domain is there", "R10", over: PoolFrame.self, reading: .explorationOnly) { f in
          (self.frames[f].use != .free).implies(self.life[self.frames[f].owner] != .absent)
        },
      ]
  }

  var claims: [Invariant] {
    [
      invariant("only frames of the host are handed out", "R1") { (f: PoolFrame) in
        (self.frames[f].use != .free).implies(Pages(resizing: f) < self.poolSize)
      },
      invariant("a frame holds its owner's data or none", "R2") { (f: PoolFrame) in
        (self.frames[f].use != .free && self.frames[f].isDirty).implies(
          self.frames[f].author == self.frames[f].owner)
      },
      invariant("no extent is larger than the limit", "R4") { self.largest <= self.limit },
      invariant("what a domain's memory has is its own", "R6") { (d: PoolDomain, page: GuestPage) in
        let mapping = self.physical[d, page]
        let frame = self.frames[mapping.frame]
        return mapping.isPresent.implies(frame.isOwned(by: d) && frame.isMapped && frame.guest == page)
      },
      invariant("a frame is where it says", "R6") { (f: PoolFrame) in
        let frame = self.frames[f]
        let mapping = self.physical[frame.owner, frame.guest]
        return frame.isMapped.implies(frame.use == .owned && mapping.isPresent && mapping.frame == f)
      },
      invariant("a frame in use is owned", "R7") { (f: PoolFrame) in
        (self.frames[f].uses != 0).implies(self.frames[f].use == .owned)
      },
      invariant("uses end as they began", "R7") { (f: PoolFrame) in self.frames[f].uses == self.begun[f] },
      invariant("a special frame is never given back", "R8") { (f: PoolFrame) in
        self.entrusted[f].implies(self.frames[f].isSpecial && self.frames[f].use == .owned)
      },
      invariant("an exchange can be undone", "R9") { (d: PoolDomain) in
        self.owed[d] <= self.flying.count[d]
      },
      invariant("an exchange is no larger than the largest extent", "R9") { (d: PoolDomain) in
        self.flying.count[d] <= self.pages(self.limit)
      },
      invariant("a domain that is gone has nothing", "R10") { (d: PoolDomain) in
        (self.life[d] == .absent).implies(
          self.owned.count[d] == 0 && self.flying.count[d] == 0 && self.target[d] == 0)
      },
      invariant("only domains that run are promised memory", "R10") { (d: PoolDomain) in
        (self.life[d] != .running).implies(self.claimed[d] == 0 && self.owed[d] == 0)
      },
      invariant("a target is at most the maximum", "R11") { (d: PoolDomain) in
        self.target[d] <= self.maximum[d]
      },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "Frames handed out are counted exactly, and are no more than there are.",
        by: "owned frames are counted", "frames in flight are counted", "free frames are counted",
        "no more is handed out than there is", "only frames of the host are handed out"),
      Rule(
        "R2", "A frame is handed out only when it is empty.", by: "a frame holds its owner's data or none"),
      Rule("R3", "A domain has at most its maximum.", by: "a domain has at most its maximum"),
      Rule(
        "R4", "An extent is aligned, and no larger than the limit.", by: "no extent is larger than the limit",
        "replace"),
      Rule(
        "R5", "A host is never promised twice.", by: "what is promised is free", "what is promised is counted"
      ),
      Rule(
        "R6", "P2M and M2P invert one another.", by: "what a domain's memory has is its own",
        "a frame is where it says"),
      Rule("R7", "A frame in use stays.", by: "a frame in use is owned", "uses end as they began"),
      Rule("R8", "A special frame stays.", by: "a special frame is never given back"),
      Rule(
        "R9", "An exchange can be undone.", by: "an exchange can be undone",
        "an exchange is no larger than the largest extent"),
      Rule(
        "R10", "A domain is gone only when it has nothing.", by: "a frame's domain is there",
        "a domain that is gone has nothing", "only domains that run are promised memory"),
      Rule("R11", "A target is never above the maximum.", by: "a target is at most the maximum"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("an extent of two frames is handed out") { self.largest == 1 },
      sometimes("a domain has all its maximum allows, and there is more") { (d: PoolDomain) in
        self.life[d] == .running && self.owned.count[d] != 0 && self.exceeds(d, 1) && self.free != 0
      },
      sometimes("all that is free is promised") { self.promised.sum != 0 && self.promised.sum == self.free },
      sometimes("a free frame waits to be scrubbed") { (f: PoolFrame) in
        self.frames[f].use == .free && self.frames[f].isDirty
      },
      sometimes("a frame is in flight and its replacement is there") { (f: PoolFrame, d: PoolDomain) in
        self.frames[f].isInFlight(of: d) && self.owed[d] == 0 && self.life[d] == .running
      },
      sometimes("a maximum is set below what a domain has") { (d: PoolDomain) in
        self.charge(d) > self.maximum[d]
      },
      sometimes("a domain dies with a frame that is in use") { (f: PoolFrame) in
        self.frames[f].uses != 0 && self.life[self.frames[f].owner] == .dying
      },
      sometimes("two pages of one domain are mapped") { (d: PoolDomain, a: GuestPage, b: GuestPage) in
        a != b && self.physical[d, a].isPresent && self.physical[d, b].isPresent
      },
    ]
  }
}

extension Invariant {
  fileprivate var isExplored: Bool { reading == .explorationOnly }
}
