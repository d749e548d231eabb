// SPDX-License-Identifier: Apache-2.0
//
// The request/response ring (io/ring.h).
//
// Two processors share a page: four free-running 32-bit indices and 2ⁿ slots. The front end writes requests and
// publishes them by its producer index; the back end takes them and writes each response into a slot whose request
// it has taken. Before it sleeps, a side stores in its event index which message it wants an event for, and looks
// once more; after publishing, a side looks at the peer's event index to see whether to send one.
//
// Each action is one load, one store, one fence, or private work. Stores go into the side's store buffer and reach
// memory later (x86-TSO); a load does not wait for them.
//
// A hostile side stores what it likes, at any time; it takes no other step, as nothing else of it can be seen. Of what
// it stores, the words that its peer loads matter, and are modelled. What it stores to slots, and to words that only
// it loads, is arbitrary and decides nothing: with a hostile side, the contents of slots are left out.
//
// R1  A side believes the peer's producer index only within what the ring can hold. (XSA-39)
// R2  A side writes a slot only when it is free: the front end when the response in it was taken, the back end when
//     the request in it was taken.
// R3  Each message is taken once, in order, as it was written.
// R4  A producer index is stored after the messages that it publishes.
// R5  Between storing its producer and loading the peer's event index, a side passes a full fence.
// R6  Between storing its event index and the last look before sleep, a side passes a full fence.
// R7  No side sleeps while there is something to take and no event on the way.
//
// R1 and R2 hold against a hostile peer; R3 and R7 where both sides keep to the protocol.

import Logic

/// The state of a ring and what its words mean; the steps are in `Ring`.
public class RingState: Machine {
  /// Slots: a power of two.
  @Var(anyOf: Index.self) var size: Index
  /// Which sides do not keep to the protocol.
  @Var(anyOf: Table<Bit, Side>.self) var hostile: Table<Bit, Side>

  @Var var shared: Table<SharedWords, Side>
  @Var var slots: Table<Message, Index>
  @Var var own: Table<Own, Side>
  @Var var buffer: Table<StoreBuffer, Side>
  /// An event on its way to the side.
  @Var var event: Table<Bit, Side>

  /// Whether a side took something else than what its peer put there.
  @Ghost var garbled: Bit

  func peer(_ side: Side) -> Side { choose(side == .front, Side(.back), Side(.front)) }

  /// Where the message of an index lies.
  func slot(_ index: Index) -> Index { index & (size - 1) }

  /// Whether both sides keep to the protocol.
  var bothHonest: Bit { !hostile[.init(.front)] && !hostile[.init(.back)] }

  /// Whether the side keeps to the protocol, and stands there.
  func stands(_ side: Side, at step: Step) -> Bit { !hostile[side] && own[side].step == step }

  /// Whether the side may write its next message (R2).
  func hasRoom(_ side: Side) -> Bit {
    choose(side == .front, own[side].put - own[side].taken < size, own[side].put != own[side].taken)
  }

  /// Whether the peer's producer index can be believed (R1).
  func isBelievable(_ producer: Index, to side: Side) -> Bit {
    let mine = own[side]
    return choose(
      side == .front, producer - mine.taken <= mine.published - mine.taken,
      producer - mine.taken <= size - (mine.taken - mine.put))
  }

  /// Whether a message published from `old` to `new` is one that the peer asked to hear of.
  func wantsEvent(_ wanted: Index, old: Index, new: Index) -> Bit { new - wanted < new - old }

  /// Whether all that the side stored has reached memory.
  func isDrained(_ side: Side) -> Bit {
    buffer[side].drained == own[side].put && !buffer[side].holdsProducer && !buffer[side].holdsEvent
  }
}

/// The specification of request/response rings.
public class Ring: RingState {
  // MARK: Producing

  /// Writes a message into the next slot.
  func put(side: Side) {
    require(stands(side, at: .idle))
    require(hasRoom(side), "R2")
    own[side].put += 1
  }

  /// Stores the producer index.
  func publish(side: Side) {
    require(stands(side, at: .idle) && !buffer[side].holdsProducer)
    own[side].before = own[side].published
    own[side].published = own[side].put
    buffer[side].holdsProducer = true
    own[side].step = Choice(.published)
  }

  /// Loads the peer's event index; answers whether to send an event, and sends it.
  func loadEvent(side: Side) -> Bit {
    require(stands(side, at: .fenced), "R5")
    let wanted = wantsEvent(shared[peer(side)].event, old: own[side].before, new: own[side].published)
    when(wanted) { event[peer(side)] = true }
    own[side].before = own[side].published
    own[side].step = Choice(.idle)
    return wanted
  }

  // MARK: Consuming

  /// Loads the peer's producer index when all that was known is taken.
  func look(side: Side) -> Choice<Sight> {
    require(stands(side, at: .idle) && own[side].taken == own[side].known)
    return see(side, otherwise: .idle)
  }

  /// Takes the next message: one read of its slot.
  func take(side: Side) -> Message {
    require(stands(side, at: .idle) && own[side].taken != own[side].known)
    let message = slots[slot(own[side].taken)]
    let right = message == Message(from: peer(side), serial: own[side].taken)
    garbled = garbled || (bothHonest && !right)
    own[side].taken += 1
    return message
  }

  /// Stores the event index: the next message is to be announced.
  func ask(side: Side) {
    require(stands(side, at: .idle) && own[side].taken == own[side].known && !buffer[side].holdsEvent)
    buffer[side].holdsEvent = true
    own[side].step = Choice(.asked)
  }

  /// Looks once more, and sleeps if there is still nothing.
  func recheck(side: Side) -> Choice<Sight> {
    require(stands(side, at: .rechecking), "R6")
    return see(side, otherwise: .asleep)
  }

  func see(_ side: Side, otherwise: Step) -> Choice<Sight> {
    let producer = shared[peer(side)].producer
    let sight = Choice<Sight>.first(
      (!isBelievable(producer, to: side), .nonsense),
      (producer == own[side].taken, .nothing),
      otherwise: .something)
    when(sight != .nonsense) { own[side].known = producer }
    own[side].step = choose(
      sight == .nonsense, Choice(.broken), choose(sight == .nothing, Choice(otherwise), Choice(.idle)))
    return sight
  }

  func wake(side: Side) {
    require(stands(side, at: .asleep) && event[side])
    event[side] = false
    own[side].step = Choice(.idle)
  }

  // MARK: The processor

  /// A full fence: the processor goes on when its store buffer is empty.
  func fence(side: Side) {
    require(own[side].step.isOne(of: .published, .asked) && isDrained(side))
    own[side].step = choose(own[side].step == .published, Choice(.fenced), Choice(.rechecking))
  }

  /// The oldest message in the store buffer reaches memory.
  func drainMessage(side: Side) {
    let next = buffer[side].drained
    require(next != own[side].put)
    require(!buffer[side].holdsProducer || next != own[side].published, "R4")
    when(bothHonest) { slots[slot(next)] = Message(from: side, serial: next) }
    buffer[side].drained = next + 1
  }

  func drainProducer(side: Side) {
    require(buffer[side].holdsProducer)
    require(buffer[side].drained == own[side].published, "R4")
    shared[side].producer = own[side].published
    buffer[side].holdsProducer = false
  }

  func drainEvent(side: Side) {
    require(buffer[side].holdsEvent)
    shared[side].event = own[side].taken + 1
    buffer[side].holdsEvent = false
  }

  // MARK: A hostile side

  func scribbleProducer(side: Side, value: Index) {
    require(hostile[side])
    shared[side].producer = value
  }
  func scribbleEvent(side: Side, value: Index) {
    require(hostile[side])
    shared[side].event = value
  }
  /// An event without a reason.
  func poke(side: Side) {
    require(hostile[side])
    event[peer(side)] = true
  }

  public override var actions: [Action] {
    [
      action("put(side:)", put), action("publish(side:)", publish), action("loadEvent(side:)", loadEvent),
      action("look(side:)", look), action("take(side:)", take), action("ask(side:)", ask),
      action("recheck(side:)", recheck), action("wake(side:)", wake),
      action("fence(side:)", fence), action("drainMessage(side:)", drainMessage),
      action("drainProducer(side:)", drainProducer), action("drainEvent(side:)", drainEvent),
      action("scribbleProducer(side:value:)", scribbleProducer),
      action("scribbleEvent(side:value:)", scribbleEvent), action("poke(side:)", poke),
    ]
  }
  public override var assumptions: [Invariant] {
    [assume("size is a power of two") { self.size != 0 && self.size & (self.size - 1) == 0 }]
  }
  public override var invariants: [Invariant] { guarantees + strengthenings }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
}
