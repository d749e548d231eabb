// SPDX-License-Identifier: Apache-2.0
//
// Sides of byte streams with bugs planted in them, for the drivers to find.

import Conformance
import Interfaces
import Machines

/// What a planted side does wrong.
enum StreamBug: String, CaseIterable, Sendable {
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

/// A reader with one bug, chosen by a type.
protocol PlantedStreamBug: SendableMetatype {
  static var bug: StreamBug { get }
}
enum UnboundedProducer: PlantedStreamBug { static let bug = StreamBug.unboundedProducer }
enum IndexBeforeBytes: PlantedStreamBug { static let bug = StreamBug.indexBeforeBytes }
enum IndexOffByOne: PlantedStreamBug { static let bug = StreamBug.indexOffByOne }
enum StreamDoubleFetch: PlantedStreamBug { static let bug = StreamBug.doubleFetch }
enum OneByteShort: PlantedStreamBug { static let bug = StreamBug.oneByteShort }

struct PlantedStreamReader<Bug: PlantedStreamBug>: StreamSide {
  static var role: StreamRole { .reader }
  private let memory: StreamTap
  private(set) var position: UInt32

  init(memory: StreamTap, position: UInt32) {
    self.memory = memory
    self.position = position
  }

  mutating func move(_ buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    var producer = memory.load(.producer)
    if Bug.bug != .unboundedProducer, producer &- position > memory.size {
      throw .producerOutOfRange(producer: producer, consumer: position, size: memory.size)
    }
    if Bug.bug == .doubleFetch { producer = memory.load(.producer) }
    var count = min(Int(min(producer &- position, memory.size)), buffer.count)
    if Bug.bug == .oneByteShort, count > 1, position &+ UInt32(count) < position { count -= 1 }
    if count == 0 { return 0 }
    let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    let next = position &+ UInt32(count)
    if Bug.bug == .indexBeforeBytes { memory.store(.consumer, next) }
    memory.copyOut(at: position, into: bytes)
    position = next
    if Bug.bug != .indexBeforeBytes {
      memory.store(.consumer, Bug.bug == .indexOffByOne ? next &+ 1 : next)
    }
    return count
  }
}
