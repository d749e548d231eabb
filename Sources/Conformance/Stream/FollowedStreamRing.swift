// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// One end of a pair of byte streams, each direction followed by a specification of its own, over the real page and
/// beside a peer that really runs. To the specifications the peer is hostile: it stores, between any two accesses,
/// whatever was then found in its index.
public final class FollowedStreamRing<Reader: StreamSide, Writer: StreamSide>: StreamRing {
  private let incoming: FollowedStream<Reader>
  private let outgoing: FollowedStream<Writer>

  /// Told of each operation that was compared, by the oracle that followed it.
  public var onOperation: (Oracle) -> Void = { _ in }
  /// Told of the first difference; from then on nothing is moved any more.
  public var onDivergence: (Divergence) -> Void = { _ in }

  /// The specifications' sides, in the order reader, writer. Each began with `start`.
  public var oracles: [Oracle] { [incoming.oracle, outgoing.oracle] }
  /// What a specification's state was given at the beginning, in the order of `oracles`.
  public var starts: [[StreamStart]] { [incoming.page.starts, outgoing.page.starts] }

  /// Attaches to the streams in `page` (4096 bytes), at the host's end.
  public init(
    page: UnsafeMutableRawPointer, layout: StreamRingLayout, _ reader: Reader.Type, _ writer: Writer.Type
  ) {
    precondition(Reader.role == .reader && Writer.role == .writer, "a reader and a writer")
    incoming = FollowedStream(SharedStreamMemory(page: page, direction: layout.fromGuest))
    outgoing = FollowedStream(SharedStreamMemory(page: page, direction: layout.toGuest))
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    try perform(incoming, buffer)
  }

  public func write(_ buffer: UnsafeRawBufferPointer) throws(RingError) -> Int {
    // A writer only reads its buffer.
    try perform(outgoing, UnsafeMutableRawBufferPointer(mutating: buffer))
  }

  private var hasDiverged = false

  private func perform<Side: StreamSide>(
    _ stream: FollowedStream<Side>, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(RingError) -> Int {
    if let error = stream.corruption { throw error }
    if hasDiverged { return 0 }
    do throws(Divergence) {
      let outcome = try stream.move(buffer)
      onOperation(stream.oracle)
      if case .moved(let count) = outcome { return count }
    } catch {
      hasDiverged = true
      onDivergence(error)
    }
    if let error = stream.corruption { throw error }
    return 0
  }
}

extension FollowedStreamRing where Reader == OptimisedStreamReader, Writer == OptimisedStreamWriter {
  /// Attaches the optimised sides to the streams in `page` (4096 bytes), at the host's end.
  public convenience init(page: UnsafeMutableRawPointer, layout: StreamRingLayout) {
    self.init(page: page, layout: layout, OptimisedStreamReader.self, OptimisedStreamWriter.self)
  }
}

/// A value that a variable of the specification is given before the first step: `size`, `hostile`.
public struct StreamStart: Sendable, Hashable {
  public var component: String
  public var keys: [UInt64]
  public var value: UInt64
}

/// One direction, followed.
private final class FollowedStream<Side: StreamSide> {
  let oracle: Oracle
  let page: SharedStreamPage
  private let follower: StreamFollower
  private var side: Side
  /// The stream is not used any more after this.
  private(set) var corruption: RingError?

  init(_ memory: SharedStreamMemory) {
    let model = SharedStreamPage.model
    let base = memory.load(Side.role.index)
    oracle = Oracle(model.programs)
    page = SharedStreamPage(memory, oracle, Side.role)
    follower = StreamFollower(model, oracle, Side.role, at: base, size: memory.size, page)
    side = Side(memory: StreamTap(size: memory.size, accesses: follower), position: base)
  }

  func move(_ buffer: UnsafeMutableRawBufferPointer) throws(Divergence) -> StreamOutcome {
    if follower.step == .asleep { page.wake() }
    let outcome = try follower.follow(buffer, of: &side)
    if case .failure(let error) = outcome { corruption = error }
    return outcome
  }
}

/// One direction of a page, shared with a peer that is not followed.
private final class SharedStreamPage: StreamSurroundings {
  /// The ABI's streams have up to 2048 bytes.
  static let model = StreamModel(bits: 12)

  private let memory: SharedStreamMemory
  private let oracle: Oracle
  private let role: StreamRole
  let starts: [StreamStart]
  private var model: StreamModel { Self.model }

  init(_ memory: SharedStreamMemory, _ oracle: Oracle, _ role: StreamRole) {
    self.memory = memory
    self.oracle = oracle
    self.role = role
    starts = [
      StreamStart(component: "size", keys: [], value: UInt64(memory.size)),
      StreamStart(component: "hostile", keys: [role.peer.rawValue], value: 1),
    ]
    for start in starts {
      let component = oracle.specification.componentIndex(start.component)
      let isSet = component.map { oracle.simulator.set($0, start.keys, to: start.value) } ?? false
      precondition(isSet, "the bytes fit the indices")
    }
  }

  /// The side goes on, whether an event came or it does so unasked.
  func wake() {
    oracle.attempt(model.poke, role.peer.rawValue)
    oracle.attempt(model.wake, role.rawValue)
  }

  /// The peer acts by itself.
  func pass() {}

  func peerIndex(_ own: StreamPositions) -> UInt32 {
    let value = memory.load(role.peer.index)
    let mine = oracle.simulator[model.position[Int(role.rawValue)]]
    let seen =
      role == .reader
      ? mine &+ model.reducedDifference(value &- own.position)
      : mine &- model.reducedDifference(own.position &- value)
    let peer = role.peer.rawValue
    if seen & model.indexMask != oracle.simulator[model.shared[Int(peer)]] {
      oracle.attempt(model.scribbleIndex, [peer, seen & model.indexMask])
    }
    return value
  }

  func store(_ index: StreamIndex, _ value: UInt32) { memory.store(index, value) }

  func drain() {
    while role == .writer, oracle.attempt(model.drainByte, []) {}
    oracle.attempt(model.drainIndex, role.rawValue)
  }

  func read(_ position: UInt32, _ serial: UInt64) -> UInt8 {
    var byte: UInt8 = 0
    withUnsafeMutableBytes(of: &byte) { memory.copyOut(at: position, into: $0) }
    return byte
  }

  func write(_ position: UInt32, _ byte: UInt8) {
    withUnsafeBytes(of: byte) { memory.copyIn(at: position, from: $0) }
  }
}
