// SPDX-License-Identifier: Apache-2.0

import Logic

extension Grants {
  /// R3 and R4 as censuses: who is a member, and whose.
  private var censuses: [Invariant] {
    pins.invariants(
      "pins are exact", "R3", in: self,
      isMember: { member in
        let mapping = self.mappings[member.a, member.b]
        return choose(member.c == .host, mapping.host, mapping.device)
      },
      owner: { member in
        let mapping = self.mappings[member.a, member.b]
        return Triple(mapping.granter, mapping.reference, self.kind(member.c, readOnly: mapping.readOnly))
      })
      + uses.invariants(
        "references are exact", "R4", in: self,
        isMember: { self.mappings[$0.a, $0.b].isUsed },
        owner: { self.mappings[$0.a, $0.b].frame })
  }

  var claims: [Invariant] {
    [
      invariant("only what is permitted is reached", "R1") { !self.breached },
      invariant("a mapping lies in one whole entry", "R11") { !self.straddling },
      invariant("domain and frame are fixed while pinned", "R2") { (m: Domain, h: Handle) in
        let mapping = self.mappings[m, h]
        let active = self.active[mapping.granter, mapping.reference]
        return mapping.isUsed.implies(active.domain == m && active.frame == mapping.frame)
      },
      invariant("a mapping is of an entry of a domain that is there", "R10") { (m: Domain, h: Handle) in
        let mapping = self.mappings[m, h]
        return mapping.isUsed.implies(
          self.covers[mapping.granter, mapping.reference] && self.life[mapping.granter] != .absent
            && self.life[m] != .absent)
      },
      invariant("a mapped frame stays its granter's", "R5") { (m: Domain, h: Handle) in
        let mapping = self.mappings[m, h]
        return mapping.isUsed.implies(self.frames[mapping.frame].belongs(to: mapping.granter))
      },
      invariant("a frame belongs to a domain that is there", "R10") { (f: Frame) in
        self.frames[f].isOwned.implies(self.life[self.frames[f].owner] != .absent)
      },
      invariant("flags say what is pinned", "R6") { (d: Domain, r: Reference) in
        let entry = self.shared[d, r]
        return (self.covers[d, r] && !self.tampered[d, r] && entry.type == .permitAccess).implies(
          entry.bit3 == self.isPinned(d, r) && entry.bit4 == self.isPinnedForWriting(d, r))
      },
      invariant("a revoked grant has no mapping", "R6") { (d: Domain, r: Reference) in
        let idle = self.shared[d, r].type == .invalid && self.covers[d, r] && !self.tampered[d, r]
        return idle.implies(!self.isPinned(d, r))
      },
      invariant("a table that does not reach an entry has no pin of it", "R10") { (d: Domain, r: Reference) in
        (!self.covers[d, r]).implies(!self.isPinned(d, r))
      },
      invariant("a life is absent, running, dying, absent", "R10") { (d: Domain) in
        let (now, was) = (self.life[d], self.was[d])
        return (now == .running).implies(was == .absent) && (now == .dying).implies(was == .running)
          && (now == .absent).implies(was == .dying || was == .absent)
      },
      invariant("only domains that are there have tables", "R10") { (d: Domain, r: Reference) in
        self.covers[d, r].implies(self.life[d] != .absent)
      },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "A mapping is made only of an entry that permits it then, to that domain, at that access.",
        by: "only what is permitted is reached"),
      Rule("R2", "Domain and frame are fixed while pinned.", by: "domain and frame are fixed while pinned"),
      Rule("R3", "Each part of a mapping holds one pin of its kind.", by: "pins are exact"),
      Rule("R4", "Each mapping holds one reference on its frame.", by: "references are exact"),
      Rule("R5", "A mapped frame belongs to its granter.", by: "a mapped frame stays its granter's"),
      Rule(
        "R6", "An entry says how it is used, while its domain keeps to the protocol.",
        by: "flags say what is pinned", "a revoked grant has no mapping"),
      Rule("R7", "Unmapping is all or nothing.", by: "pins are exact", "references are exact"),
      Rule(
        "R8", "A copy reaches only what is permitted, and leaves no pin.",
        by: "only what is permitted is reached"),
      Rule("R9", "A transfer moves a frame that nobody else uses.", by: "only what is permitted is reached"),
      Rule(
        "R10", "A domain is gone only when nothing of it is left.",
        by: "a mapping is of an entry of a domain that is there", "a frame belongs to a domain that is there",
        "only domains that are there have tables", "a life is absent, running, dying, absent"),
      Rule("R11", "A mapping lies in one whole page-table entry.", by: "a mapping lies in one whole entry"),
      Rule(
        "R12", "Two entries change places only if they are the caller's, are there, and are not pinned.",
        by: "only what is permitted is reached", "flags say what is pinned"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("a frame is mapped for writing by host and device") { (d: Domain, r: Reference) in
        self.pinCount(d, r, .hostWrite) != 0 && self.pinCount(d, r, .deviceWrite) != 0
      },
      sometimes("one entry is mapped twice") { (m: Domain, a: Handle, b: Handle) in
        a != b && self.mappings[m, a].isUsed && self.mappings[m, b].isUsed
          && self.mappings[m, a].granter == self.mappings[m, b].granter
          && self.mappings[m, a].reference == self.mappings[m, b].reference
      },
      sometimes("a grant made by the protocol is mapped") { (d: Domain, r: Reference) in
        self.isPinned(d, r) && !self.tampered[d, r]
      },
      sometimes("a domain dies while it is mapped") { (m: Domain, h: Handle) in
        self.mappings[m, h].isUsed && self.life[self.mappings[m, h].granter] == .dying
      },
      sometimes("an entry is rewritten while it is pinned") { (d: Domain, r: Reference) in
        self.isPinned(d, r) && self.shared[d, r].frame != self.active[d, r].frame
      },
      sometimes("a transfer is completed") { (d: Domain, r: Reference) in
        self.shared[d, r].type == .acceptTransfer && self.shared[d, r].bit2 && self.shared[d, r].bit3
          && self.frames[self.shared[d, r].frame].belongs(to: d)
      },
    ]
  }

  var allInvariants: [Invariant] { claims + censuses }
}
