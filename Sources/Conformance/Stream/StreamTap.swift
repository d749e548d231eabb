// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// Who answers a stream core's memory accesses.
public protocol StreamAccesses: AnyObject {
  func load(_ index: StreamIndex) -> UInt32
  func store(_ index: StreamIndex, _ value: UInt32)
  func copyOut(at position: UInt32, into bytes: UnsafeMutableRawBufferPointer)
  func copyIn(at position: UInt32, from bytes: UnsafeRawBufferPointer)
}

/// A stream memory that hands each access on.
public struct StreamTap: StreamMemory {
  public let size: UInt32
  public unowned let accesses: any StreamAccesses

  public init(size: UInt32, accesses: any StreamAccesses) {
    self.size = size
    self.accesses = accesses
  }

  public func load(_ index: StreamIndex) -> UInt32 { accesses.load(index) }
  public func store(_ index: StreamIndex, _ value: UInt32) { accesses.store(index, value) }
  public func copyOut(at position: UInt32, into bytes: UnsafeMutableRawBufferPointer) {
    accesses.copyOut(at: position, into: bytes)
  }
  public func copyIn(at position: UInt32, from bytes: UnsafeRawBufferPointer) {
    accesses.copyIn(at: position, from: bytes)
  }
}

/// The two sides of one direction of a byte stream, in the order in which the specification lists them.
public enum StreamRole: UInt64, Sendable, Hashable, CaseIterable {
  case writer
  case reader

  var peer: StreamRole { self == .writer ? .reader : .writer }
  /// The shared index that this side stores to.
  var index: StreamIndex { self == .writer ? .producer : .consumer }
}

/// One side of a byte stream as an implementation: what the drivers hold against the specification. A value, so that
/// a driver can try an operation on a copy.
public protocol StreamSide: SendableMetatype {
  /// The side of the specification that it implements.
  static var role: StreamRole { get }

  /// A side that has come to `position`.
  init(memory: StreamTap, position: UInt32)
  var position: UInt32 { get }

  /// Moves up to as many bytes as the buffer has: a reader into it, a writer out of it.
  /// - Returns: how many.
  mutating func move(_ buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int
}

/// The optimised reader.
public struct OptimisedStreamReader: StreamSide {
  public static var role: StreamRole { .reader }
  private var core: StreamReader<StreamTap>

  public init(memory: StreamTap, position: UInt32) {
    core = StreamReader(memory: memory, position: position)
  }
  public var position: UInt32 { core.position }

  public mutating func move(_ buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    try core.read(into: buffer)
  }
}

/// The optimised writer.
public struct OptimisedStreamWriter: StreamSide {
  public static var role: StreamRole { .writer }
  private var core: StreamWriter<StreamTap>

  public init(memory: StreamTap, position: UInt32) {
    core = StreamWriter(memory: memory, position: position)
  }
  public var position: UInt32 { core.position }

  public mutating func move(_ buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    try core.write(UnsafeRawBufferPointer(buffer))
  }
}

/// What came of an operation.
public enum StreamOutcome: Sendable, Hashable {
  case moved(Int)
  case failure(RingError)
}

extension StreamSide {
  mutating func perform(_ buffer: UnsafeMutableRawBufferPointer) -> StreamOutcome {
    do throws(RingError) {
      return .moved(try move(buffer))
    } catch {
      return .failure(error)
    }
  }
}
