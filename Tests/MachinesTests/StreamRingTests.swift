// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

/// A page with byte streams, all of whose indices stand at `start`.
final class StreamPage: @unchecked Sendable {
  let bytes = UnsafeMutableRawPointer.allocate(byteCount: frameSize, alignment: frameSize)
  let layout: StreamRingLayout

  init(_ layout: StreamRingLayout, start: UInt32 = 0) {
    self.layout = layout
    bytes.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize)
    for direction in [layout.toGuest, layout.fromGuest] {
      set(direction.consumer, start)
      set(direction.producer, start)
    }
  }

  deinit { bytes.deallocate() }

  func set(_ offset: Int, _ value: UInt32) {
    bytes.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
  }
  func get(_ offset: Int) -> UInt32 { bytes.load(fromByteOffset: offset, as: UInt32.self) }

  func end(_ end: OptimisedStreamRing.End) -> OptimisedStreamRing {
    OptimisedStreamRing(page: bytes, layout: layout, end: end)
  }
}

extension StreamRing {
  func read(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let count = try bytes.withUnsafeMutableBytes { try self.read(into: $0) }
    return Array(bytes[..<count])
  }

  func write(_ bytes: [UInt8]) throws -> Int {
    try bytes.withUnsafeBytes { try write($0) }
  }
}

private let layouts = [StreamRingLayout.console, .xenstore]
private let starts: [UInt32] = [0, 1, .max, .max - 1000, 1 << 31]

@Suite("Byte streams")
struct StreamRingTests {
  @Test("Bytes pass both ways in order, across the wrap of ring and indices", arguments: layouts, starts)
  func passInOrder(layout: StreamRingLayout, start: UInt32) throws {
    let page = StreamPage(layout, start: start)
    let ends = [page.end(.host), page.end(.guest)]
    for (from, to) in [(0, 1), (1, 0)] {
      var (written, read) = (0, 0)
      for round in 1...200 {
        let bytes = (0..<round * 37 % 700).map { UInt8(truncatingIfNeeded: (written + $0) % 251) }
        written += try ends[from].write(bytes)
        for byte in try ends[to].read(round * 53 % 900) {
          #expect(byte == UInt8(read % 251))
          read += 1
        }
      }
      #expect(read > 10_000)
    }
  }

  @Test("A full stream takes no more, an empty one gives nothing", arguments: layouts, starts)
  func limits(layout: StreamRingLayout, start: UInt32) throws {
    let page = StreamPage(layout, start: start)
    let (host, guest) = (page.end(.host), page.end(.guest))
    #expect(try guest.read(10) == [])
    #expect(try host.write([UInt8](repeating: 1, count: 5000)) == layout.toGuest.size)
    #expect(try host.write([1]) == 0)
    #expect(try guest.read(5000).count == layout.toGuest.size)
    #expect(try host.write([1]) == 1)
    #expect(try guest.write([]) == 0)
  }

  @Test("A new end goes on where the one before it left off")
  func reconnect() throws {
    let page = StreamPage(.xenstore, start: .max - 1)
    let guest = page.end(.guest)
    #expect(try guest.write([1, 2, 3, 4]) == 4)
    #expect(try page.end(.host).read(2) == [1, 2])
    #expect(try page.end(.host).read(9) == [3, 4])
    #expect(try page.end(.host).write([5]) == 1)
    #expect(try page.end(.host).write([6]) == 1)
    #expect(try guest.read(9) == [5, 6])
  }

  @Test("Indices that claim more than the ring holds are refused", arguments: layouts, starts)
  func hostileIndices(layout: StreamRingLayout, start: UInt32) throws {
    for claim: UInt32 in [0, 1, 5, 1024, 1025, 2048, 2049, 1 << 31, .max] {
      let page = StreamPage(layout, start: start)
      let host = page.end(.host)
      let size = UInt32(layout.fromGuest.size)
      page.set(layout.fromGuest.producer, start &+ claim)
      if claim <= size {
        #expect(try host.read(5000).count == Int(claim))
      } else {
        let error = RingError.producerOutOfRange(producer: start &+ claim, consumer: start, size: size)
        #expect(throws: error) { try host.read(5000) }
        #expect(page.get(layout.fromGuest.consumer) == start)
      }
    }
  }

  @Test("A consumer beyond the producer, or too far behind it, is refused", arguments: layouts, starts)
  func hostileConsumer(layout: StreamRingLayout, start: UInt32) throws {
    for (claim, allowed) in [(0, true), (3, true), (4, false), (1 << 31, false), (-2000, false)] {
      let page = StreamPage(layout, start: start)
      let host = page.end(.host)
      #expect(try host.write([1, 2, 3]) == 3)
      let consumer = start &+ UInt32(truncatingIfNeeded: claim)
      page.set(layout.toGuest.consumer, consumer)
      if allowed {
        #expect(try host.write([4]) == 1)
      } else {
        let error = RingError.consumerOutOfRange(
          consumer: consumer, producer: start &+ 3, size: UInt32(layout.toGuest.size))
        #expect(throws: error) { try host.write([4]) }
        #expect(page.get(layout.toGuest.producer) == start &+ 3)
      }
    }
  }
}
