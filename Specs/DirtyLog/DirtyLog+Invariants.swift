// SPDX-License-Identifier: Apache-2.0

import Logic

extension DirtyLog {
  /// What the rules come to.
  var claims: [Invariant] {
    [
      invariant("what was written is reported next", "R1") { (t: Choice<Tracker>, f: Frame) in
        let entry = self.entries[self.author[f]]
        return self.written[t, f].implies(
          self.isReported(t, f) || (self.method == .dirtyBit && entry.maps(f) && entry.dirty))
      },
      invariant("a write that goes unmarked is logged, or marked already", "R4") {
        (p: Processor, place: MappingPlace) in
        let (entry, memory) = (self.held[p, place], self.entries[place])
        return (self.method == .dirtyBit && entry.present && entry.dirty).implies(
          memory.maps(entry.frame) && memory.dirty || (self.isUnflushed && self.isLogged(entry.frame)))
      },
      invariant("what may be written without a fault is logged", "R4") {
        (p: Processor, place: MappingPlace) in
        let entry = self.held[p, place]
        return (self.method == .writeProtection && entry.present && entry.writable).implies(
          self.isLogged(entry.frame))
      },
      invariant("nobody can write to frozen video memory", "R6") { (p: Processor, place: MappingPlace) in
        let (entry, memory) = (self.held[p, place], self.entries[place])
        return (self.stage == .frozen).implies(
          !(memory.present && memory.writable && self.tracked[Choice(.video), memory.frame])
            && !(entry.present && entry.writable && self.tracked[Choice(.video), entry.frame]))
      },
      invariant("of frozen video memory there is nothing to report", "R6") { (f: Frame) in
        (self.stage == .frozen && self.tracked[Choice(.video), f]).implies(
          !self.isReported(Choice(.video), f) && !self.written[Choice(.video), f])
      },
      invariant("only what the guest may write is writable", "R7") { (place: MappingPlace) in
        let entry = self.entries[place]
        return entry.writable.implies(entry.mayWrite && entry.present) && entry.dirty.implies(entry.present)
      },
      invariant("write access goes after quiet reports alone", "R8") {
        self.quiet == self.calm && self.calm <= self.limit
          && (self.stage != .writing).implies(self.calm == self.limit)
      },
    ]
  }

  /// What the proofs of the claims need besides.
  var lemmas: [Invariant] {
    [
      invariant("what memory lets be written is logged", "R4") { (place: MappingPlace) in
        let entry = self.entries[place]
        return (self.method == .writeProtection && entry.present && entry.writable).implies(
          self.isLogged(entry.frame))
      },
      invariant("what is held is in memory, or unflushed", "R4") { (p: Processor, place: MappingPlace) in
        let (entry, memory) = (self.held[p, place], self.entries[place])
        return (entry.present && entry.writable).implies(
          memory.maps(entry.frame) && memory.writable || self.isUnflushed)
      },
      invariant("what was taken is write-protected until the report", "R4") { (place: MappingPlace) in
        let entry = self.entries[place]
        let isTaken = self.isCollecting && self.collected[place] && entry.present
        return (isTaken && self.method == .writeProtection && self.isTracked(entry.frame)).implies(
          !entry.writable)
      },
      invariant("video memory that is closed has no writable entry", "R6") { (place: MappingPlace) in
        let entry = self.entries[place]
        let isClosed =
          self.stage == .frozen || (self.stage == .closing && self.isCollecting && self.collected[place])
        return (isClosed && entry.present && self.tracked[Choice(.video), entry.frame]).implies(
          !entry.writable)
      },
      invariant("video memory that is closed has no news but in its entries", "R6") { (place: MappingPlace) in
        let entry = self.entries[place]
        let isWatched = entry.present && self.tracked[Choice(.video), entry.frame]
        return (self.method == .dirtyBit && isWatched).implies(
          (self.stage == .frozen).implies(!entry.dirty)
            && (self.stage == .closing && self.isCollecting && self.collected[place]).implies(!entry.dirty))
      },
      invariant("only what is tracked is logged", "R3") { (t: Choice<Tracker>, f: Frame) in
        (self.logged[t, f] || self.written[t, f]).implies(self.tracked[t, f])
      },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "What was written since a tracker's last report that arrived is in its next one.",
        by: "what was written is reported next"),
      Rule(
        "R2", "A report that could not be handed over counts for nothing.",
        by: "what was written is reported next"),
      Rule(
        "R3", "What is learnt for one tracker is every tracker's.",
        by: "what was written is reported next", "only what is tracked is logged"),
      Rule(
        "R4", "An entry that was taken is relied on only when processors have been flushed since.",
        by: "a write that goes unmarked is logged, or marked already",
        "what may be written without a fault is logged"),
      Rule(
        "R5", "A frame that something else maps is in every report.", by: "what was written is reported next"),
      Rule(
        "R6", "Of frozen video memory nobody has a writable translation, and there is nothing to report.",
        by: "nobody can write to frozen video memory", "of frozen video memory there is nothing to report"),
      Rule(
        "R7", "A mapping that the guest has read-only stays so.",
        by: "only what the guest may write is writable"),
      Rule(
        "R8", "Write access goes only when nothing has changed for some reports on end.",
        by: "write access goes after quiet reports alone"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("an entry that the guest could write through is frozen") { (place: MappingPlace) in
        self.stage == .frozen && self.lost[place]
          && self.tracked[Choice(.video), self.entries[place].frame]
      },
      sometimes("a processor writes what was taken already") { (p: Processor, place: MappingPlace) in
        let entry = self.held[p, place]
        return self.isCollecting && self.collected[place] && entry.present && entry.writable
          && self.tracked[Choice(.log), entry.frame] && self.isUnflushed
      },
      sometimes("an entry that lost write access has it again") { (place: MappingPlace) in
        self.lost[place] && self.entries[place].writable && !self.reopened[place]
      },
      sometimes("an entry has write access again before it faults") { (place: MappingPlace) in
        self.reopened[place] && self.entries[place].writable
          && self.tracked[Choice(.video), self.entries[place].frame]
      },
      sometimes("a processor holds an entry that is gone") { (p: Processor, place: MappingPlace) in
        self.held[p, place].dirty && !self.entries[place].present
      },
      sometimes("a device has let a frame go") { (f: Frame) in self.wasUnknown[f] && !self.isUnknown[f] },
      sometimes("both trackers wait for the same news") { (f: Frame) in
        self.written[Choice(.log), f] && self.written[Choice(.video), f]
      },
      sometimes("one tracker has had the news and the other has not") { (f: Frame) in
        self.tracked[Choice(.video), f] && !self.written[Choice(.video), f] && self.written[Choice(.log), f]
          && !self.isReported(Choice(.video), f)
      },
      sometimes("a device writes") { (f: Frame) in self.isUnknown[f] && self.written[Choice(.video), f] },
    ]
  }
}
