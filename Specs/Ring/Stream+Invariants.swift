// SPDX-License-Identifier: Apache-2.0

import Logic

extension Stream {
  private var writer: Side { Side(.writer) }
  private var reader: Side { Side(.reader) }

  /// How far an index is ahead of what the reader has said it has read.
  private func age(_ index: Index) -> Index { index - shared[reader] }

  var guarantees: [Invariant] {
    [
      invariant("the writer never has more under way than fits", "R1") {
        self.own[self.writer].position - self.own[self.writer].known <= self.size
      },
      invariant("the reader never reads beyond what fits", "R1") {
        self.own[self.reader].known - self.own[self.reader].position <= self.size
      },
      invariant("what is read is what was written", "R3") { !self.garbled },
      invariant("honest sides believe one another", "R1") { (side: Side) in
        self.bothHonest.implies(self.own[side].step != .broken)
      },
      invariant("no unread byte is overwritten", "R2") { (index: Index) in
        let unread =
          self.age(index) < self.age(self.drained)
          && self.age(index) >= self.age(self.own[self.reader].position)
        return (self.bothHonest && unread).implies(self.bytes[self.slot(index)] == index)
      },
      invariant("no side sleeps on work", "R5") { (side: Side) in
        let other = self.own[self.peer(side)]
        let waits = self.own[side].step == .asleep && !self.event[side]
        return (self.bothHonest && waits && other.step != .moved).implies(
          self.isStuck(side, self.shared[self.peer(side)]))
      },
    ]
  }

  var strengthenings: [Invariant] {
    [
      invariant("everything in the stream has its order") {
        let order = [
          self.own[self.reader].position, self.own[self.reader].known, self.shared[self.writer], self.drained,
          self.own[self.writer].position,
        ].map(self.age)
        let sorted = zip(order, order.dropFirst()).reduce(Bit(true)) { $0 && $1.0 <= $1.1 }
        let known = self.own[self.writer].position - self.own[self.writer].known
        return self.bothHonest.implies(
          sorted && order[order.count - 1] <= known && known <= self.size)
      },
      invariant("the published is what memory shows, or is about to", "R4") { (side: Side) in
        let mine = self.own[side]
        return self.bothHonest.implies(
          choose(
            self.buffered[side], mine.step == .moved && mine.position == mine.published,
            self.shared[side] == mine.published))
      },
      invariant("the published is between what memory shows and the position") { (side: Side) in
        let mine = self.own[side]
        return self.bothHonest.implies(
          mine.published - self.shared[side] <= mine.position - self.shared[side])
      },
      invariant("a sleeper has published all") { (side: Side) in
        let mine = self.own[side]
        return (self.bothHonest && mine.step == .asleep).implies(
          mine.position == mine.published && !self.buffered[side])
      },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "Each side believes the other's index only within what the stream can hold.",
        by: "the writer never has more under way than fits", "the reader never reads beyond what fits",
        "honest sides believe one another"),
      Rule("R2", "The writer writes only where the reader has read.", by: "no unread byte is overwritten"),
      Rule("R3", "Bytes are read once, in order.", by: "what is read is what was written"),
      Rule(
        "R4", "An index is stored after the bytes that it speaks of.",
        by: "the published is what memory shows, or is about to"),
      Rule("R5", "Whoever moved bytes sends an event.", by: "no side sleeps on work"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("the stream is full") {
        self.own[self.writer].position - self.own[self.reader].position == self.size
      },
      sometimes("a byte is read") { self.bothHonest && self.own[self.reader].position != 0 },
      sometimes("both sides sleep, each with an event on its way") {
        self.own[self.writer].step == .asleep && self.own[self.reader].step == .asleep
      },
      sometimes("a hostile index is refused") { (side: Side) in
        self.own[side].step == .broken && !self.hostile[side]
      },
    ]
  }
}

/// The reader does not bound the producer index: the stream's own XSA-39.
final class StreamUnbounded: Stream {
  override func isBelievable(_ index: Index, to side: Side) -> Bit { true }
}

/// The event is sent before the index is visible.
final class StreamEarlyEvent: Stream {
  override func publish(side: Side) {
    super.publish(side: side)
    event[peer(side)] = true
    own[side].step = Choice(.idle)
  }
}

/// The byte stream for the engines.
public let streamSubject = Subject(
  "Stream", scopes: [.small],
  mutants: [
    HandMutant(
      "stream XSA-39", advisory: "XSA-39", mechanism: "the peer's index is not bounded by the stream's size",
      killer: "the reader never reads beyond what fits"
    ) { StreamUnbounded() },
    HandMutant(
      "early event", advisory: "classic", mechanism: "the event is sent before the index is visible",
      killer: "no side sleeps on work"
    ) { StreamEarlyEvent() },
  ],
  equivalents: [
    EquivalentMutant(
      "publish: guard 1 dropped", because: "to publish what is published already is idle work"),
    EquivalentMutant("wake: assignment 1 dropped", because: "an event too many: a side looks before it acts"),
    EquivalentMutant(
      "drainByte: equality 2 turned round", because: "bytes not yet published may drain or not; nobody looks"),
    EquivalentMutant("drainIndex: guard 1 dropped", because: "an index that is visible is stored once more"),
    EquivalentMutant("poke: guard 1 dropped", because: "an event too many: a side looks before it acts"),
    EquivalentMutant("poke: assignment 1 dropped", because: "a hostile side that does less"),
    EquivalentMutant("poke: equality 1 turned round", because: "a hostile side that wakes itself"),
    EquivalentMutant("poke: check 1 dropped", because: "a hostile side that wakes itself"),
  ]
) { Stream() }
