// SPDX-License-Identifier: Apache-2.0

import Logic

extension Isolation {
  /// What the rules come to.
  var claims: [Invariant] {
    [
      invariant("a processor reaches only what its domain owns or was granted", "R1") {
        (d: Domain, p: Processor, v: VirtualPage) in
        let used = self.usable[Triple(d, p, v)]
        return used.present.implies(
          self.mayReach(d, used.target, writes: false)
            && used.writable.implies(self.mayReach(d, used.target, writes: true)))
      },
      invariant("what a processor can use is within its domain's reach", "R1") {
        (d: Domain, p: Processor, v: VirtualPage) in
        self.isWithinReach(d, self.usable[Triple(d, p, v)])
      },
      invariant("reach rests on ownership or on a mapping in use", "R2") { (d: Domain, f: Frame) in
        let reach = self.reach[d, f]
        return reach.maps.implies(self.carries(self.reasons[d, f], d, f, writes: reach.writes))
      },
      invariant("a back end reaches only what its domain has mapped", "R3") { (m: Domain, h: Handle) in
        let window = self.windows[m, h]
        return window.isOpen.implies(self.mappings[m, h].reaches(window.frame, writes: window.writes))
      },
      invariant("a mapped frame stays its granter's", "R4") { (m: Domain, h: Handle) in
        let mapping = self.mappings[m, h]
        return mapping.isUsed.implies(self.frames[mapping.frame].belongs(to: mapping.granter))
      },
      invariant("nobody reaches a free frame", "R4") {
        (d: Domain, f: Frame, p: Processor, v: VirtualPage, h: Handle) in
        (!self.frames[f].isOwned).implies(
          !self.reach[d, f].maps && !self.usable[Triple(d, p, v)].maps(f)
            && !(self.mappings[d, h].isUsed && self.mappings[d, h].frame == f)
            && !(self.windows[d, h].isOpen && self.windows[d, h].frame == f))
      },
      invariant("data lie only where their domain may write", "R5") { (f: Frame, d: Domain) in
        (self.holds[f, d] && self.frames[f].isOwned).implies(self.mayReach(d, f, writes: true))
      },
      invariant("a wiped frame holds nobody's data", "R5") { (f: Frame, d: Domain) in
        self.frames[f].isClean.implies(!self.holds[f, d])
      },
      invariant("a domain that is gone has nothing", "R6") {
        (d: Domain, f: Frame, p: Processor, v: VirtualPage, h: Handle) in
        (self.life[d] == .absent).implies(
          !self.frames[f].belongs(to: d) && !self.mappings[d, h].isUsed && !self.windows[d, h].isOpen
            && !self.reach[d, f].maps && !self.usable[Triple(d, p, v)].present)
      },
      invariant("a frame is whose it was made", "R4") { (f: Frame) in
        self.frames[f].isOwned.implies(self.frames[f].owner == self.rightful[f])
      },
      invariant("a life is absent, running, dying, absent", "R6") { (d: Domain) in
        let (now, was) = (self.life[d], self.was[d])
        return (now == .running).implies(was == .absent) && (now == .dying).implies(was == .running)
          && (now == .absent).implies(was == .dying || was == .absent)
      },
      invariant("a domain that is gone permits nothing", "R6", over: Permission.self) { entry in
        (self.life[entry.granter] == .absent).implies(!self.permits[entry])
      },
      invariant("a mapping is of a domain that is there", "R6") { (m: Domain, h: Handle) in
        self.mappings[m, h].isUsed.implies(self.life[self.mappings[m, h].granter] != .absent)
      },
    ]
  }

  /// What the proofs of the claims need besides.
  var lemmas: [Invariant] {
    [
      invariant("a mapping was permitted", "R1") { (m: Domain, h: Handle) in
        let mapping = self.mappings[m, h]
        return mapping.isUsed.implies(
          self.allows(self.permitted, mapping.granter, m, mapping.frame, writes: mapping.writes))
      },
      invariant("what is permitted now was permitted", "R1", over: Permission.self) { entry in
        self.permits[entry].implies(self.permitted[entry])
      },
      invariant("who writes maps", "R2") { (d: Domain, f: Frame) in
        self.reach[d, f].writes.implies(self.reach[d, f].maps)
      },
      invariant("a wiped frame is free", "R5") { (f: Frame) in
        self.frames[f].isClean.implies(!self.frames[f].isOwned)
      },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "No usable translation leads to a frame that its domain neither owns nor was granted.",
        by: "a processor reaches only what its domain owns or was granted",
        "what a processor can use is within its domain's reach"),
      Rule(
        "R2", "What shadows may map rests on ownership or on a mapping of that access.",
        by: "reach rests on ownership or on a mapping in use"),
      Rule(
        "R3", "A back end reaches a frame only through a mapping in use.",
        by: "a back end reaches only what its domain has mapped"),
      Rule(
        "R4", "A frame changes hands only when nothing leads to it.",
        by: "a mapped frame stays its granter's", "nobody reaches a free frame",
        "a frame is whose it was made"),
      Rule(
        "R5", "A frame comes to a new owner wiped, or by a transfer.",
        by: "data lie only where their domain may write", "a wiped frame holds nobody's data"),
      Rule(
        "R6", "A domain's death returns everything.",
        by: "a domain that is gone has nothing", "a domain that is gone permits nothing",
        "a life is absent, running, dying, absent",
        "a mapping is of a domain that is there"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("a processor writes to a running domain's frame") {
        (d: Domain, p: Processor, v: VirtualPage) in
        let used = self.usable[Triple(d, p, v)]
        let owner = self.frames[used.target].owner
        return used.present && used.writable && owner != d && self.life[owner] == .running
          && self.life[d] == .running
      },
      sometimes("a grant is withdrawn while a processor reaches by it") {
        (d: Domain, p: Processor, v: VirtualPage) in
        let used = self.usable[Triple(d, p, v)]
        let owner = self.frames[used.target].owner
        return used.present && owner != d && !self.allows(self.permits, owner, d, used.target, writes: false)
      },
      sometimes("a reach outlives the mapping that it began with") { (d: Domain, f: Frame) in
        self.reach[d, f].maps && self.reasons[d, f] != self.began[d, f] && !self.began[d, f].isOwnership
          && !self.mappings[d, self.began[d, f].handle].isUsed
      },
      sometimes("a domain is gone") { (d: Domain) in self.life[d] == .absent && self.was[d] == .dying },
      sometimes("a back end writes to a dying domain's frame") { (m: Domain, h: Handle) in
        self.windows[m, h].isOpen && self.windows[m, h].writes
          && self.life[self.mappings[m, h].granter] == .dying
      },
      sometimes("what all had reached is free") { (f: Frame) in
        !self.frames[f].isOwned && self.past[f].isMapped && self.past[f].isServed && self.past[f].isUsed
      },
      sometimes("a frame has a new owner") { (f: Frame) in self.frames[f].isOwned && self.past[f].isWiped },
      sometimes("a domain's data lie in another's frame, which it cannot reach any more") {
        (f: Frame, d: Domain) in
        self.holds[f, d] && self.frames[f].isOwned && self.frames[f].owner != d && !self.reach[d, f].maps
      },
    ]
  }
}
