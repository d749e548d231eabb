// SPDX-License-Identifier: Apache-2.0

import Logic

extension ShadowState {
  /// R9 and R10 as censuses: who is a member, and whose.
  var censuses: [Invariant] {
    links.invariants(
      "references are exact", "R9", in: self,
      isMember: { $0.level != 0 && self.shadow[$0].present },
      owner: { Pair(self.shadow[$0].target, $0.level - 1) })
      + pages.invariants(
        "shadow pages are exact", "R10", in: self,
        isMember: { self.exists[$0] }, owner: { _ in Choice(.domain) })
  }

  /// What the rules come to.
  var claims: [Invariant] {
    [
      invariant("a processor uses only what was offered since its flush", "R3", over: Offer.self) { offer in
        let used = self.translation(cachedBy: offer.processor, at: offer.place)
        return (used.present && offer.translation.isWithin(used)).implies(self.offered[offer])
      },
      invariant("only level-1 tables go out of sync", "R1") { (f: Frame, l: Level) in
        (self.sync[f] == .outOfSync).implies(self.exists[f, l] == (l == 0))
          && (self.isBehind(f) && l != 0).implies(!self.exists[f, l])
      },
      invariant("no processor writes to a table in sync", "R2") {
        (table: Frame, p: Processor, f: Frame, s: Slot) in
        (self.sync[table] == .inSync).implies(
          !self.translation(cachedBy: p, at: Place(f, 0, s)).writes(to: table))
      },
      invariant("no shadow lets the guest write to a table in sync", "R2") {
        (table: Frame, f: Frame, s: Slot) in
        self.sync[table].isOne(of: .inSync, .closing).implies(
          !self.shadow[Place(f, 0, s)].writes(to: table))
      },
      invariant("in sync, the shadow is within the guest's entry", "R4", over: Place.self) { place in
        (!self.isBehind(place.frame)).implies(
          self.guest[place.frame, place.slot].offers(self.shadow[place], at: place.level))
      },
      invariant("out of sync, the shadow is within the snapshot", "R4") { (f: Frame, s: Slot) in
        self.isBehind(f).implies(self.snapshot[f, s].offers(self.shadow[Place(f, 0, s)], at: 0))
      },
      invariant("what is not queued is within the shadow", "R6", over: Joined<Processor, Place>.self) { key in
        (!self.queued[key.b]).implies(self.cached[key].isWithin(self.shadow[key.b]))
      },
      invariant("what writes to a table out of sync is a fix-up", "R7") { (table: Frame, f: Frame, s: Slot) in
        (self.sync[table] == .outOfSync && self.shadow[Place(f, 0, s)].writes(to: table)).implies(
          self.outOfSync[table].names(f, s))
      },
      invariant("a table out of sync has a seat", "R8") { (f: Frame) in
        let (processor, position) = (self.outOfSync[f].processor, self.outOfSync[f].position)
        let seat = self.seats[processor, position]
        return (self.policy == .few && self.sync[f] == .outOfSync).implies(
          seat.isUsed && seat.frame == f && position != .max)
          && (self.policy == .none).implies(self.sync[f] != .outOfSync)
      },
      invariant("an entry leads to a shadow", "R9", over: Place.self) { place in
        let entry = self.shadow[place]
        return (place.level != 0 && entry.present).implies(self.exists[entry.target, place.level - 1])
      },
      invariant("a processor is led to a shadow", "R9", over: Joined<Processor, Place>.self) { key in
        let entry = self.cached[key]
        return (key.b.level != 0 && entry.present).implies(self.exists[entry.target, key.b.level - 1])
      },
      invariant("CR3 leads to a shadow", "R9") { (p: Processor) in
        self.roots[p].isLoaded.implies(self.exists[self.roots[p].frame, .max])
      },
      invariant("a pinned table has a shadow", "R9") { (f: Frame) in
        self.pinned[f].implies(self.exists[f, .max])
      },
      invariant("shadow memory suffices", "R10") {
        let used = self.pages.count[.init(.domain)]
        return used <= self.capacity && self.promised <= self.capacity
          && (self.promised != 0).implies(used <= self.promised)
      },
      invariant("a processor reaches only what the domain may", "R11") { (p: Processor, f: Frame, s: Slot) in
        let entry = self.translation(cachedBy: p, at: Place(f, 0, s))
        return self.reach[entry.target].allows(entry)
      },
    ]
  }

  /// What the proofs of the claims need besides.
  var lemmas: [Invariant] {
    [
      invariant("a shadow gives only what was offered since any flush", "R3", over: Offer.self) { offer in
        let given = self.shadow[offer.place]
        return (given.present && offer.translation.isWithin(given)).implies(self.offered[offer])
      },
      invariant("the guest's entry is offered", "R3", over: Offer.self) { offer in
        self.guest[offer.place.frame, offer.place.slot].offers(offer.translation, at: offer.place.level)
          .implies(self.offered[offer])
      },
      invariant("a shadow maps only what the domain may reach and keeps", "R11") { (f: Frame, s: Slot) in
        let entry = self.shadow[Place(f, 0, s)]
        return self.reach[entry.target].allows(entry)
          && entry.present.implies(!self.reach[entry.target].isLeaving)
      },
      invariant("where there is no shadow there are no entries", "R9", over: Place.self) { place in
        self.shadow[place].present.implies(self.exists[place.frame, place.level])
      },
      invariant("only tables have shadows", "R2") { (f: Frame, l: Level) in
        self.exists[f, l].implies(self.sync[f] != .plain)
      },
      invariant("tables are the domain's to write", "R11") { (f: Frame) in
        (self.sync[f] != .plain).implies(self.reach[f].writes && !self.reach[f].isLeaving)
      },
      invariant("who leaves was there, and who writes maps", "R11") { (f: Frame) in
        (self.reach[f].isLeaving || self.reach[f].writes).implies(self.reach[f].maps)
      },
      invariant("a seat is of a table out of sync", "R8") { (p: Processor, position: Position) in
        let seat = self.seats[p, position]
        let own = self.outOfSync[seat.frame]
        return seat.isUsed.implies(
          self.policy == .few && self.sync[seat.frame] == .outOfSync && own.processor == p
            && own.position == position)
      },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "Only level-1 tables go out of sync; a frame that is any other table too never does.",
        by: "only level-1 tables go out of sync"),
      Rule(
        "R2", "A table in sync has no writable mapping, neither in a shadow nor with a processor.",
        by: "no processor writes to a table in sync", "no shadow lets the guest write to a table in sync"),
      Rule(
        "R3", "A processor uses only what the guest's entry offered since its last flush of that entry.",
        by: "a processor uses only what was offered since its flush"),
      Rule(
        "R4",
        "In sync, every right of a shadow is a right of the guest's entry; out of sync, of the snapshot's.",
        by: "in sync, the shadow is within the guest's entry",
        "out of sync, the shadow is within the snapshot"),
      Rule(
        "R5", "Tables come back into sync at CR3 load, flush, promotion and eviction.",
        by: "a shadow gives only what was offered since any flush", "only level-1 tables go out of sync"),
      Rule(
        "R6", "A downgrade is relied on only when it is stored; what is stored, no processor exceeds.",
        by: "what is not queued is within the shadow", "no processor writes to a table in sync"),
      Rule(
        "R7", "Of a table out of sync every writable mapping is one of its two fix-ups.",
        by: "what writes to a table out of sync is a fix-up"),
      Rule(
        "R8", "At most three tables a processor are out of sync; none in Shadow-2, any number in Shadow-1.",
        by: "a table out of sync has a seat", "a seat is of a table out of sync"),
      Rule(
        "R9", "References balance, and a shadow is freed only when nothing leads to it.",
        by: "references are exact", "references are exact: each member has its position",
        "references are exact: each position has its member", "an entry leads to a shadow",
        "a processor is led to a shadow", "CR3 leads to a shadow", "a pinned table has a shadow"),
      Rule(
        "R10", "Shadow memory is bounded, and an operation that is begun finds the pages that it needs.",
        by: "shadow memory suffices", "shadow pages are exact"),
      Rule(
        "R11",
        "A shadow maps only what the domain may reach, and a frame leaves when no processor reaches it.",
        by: "a processor reaches only what the domain may",
        "a shadow maps only what the domain may reach and keeps"),
      Rule(
        "R12", "Guests store anything, through any writable translation that one of their processors holds.",
        by: "storeByGuest"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("a table is out of sync and its shadow exceeds the guest's entry") { (f: Frame, s: Slot) in
        self.sync[f] == .outOfSync && !self.guest[f, s].offers(self.shadow[Place(f, 0, s)], at: 0)
      },
      sometimes("a guest can write to its own table") { (table: Frame, p: Processor, f: Frame, s: Slot) in
        self.sync[table] == .outOfSync
          && self.translation(cachedBy: p, at: Place(f, 0, s)).writes(to: table)
      },
      sometimes("a processor uses more than the shadow gives") { (p: Processor, f: Frame, s: Slot) in
        let place = Place(f, 0, s)
        return !self.translation(cachedBy: p, at: place).isWithin(self.shadow[place])
      },
      sometimes("a processor writes to a table that is being closed") {
        (table: Frame, p: Processor, f: Frame, s: Slot) in
        self.sync[table] == .closing && self.translation(cachedBy: p, at: Place(f, 0, s)).writes(to: table)
      },
      sometimes("a processor walks from the highest table to a page") { (p: Processor, s: Slot) in
        let root = self.roots[p]
        let leaf = self.translation(cachedBy: p, at: Place(root.frame, .max, s))
        return root.isLoaded && leaf.present
          && self.translation(cachedBy: p, at: Place(leaf.target, 0, s)).present
      },
      sometimes("a processor can read what is leaving") { (p: Processor, f: Frame, s: Slot) in
        let entry = self.translation(cachedBy: p, at: Place(f, 0, s))
        return entry.present && self.reach[entry.target].isLeaving
      },
      sometimes("a frame is a table at two levels") { (f: Frame, l: Level) in
        l != 0 && self.exists[f, l] && self.exists[f, 0]
      },
      sometimes("shadow memory is used up") {
        self.pages.count[.init(.domain)] == self.capacity && self.capacity != 0
      },
    ]
  }
}
