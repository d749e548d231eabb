// SPDX-License-Identifier: Apache-2.0

import Logic

extension Balloon {
  /// R1 and R5 as sums, for explorations; and what the steps' guards make of them (`isCounted`, `isInSum`).
  var sums: [Invariant] {
    [
      invariant(
        "frames in flight are counted", "R1", over: PoolDomain.self, reading: .explorationOnly
      ) { d in
        self.flying[d] == cardinality(over: PoolFrame.self) { self.frames[$0].isInFlight(of: d) }
      },
      invariant("owned frames are counted", "R1", over: PoolDomain.self, reading: .explorationOnly) { d in
        self.owned(d) == cardinality(over: PoolFrame.self) { self.frames[$0].isOwned(by: d) }
      },
      invariant("free frames are counted", "R1", reading: .explorationOnly) {
        self.free
          == cardinality(over: PoolFrame.self) {
            self.frames[$0].use == .free && Pages(resizing: $0) < self.poolSize
          }
      },
      invariant("what is promised is counted", "R5", reading: .explorationOnly) {
        self.promised
          == cardinality(over: Pair<PoolDomain, Pages>.self) { $0.b < self.claimed[$0.a] }
      },
      invariant(
        "no count stands in the way of a frame", "R1", over: PoolFrame.self, reading: .explorationOnly
      ) { f in (self.frames[f].use != .free).implies(self.isCounted(f)) },
      invariant(
        "no sum stands in the way of a claim", "R5", over: PoolDomain.self, reading: .explorationOnly
      ) { d in self.isInSum(d) },
    ]
  }

  var claims: [Invariant] {
    [
      invariant("no frame is handed out twice", "R1") { (f: PoolFrame) in !self.wasHandedTwice[f] },
      invariant("no more is handed out than there is", "R1") { self.free <= self.poolSize },
      invariant("what is promised is free", "R5") { self.promised <= self.free },
      invariant("a domain has at most its maximum", "R3") { (d: PoolDomain) in
        self.charged[d] <= self.maximum[d] || self.charged[d] <= self.allowed[d]
      },
      invariant("a frame's domain is there", "R10") { (f: PoolFrame) in
        (self.frames[f].use != .free).implies(self.life[self.frames[f].owner] != .absent)
      },
      invariant("only frames of the host are handed out", "R1") { (f: PoolFrame) in
        (self.frames[f].use != .free).implies(Pages(resizing: f) < self.poolSize)
      },
      invariant("a frame holds its owner's data or none", "R2") { (f: PoolFrame) in
        (self.frames[f].use != .free && self.holdsData[f]).implies(self.author[f] == self.frames[f].owner)
      },
      invariant("a frame is dirty while it holds data, and no longer", "R2") { (f: PoolFrame) in
        self.frames[f].isDirty == self.holdsData[f]
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
        self.owed[d] <= self.flying[d]
      },
      invariant("an exchange is no larger than the largest extent", "R9") { (d: PoolDomain) in
        self.flying[d] <= self.pages(self.limit)
      },
      invariant("a domain that is gone has nothing", "R10") { (d: PoolDomain) in
        (self.life[d] == .absent).implies(self.charged[d] == 0 && self.target[d] == 0)
      },
      invariant("only domains that run are promised memory", "R10") { (d: PoolDomain) in
        (self.life[d] != .running).implies(self.claimed[d] == 0 && self.owed[d] == 0)
      },
      invariant("a target is at most the maximum", "R11") { (d: PoolDomain) in
        self.target[d] <= self.maximum[d]
      },
    ]
  }

  /// What only the proofs need.
  var lemmas: [Invariant] {
    [
      invariant("what a domain is owed counts against its maximum") { (d: PoolDomain) in
        self.owed[d] <= self.charged[d]
      }
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "Frames handed out are counted exactly, and are no more than there are.",
        by: "owned frames are counted", "frames in flight are counted", "free frames are counted",
        "no more is handed out than there is", "only frames of the host are handed out",
        "no frame is handed out twice", "no count stands in the way of a frame"),
      Rule(
        "R2", "A frame is handed out only when it is empty.", by: "a frame holds its owner's data or none",
        "a frame is dirty while it holds data, and no longer"),
      Rule("R3", "A domain has at most its maximum.", by: "a domain has at most its maximum"),
      Rule(
        "R4", "An extent is aligned, and no larger than the limit.",
        by: "no extent is larger than the limit",
        "replace"),
      Rule(
        "R5", "A host is never promised twice.", by: "what is promised is free",
        "what is promised is counted",
        "no sum stands in the way of a claim"),
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
        self.life[d] == .running && self.owned(d) != 0 && self.exceeds(d, 1) && self.free != 0
      },
      sometimes("all that is free is promised") { self.promised != 0 && self.promised == self.free },
      sometimes("a domain is asked to have more") { (d: PoolDomain) in self.target[d] > self.owned(d) },
      sometimes("a free frame waits to be scrubbed") { (f: PoolFrame) in
        self.frames[f].use == .free && self.frames[f].isDirty
      },
      sometimes("a frame is in flight and its replacement is there") { (f: PoolFrame, d: PoolDomain) in
        self.frames[f].isInFlight(of: d) && self.owed[d] == 0 && self.life[d] == .running
      },
      sometimes("a maximum is set below what a domain has") { (d: PoolDomain) in
        self.charged[d] > self.maximum[d]
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
