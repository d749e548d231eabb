// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// One direction of a byte stream in a page that is really shared.
public struct SharedStreamMemory: StreamMemory {
  public let size: UInt32
  @usableFromInline let page: UnsafeMutableRawPointer
  @usableFromInline let direction: StreamRingLayout.Direction

  /// - Parameters:
  ///   - page: 4096 bytes.
  ///   - direction: lies within the page; its size is a power of two.
  public init(page: UnsafeMutableRawPointer, direction: StreamRingLayout.Direction) {
    precondition(
      direction.size > 0 && direction.size & (direction.size - 1) == 0, "the size is not a power of two")
    precondition(
      direction.data >= 0 && direction.size <= frameSize && direction.data <= frameSize - direction.size,
      "the bytes do not fit the page")
    self.page = page
    self.direction = direction
    size = UInt32(direction.size)
  }

  @inlinable
  public func load(_ index: StreamIndex) -> UInt32 {
    page.loadShared(at: offset(of: index))
  }

  @inlinable
  public func store(_ index: StreamIndex, _ value: UInt32) {
    page.storeShared(value, at: offset(of: index))
  }

  @inlinable
  public func copyOut(at position: UInt32, into bytes: UnsafeMutableRawBufferPointer) {
    guard let target = bytes.baseAddress else { return }
    let (start, first) = extent(at: position, count: bytes.count)
    target.copyMemory(from: data + start, byteCount: first)
    (target + first).copyMemory(from: data, byteCount: bytes.count - first)
  }

  @inlinable
  public func copyIn(at position: UInt32, from bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress else { return }
    let (start, first) = extent(at: position, count: bytes.count)
    (data + start).copyMemory(from: source, byteCount: first)
    data.copyMemory(from: source + first, byteCount: bytes.count - first)
  }

  @inlinable
  var data: UnsafeMutableRawPointer { page + direction.data }

  @inlinable
  func offset(of index: StreamIndex) -> Int {
    index == .consumer ? direction.consumer : direction.producer
  }

  /// Where a position lies in the ring, and how many of `count` bytes come before the ring's end.
  @inlinable
  func extent(at position: UInt32, count: Int) -> (start: Int, first: Int) {
    precondition(count <= direction.size, "more bytes than the ring holds")
    let start = Int(position & (size - 1))
    return (start, min(count, direction.size - start))
  }
}
