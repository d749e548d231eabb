// SPDX-License-Identifier: Apache-2.0

import Logic

public enum RingIndexSort: WordSort {
  /// Free-running 32-bit indices; explored with 2 bits, so that they wrap at once.
  public static let sort = Sort.word("Index", realBits: 32, scopeBits: 2)
}

/// A free-running index: it counts requests (or responses) since the ring was made, modulo 2³².
public typealias Index = Word<RingIndexSort>

/// The two ends of a ring. The front end makes requests, the back end answers them.
public enum End: ChoiceSort { case front, back }

public typealias Side = Choice<End>

/// Where a side stands in its protocol. Between steps it does other work; asleep, it waits for an event.
public enum Step: ChoiceSort {
  case idle
  /// It stored its producer index, and has to pass a fence before it looks whether the peer wants an event.
  case published
  /// It passed that fence.
  case fenced
  /// It found nothing, stored its event index, and has to pass a fence before it looks once more.
  case asked
  /// It passed that fence.
  case rechecking
  case asleep
  /// The peer's index made no sense: the ring is given up.
  case broken
}

/// What a look at the peer's producer index shows.
public enum Sight: ChoiceSort { case nothing, something, nonsense }

/// What a slot holds: whose message, and which of that side's. Payloads are told apart by no more than that.
public struct Message: Record {
  public var from = Choice(End.front)
  public var serial = Index(0)

  public init() {}
  public init(from: Side, serial: Index) {
    self.from = from
    self.serial = serial
  }
  public static var fields: [Field<Message>] { [Field(\.from), Field(\.serial)] }
}

/// The shared words that a side stores to: for the front end `req_prod` and `rsp_event`, for the back end
/// `rsp_prod` and `req_event`.
public struct SharedWords: Record {
  public var producer = Index(0)
  /// The side asks for an event when the peer's producer passes this.
  public var event = Index(1)

  public init() {}
  public static var fields: [Field<SharedWords>] { [Field(\.producer), Field(\.event)] }
}

/// What a side keeps to itself.
public struct Own: Record {
  /// The next slot that it writes.
  public var put = Index(0)
  /// What it last stored (if only into its store buffer) as its producer; and what was there before.
  public var published = Index(0)
  public var before = Index(0)
  /// The next of the peer's messages that it takes.
  public var taken = Index(0)
  /// The peer's producer, as last seen and found valid.
  public var known = Index(0)
  public var step = Choice(Step.idle)

  public init() {}
  public static var fields: [Field<Own>] {
    [Field(\.put), Field(\.published), Field(\.before), Field(\.taken), Field(\.known), Field(\.step)]
  }
}

/// The part of a side's store buffer that has not reached memory. Messages go in order; the producer index follows
/// the messages before it. The event index may overtake messages: that is weaker than x86-TSO, so what holds here
/// holds there.
public struct StoreBuffer: Record {
  /// Messages before this one have reached memory.
  public var drained = Index(0)
  public var holdsProducer: Bit = false
  public var holdsEvent: Bit = false

  public init() {}
  public static var fields: [Field<StoreBuffer>] {
    [Field(\.drained), Field(\.holdsProducer), Field(\.holdsEvent)]
  }
}
