// SPDX-License-Identifier: Apache-2.0
//
// Sides of byte streams with bugs planted in them, for the drivers to find.

import Conformance
import Interfaces
import Machines

/// What a planted reader does wrong.
public enum StreamBug: Int, CaseIterable, Sendable {
  /// The stream's own XSA-39: the producer index is believed as it stands.
  case unboundedProducer
  /// The index is stored before the bytes are read: the writer may overwrite them.
  case indexBeforeBytes
  /// The index that is stored is one too far.
  case indexOffByOne
  /// The peer's index is checked, then loaded again and used.
  case doubleFetch
  /// One byte is moved too few when the stream wraps.
  case oneByteShort
}

/// A reader with the bug of that number.
public struct PlantedStreamReader<let number: Int>: StreamSide {
  public static var role: StreamRole { .reader }
  private let memory: StreamTap
  public private(set) var position: UInt32
  private var bug: StreamBug { StreamBug.allCases[number] }

  public init(memory: StreamTap, position: UInt32) {
    self.memory = memory
    self.position = position
  }

  public mutating func move(_ buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    var producer = memory.load(.producer)
    if bug != .unboundedProducer, producer &- position > memory.size {
      throw .producerOutOfRange(producer: producer, consumer: position, size: memory.size)
    }
    if bug == .doubleFetch { producer = memory.load(.producer) }
    var count = min(Int(min(producer &- position, memory.size)), buffer.count)
    if bug == .oneByteShort, count > 1, position &+ UInt32(count) < position { count -= 1 }
    if count == 0 { return 0 }
    let next = position &+ UInt32(count)
    if bug == .indexBeforeBytes { memory.store(.consumer, next) }
    memory.copyOut(at: position, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
    position = next
    if bug != .indexBeforeBytes { memory.store(.consumer, bug == .indexOffByOne ? next &+ 1 : next) }
    return count
  }
}
