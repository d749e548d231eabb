// SPDX-License-Identifier: Apache-2.0

import Logic

extension RingState {
  private var front: Side { Side(.front) }
  private var back: Side { Side(.back) }

  /// How far an index is ahead of the responses that the front end has taken: the oldest thing that the ring holds.
  private func age(_ index: Index) -> Index { index - own[front].taken }

  var guarantees: [Invariant] {
    [
      invariant("the back end never counts more requests than slots", "R1") {
        let mine = self.own[self.back]
        return mine.taken - mine.put <= mine.known - mine.put && mine.known - mine.put <= self.size
      },
      invariant("the front end never counts responses to requests not made", "R1") {
        let mine = self.own[self.front]
        return mine.known - mine.taken <= mine.published - mine.taken
          && mine.published - mine.taken <= mine.put - mine.taken && mine.put - mine.taken <= self.size
      },
      invariant("what is taken is what was put", "R3") { !self.garbled },
      invariant("no side sleeps on work", "R7") { (side: Side) in
        let other = self.peer(side)
        let busy = self.own[other].step.isOne(of: .published, .fenced)
        let waits = self.own[side].step == .asleep && !self.event[side]
        return (self.bothHonest && waits && !busy).implies(
          self.shared[other].producer == self.own[side].taken)
      },
      invariant("honest sides believe one another", "R1") { (side: Side) in
        self.bothHonest.implies(self.own[side].step != .broken)
      },
      invariant("no unread message is overwritten", "R2") { (index: Index) in
        let unread =
          self.age(index) < self.age(self.shared[self.front].producer)
          && self.age(index) >= self.age(self.own[self.back].taken)
        return (self.bothHonest && unread).implies(
          self.slots[self.slot(index)] == Message(from: self.front, serial: index))
      },
    ]
  }

  var strengthenings: [Invariant] {
    [
      invariant("everything in the ring has its order") {
        let (f, b) = (self.front, self.back)
        let order = [
          self.own[f].known, self.shared[b].producer, self.buffer[b].drained, self.own[b].put,
          self.own[b].taken, self.own[b].known, self.shared[f].producer, self.buffer[f].drained,
          self.own[f].put,
        ].map(self.age)
        let sorted = zip(order, order.dropFirst()).reduce(Bit(true)) { $0 && $1.0 <= $1.1 }
        return self.bothHonest.implies(sorted && order[order.count - 1] <= self.size)
      },
      invariant("the published is what memory shows, or is about to") { (side: Side) in
        let mine = self.own[side]
        let (shown, pending) = (self.shared[side].producer, self.buffer[side].holdsProducer)
        let about = mine.step == .published && shown == mine.before
        let within = mine.published - mine.before <= mine.put - mine.before
        return self.bothHonest.implies(choose(pending, about && within, shown == mine.published))
      },
      invariant("drained messages are before the buffered index") { (side: Side) in
        let mine = self.own[side]
        let drained = self.buffer[side].drained
        return (self.bothHonest && self.buffer[side].holdsProducer).implies(
          drained - mine.before <= mine.published - mine.before)
      },
      invariant("a buffered event index is one just asked for") { (side: Side) in
        self.bothHonest.implies(
          self.buffer[side].holdsEvent.implies(self.own[side].step == .asked)
            && self.own[side].step.isOne(of: .fenced, .rechecking, .asleep).implies(
              self.buffer[side].holdsProducer == false && self.buffer[side].holdsEvent == false)
        )
      },
      invariant("who looks for the last time has asked for the next message", "R6") { (side: Side) in
        (self.bothHonest && self.own[side].step.isOne(of: .asked, .rechecking, .asleep)).implies(
          self.own[side].taken == self.own[side].known
            && (self.buffer[side].holdsEvent || self.shared[side].event == self.own[side].taken + 1))
      },
      invariant("a sleeper's event is on its way or nothing was published", "R7") { (side: Side) in
        let other = self.own[self.peer(side)]
        let waits = self.own[side].step == .asleep && !self.event[side]
        let underWay = other.step.isOne(of: .published, .fenced) && other.before == self.own[side].taken
        return (self.bothHonest && waits).implies(other.published == self.own[side].taken || underWay)
      },
      invariant("requests not taken lie in their slots", "R4") { (index: Index) in
        let drained =
          self.age(index) < self.age(self.buffer[self.front].drained)
          && self.age(index) >= self.age(self.own[self.back].taken)
        return (self.bothHonest && drained).implies(
          self.slots[self.slot(index)] == Message(from: self.front, serial: index))
      },
      invariant("responses not taken lie in their slots", "R4") { (index: Index) in
        (self.bothHonest && self.age(index) < self.age(self.buffer[self.back].drained)).implies(
          self.slots[self.slot(index)] == Message(from: self.back, serial: index))
      },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "A side believes the peer's index only within what the ring can hold.",
        by: "the back end never counts more requests than slots",
        "the front end never counts responses to requests not made", "honest sides believe one another"),
      Rule("R2", "A side writes a slot only when it is free.", by: "no unread message is overwritten"),
      Rule(
        "R3", "Each message is taken once, in order, as it was written.", by: "what is taken is what was put"),
      Rule(
        "R4", "A producer index is stored after the messages that it publishes.",
        by: "requests not taken lie in their slots", "responses not taken lie in their slots"),
      Rule("R5", "A full fence lies between producer store and event load.", by: "no side sleeps on work"),
      Rule(
        "R6", "A full fence lies between event store and last look.",
        by: "who looks for the last time has asked for the next message"),
      Rule("R7", "No side sleeps on work.", by: "no side sleeps on work"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("a ring is full") { self.own[self.front].put - self.own[self.front].taken == self.size },
      sometimes("both sides sleep") {
        self.own[self.front].step == .asleep && self.own[self.back].step == .asleep
      },
      sometimes("a response is taken") {
        self.bothHonest && self.own[self.front].taken != 0 && self.own[self.front].step == .idle
      },
      sometimes("a hostile index is refused") { (side: Side) in
        self.own[side].step == .broken && !self.hostile[side]
      },
      sometimes("an event wakes a sleeper") { (side: Side) in
        self.bothHonest && self.own[side].step == .asleep && self.event[side]
      },
    ]
  }
}
