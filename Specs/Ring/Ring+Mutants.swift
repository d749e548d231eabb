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
  ]
) { Ring() }
