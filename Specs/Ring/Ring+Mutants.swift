// SPDX-License-Identifier: Apache-2.0
//
// Bugs that were real, as one-place changes of the specification. Each must be caught.

import Logic

/// XSA-39: the consumer does not test that the producer index is within the ring's size.
final class RingXSA39: Ring {
  override func isBelievable(_ producer: Index, to side: Side) -> Bit { true }
}

/// Classic: no look after setting the event index.
final class RingWithoutRecheck: Ring {
  override func recheck(side: Side) -> Choice<Sight> {
    require(stands(side, at: .rechecking), "R6")
    own[side].step = Choice(.asleep)
    return Choice(.nothing)
  }
}

/// Classic: no barrier between setting the event index and the last look; x86 reorders store and load.
final class RingWithoutConsumerFence: Ring {
  override func ask(side: Side) {
    super.ask(side: side)
    own[side].step = Choice(.rechecking)
  }
}

/// Classic: no barrier between the producer index and the look at the peer's event index.
final class RingWithoutProducerFence: Ring {
  override func publish(side: Side) {
    super.publish(side: side)
    own[side].step = Choice(.fenced)
  }
}

/// Classic: the event test compares with ≤, or what is the same, counts from the wrong end.
final class RingEventOffByOne: Ring {
  override func wantsEvent(_ wanted: Index, old: Index, new: Index) -> Bit { new - wanted + 1 < new - old }
}

/// The index overtakes the messages: a producer stored without release order.
final class RingIndexFirst: Ring {
  override func drainProducer(side: Side) {
    require(buffer[side].holdsProducer)
    shared[side].producer = own[side].published
    buffer[side].holdsProducer = false
  }
}

/// The request/response ring for the engines.
public let ringSubject = Subject(
  "Ring", scopes: [.small],
  mutants: [
    HandMutant(
      "XSA-39", advisory: "XSA-39",
      mechanism: "the consumer does not bound the producer index by the ring's size",
      killer: "the back end never counts more requests than slots"
    ) { RingXSA39() },
    HandMutant(
      "no recheck", advisory: "classic", mechanism: "a side sleeps right after setting its event index",
      killer: "no side sleeps on work"
    ) { RingWithoutRecheck() },
    HandMutant(
      "no consumer fence", advisory: "classic",
      mechanism: "the last look is not held back until the event index is visible",
      killer: "no side sleeps on work"
    ) { RingWithoutConsumerFence() },
    HandMutant(
      "no producer fence", advisory: "classic",
      mechanism: "the look at the event index is not held back until the producer index is visible",
      killer: "no side sleeps on work"
    ) { RingWithoutProducerFence() },
    HandMutant(
      "event off by one", advisory: "classic", mechanism: "the event test misses a message just asked for",
      killer: "no side sleeps on work"
    ) { RingEventOffByOne() },
    HandMutant(
      "index first", advisory: "classic", mechanism: "the producer index is visible before the messages",
      killer: "what is taken is what was put"
    ) { RingIndexFirst() },
  ],
  equivalents: ringEquivalents
) { Ring() }

/// Mechanical mutants of Ring that are no bugs.
private let ringEquivalents: [EquivalentMutant] = {
  let early = "private work done while a fence is awaited: no load or store of shared words moves"
  let again = "to look once more than needed costs a load and changes nothing"
  let slower = "of the two looks before sleep one is enough to learn of a message: slower, and not wrong"
  let kept = "nonsense is believed no more if the ring is kept than if it is given up"
  let reset = "the index published before is read only between publishing and the look at the event index"
  let spurious = "an event too many: a side looks before it acts"
  let lessHostile = "a hostile side that does less, or disturbs itself"
  let stored = "a word that is visible is stored once more"
  return [
    EquivalentMutant("put: guard 1 dropped", because: early),
    EquivalentMutant("put: equality 1 turned round", because: early),
    EquivalentMutant("take: equality 1 turned round", because: early),
    EquivalentMutant("loadEvent: assignment 2 dropped", because: reset),
    EquivalentMutant("look: assignment 1 dropped", because: slower),
    EquivalentMutant("recheck: assignment 1 dropped", because: slower),
    EquivalentMutant("look: assignment 2 dropped", because: kept),
    EquivalentMutant("look: check 5 dropped", because: kept),
    EquivalentMutant("recheck: check 5 dropped", because: kept),
    EquivalentMutant("look: equality 2 turned round", because: again),
    EquivalentMutant("wake: assignment 1 dropped", because: spurious),
    EquivalentMutant(
      "drainMessage: equality 2 turned round",
      because: "messages not yet published may drain or not; nobody looks"),
    EquivalentMutant("drainProducer: guard 1 dropped", because: stored),
    EquivalentMutant("drainEvent: guard 1 dropped", because: stored),
    EquivalentMutant("scribbleEvent: assignment 1 dropped", because: lessHostile),
    EquivalentMutant("poke: guard 1 dropped", because: spurious),
    EquivalentMutant("poke: assignment 1 dropped", because: lessHostile),
    EquivalentMutant("poke: equality 1 turned round", because: lessHostile),
    EquivalentMutant("poke: check 1 dropped", because: lessHostile),
  ]
}()
