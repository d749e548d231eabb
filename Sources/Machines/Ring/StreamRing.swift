// SPDX-License-Identifier: Apache-2.0
//
// Byte streams: one direction has a reader, who owns the consumer index, and a writer, who owns the producer
// index. Each keeps its own index to itself and validates the other's. There are no event indices: whoever moves
// a byte notifies, so no fence between a store and a load is needed.

import Interfaces

/// The two shared indices of one direction of a byte stream.
public enum StreamIndex: Sendable, Hashable, CaseIterable {
  case consumer
  case producer
}

/// The shared part of one direction of a byte stream, one memory access a call.
public protocol StreamMemory {
  /// Bytes in the ring: a power of two.
  var size: UInt32 { get }

  /// One load; nothing after it is done before it.
  func load(_ index: StreamIndex) -> UInt32

  /// One store; everything before it, reads of bytes too, is done before it.
  func store(_ index: StreamIndex, _ value: UInt32)

  /// Reads bytes, from a free-running position on, each once. At most `size`.
  func copyOut(at position: UInt32, into bytes: UnsafeMutableRawBufferPointer)

  /// Writes bytes from a free-running position on. At most `size`.
  func copyIn(at position: UInt32, from bytes: UnsafeRawBufferPointer)
}

/// The reading end of a byte stream, over any memory.
public struct StreamReader<Memory: StreamMemory> {
  public let memory: Memory
  @usableFromInline var consumer: UInt32

  /// The next position to read, free-running.
  @inlinable public var position: UInt32 { consumer }

  /// Attaches where an earlier reader, if any, left off.
  @inlinable
  public init(attachingTo memory: Memory) {
    self.memory = memory
    consumer = memory.load(.consumer)
  }

  /// Goes on where a reader at this position left off.
  @inlinable
  public init(memory: Memory, position: UInt32) {
    self.memory = memory
    consumer = position
  }

  /// Reads and consumes up to `bytes.count` bytes; returns how many.
  @inlinable
  public mutating func read(into bytes: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    let producer = memory.load(.producer)
    let available = producer &- consumer
    guard available <= memory.size else {
      throw .producerOutOfRange(producer: producer, consumer: consumer, size: memory.size)
    }
    let count = min(Int(available), bytes.count)
    if count == 0 { return 0 }
    memory.copyOut(at: consumer, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]))
    consumer &+= UInt32(count)
    memory.store(.consumer, consumer)
    return count
  }
}

/// The writing end of a byte stream, over any memory.
public struct StreamWriter<Memory: StreamMemory> {
  public let memory: Memory
  @usableFromInline var producer: UInt32

  /// The next position to write, free-running.
  @inlinable public var position: UInt32 { producer }

  /// Attaches where an earlier writer, if any, left off.
  @inlinable
  public init(attachingTo memory: Memory) {
    self.memory = memory
    producer = memory.load(.producer)
  }

  /// Goes on where a writer at this position left off.
  @inlinable
  public init(memory: Memory, position: UInt32) {
    self.memory = memory
    producer = position
  }

  /// Writes as many bytes as there is room for; returns how many.
  @inlinable
  public mutating func write(_ bytes: UnsafeRawBufferPointer) throws(RingError) -> Int {
    let consumer = memory.load(.consumer)
    let used = producer &- consumer
    guard used <= memory.size else {
      throw .consumerOutOfRange(consumer: consumer, producer: producer, size: memory.size)
    }
    let count = min(Int(memory.size &- used), bytes.count)
    if count == 0 { return 0 }
    memory.copyIn(at: producer, from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    producer &+= UInt32(count)
    memory.store(.producer, producer)
    return count
  }
}

/// One end of a pair of byte streams in a shared page.
public final class OptimisedStreamRing: StreamRing {
  /// Whose end it is.
  public enum End: Sendable {
    /// The back end's, or the store's.
    case host
    case guest
  }

  private var reader: StreamReader<SharedStreamMemory>
  private var writer: StreamWriter<SharedStreamMemory>

  /// Attaches to the streams in `page` (4096 bytes); indices that a host's end owns are taken over as they stand.
  public init(page: UnsafeMutableRawPointer, layout: StreamRingLayout, end: End = .host) {
    let (incoming, outgoing) =
      end == .host ? (layout.fromGuest, layout.toGuest) : (layout.toGuest, layout.fromGuest)
    reader = StreamReader(attachingTo: SharedStreamMemory(page: page, direction: incoming))
    writer = StreamWriter(attachingTo: SharedStreamMemory(page: page, direction: outgoing))
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    try reader.read(into: buffer)
  }

  public func write(_ buffer: UnsafeRawBufferPointer) throws(RingError) -> Int {
    try writer.write(buffer)
  }
}
