// SPDX-License-Identifier: Apache-2.0
//
// The byte stream (io/console.h, io/xs_wire.h): one direction of a pair.
//
// A writer and a reader share 2ⁿ bytes and two free-running indices, the writer's producer and the reader's
// consumer. There are no event indices: whoever moves bytes sends an event, by a hypercall, before which all its
// stores are visible. Each action is one load, one store of an index, one byte, or private work; stores wait in the
// side's store buffer, in order. A hostile side stores what it likes and takes no other step; what it stores as bytes
// is arbitrary and decides nothing, and is left out.
//
// R1  Each side believes the other's index only within what the stream can hold.
// R2  The writer writes a byte only where the reader has read, and said so.
// R3  Bytes are read once, in order, as they were written.
// R4  An index is stored after the bytes that it speaks of were written, or read.
// R5  Whoever moved bytes sends an event after its index is visible; no side sleeps on work without one.
//
// R1 and R2 hold against a hostile peer; R3 and R5 where both keep to the protocol.

import Logic

/// The two sides of a byte stream.
public enum StreamEnd: ChoiceSort { case writer, reader }

/// Where a side stands.
public enum StreamStep: ChoiceSort { case idle, moved, asleep, broken }

/// What a side keeps to itself.
public struct StreamOwn: Record {
  /// The next byte that it moves.
  public var position = Index(0)
  /// Its index as last stored.
  public var published = Index(0)
  /// The peer's index, as last seen and found valid.
  public var known = Index(0)
  public var step = Choice(StreamStep.idle)

  public init() {}
  public static var fields: [Field<StreamOwn>] {
    [Field(\.position), Field(\.published), Field(\.known), Field(\.step)]
  }
}

/// The specification of one direction of a pair of byte streams.
public class Stream: Machine {
  public typealias Side = Choice<StreamEnd>

  /// Bytes: a power of two.
  @Var(anyOf: Index.self) var size: Index
  @Var(anyOf: Table<Bit, Side>.self) var hostile: Table<Bit, Side>
  /// The shared indices: the writer's producer, the reader's consumer.
  @Var var shared: Table<Index, Side>
  /// Each byte by its serial number, which stands for what was written.
  @Var var bytes: Table<Index, Index>
  @Var var own: Table<StreamOwn, Side>
  /// Bytes of the writer before this one have reached memory.
  @Var var drained: Index
  /// Whether the side's index waits in its store buffer.
  @Var var buffered: Table<Bit, Side>
  @Var var event: Table<Bit, Side>
  @Ghost var garbled: Bit

  func peer(_ side: Side) -> Side { choose(side == .writer, Side(.reader), Side(.writer)) }
  func slot(_ index: Index) -> Index { index & (size - 1) }

  /// Whether both sides keep to the protocol.
  var bothHonest: Bit { !hostile[.init(.writer)] && !hostile[.init(.reader)] }

  /// Whether the side keeps to the protocol, and stands there.
  func stands(_ side: Side, at step: StreamStep) -> Bit { !hostile[side] && own[side].step == step }

  /// Whether the peer's index can be believed (R1).
  func isBelievable(_ index: Index, to side: Side) -> Bit {
    choose(side == .writer, own[side].position - index <= size, index - own[side].position <= size)
  }

  /// Whether the side has nothing to do until its peer moves, as far as it knows.
  func isStuck(_ side: Side, _ index: Index) -> Bit {
    choose(side == .writer, own[side].position - index == size, index == own[side].position)
  }

  /// Loads the peer's index.
  func look(side: Side) -> Choice<Sight> {
    require(stands(side, at: .idle) && own[side].position == own[side].published && !buffered[side])
    let index = shared[peer(side)]
    let sight = Choice<Sight>.first(
      (!isBelievable(index, to: side), .nonsense), (isStuck(side, index), .nothing), otherwise: .something)
    when(sight != .nonsense) { own[side].known = index }
    own[side].step = choose(
      sight == .nonsense, Choice(.broken), choose(sight == .nothing, Choice(.asleep), Choice(.idle)))
    return sight
  }

  /// Writes the next byte.
  func write() {
    let mine = own[.init(.writer)]
    require(stands(.init(.writer), at: .idle) && !buffered[.init(.writer)])
    require(mine.position - mine.known < size, "R2")
    own[.init(.writer)].position += 1
  }

  /// Reads the next byte, once.
  func read() -> Index {
    let mine = own[.init(.reader)]
    require(stands(.init(.reader), at: .idle) && !buffered[.init(.reader)] && mine.position != mine.known)
    let byte = bytes[slot(mine.position)]
    garbled = garbled || (bothHonest && byte != mine.position)
    own[.init(.reader)].position += 1
    return byte
  }

  /// Stores the side's index when it has moved bytes.
  func publish(side: Side) {
    require(stands(side, at: .idle) && own[side].position != own[side].published && !buffered[side])
    own[side].published = own[side].position
    buffered[side] = true
    own[side].step = Choice(.moved)
  }

  /// Sends the event: the hypercall waits for the store buffer.
  func notify(side: Side) {
    require(stands(side, at: .moved) && !buffered[side], "R5")
    event[peer(side)] = true
    own[side].step = Choice(.idle)
  }

  func wake(side: Side) {
    require(stands(side, at: .asleep) && event[side])
    event[side] = false
    own[side].step = Choice(.idle)
  }

  func drainByte() {
    let mine = own[.init(.writer)]
    require(drained != mine.position)
    require(!buffered[.init(.writer)] || drained != mine.published, "R4")
    when(bothHonest) { bytes[slot(drained)] = drained }
    drained += 1
  }
  func drainIndex(side: Side) {
    require(buffered[side])
    require(side == .reader || drained == own[side].published, "R4")
    shared[side] = own[side].published
    buffered[side] = false
  }

  func scribbleIndex(side: Side, value: Index) {
    require(hostile[side])
    shared[side] = value
  }
  func poke(side: Side) {
    require(hostile[side])
    event[peer(side)] = true
  }

  public override var actions: [Action] {
    [
      action("look(side:)", look), action("write()", write), action("read()", read),
      action("publish(side:)", publish), action("notify(side:)", notify), action("wake(side:)", wake),
      action("drainByte()", drainByte), action("drainIndex(side:)", drainIndex),
      action("scribbleIndex(side:value:)", scribbleIndex), action("poke(side:)", poke),
    ]
  }
  public override var assumptions: [Invariant] {
    [assume("size is a power of two") { self.size != 0 && self.size & (self.size - 1) == 0 }]
  }
  public override var invariants: [Invariant] { guarantees + strengthenings }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
}
