// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces

@testable import Devices

/// What a guest's memory and its disk must hold, kept beside them. Frame 0, the grant table, is left out: the
/// hypervisor's flags are in it.
final class BlockContents {
  let guest: FakeGuest
  let disk: FakeDisk
  private let memory: UnsafeMutableRawBufferPointer
  private let sectors: UnsafeMutableRawBufferPointer

  /// - Parameters:
  ///   - guest: as it is, and so it must stay.
  ///   - sectorCount: the size of a new disk, each of whose sectors is unlike all others. A part of one more follows, which
  ///     is not of the disk.
  init(_ guest: FakeGuest, sectorCount: Int) {
    self.guest = guest
    disk = FakeDisk(byteCount: sectorCount * 512 + 100)
    for sector in 0...sectorCount {
      let bytes = disk.bytes[(sector * 512)...].prefix(512)
      UnsafeMutableRawBufferPointer(rebasing: bytes)
        .initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: sector &* 37 + 11))
      bytes.storeBytes(of: UInt16(sector), toByteOffset: 0, as: UInt16.self)
    }
    memory = .allocate(byteCount: FakeGuest.frameCount * frameSize, alignment: 8)
    sectors = .allocate(byteCount: disk.bytes.count, alignment: 8)
    sectors.copyMemory(from: UnsafeRawBufferPointer(disk.bytes))
    for frame in 0..<FakeGuest.frameCount { adopt(frame) }
  }

  deinit {
    memory.deallocate()
    sectors.deallocate()
  }

  /// What a frame must hold is what it holds.
  func adopt(_ frame: Int) {
    page(of: frame).copyMemory(from: UnsafeRawBufferPointer(guest.page(frame)))
  }

  private func page(of frame: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: memory[(frame * frameSize)...].prefix(frameSize))
  }

  /// The guest writes its own memory, as far as a page goes.
  func write(_ bytes: [UInt8], to frame: Int, at offset: Int) {
    let page = guest.page(frame)
    for (index, byte) in zip(offset..<max(page.count, offset), bytes) {
      page[index] = byte
      memory[frame * frameSize + index] = byte
    }
  }

  /// The first difference, as a complaint.
  func difference() -> String? {
    for frame in 1..<FakeGuest.frameCount
    where !Self.areEqual(guest.page(frame), page(of: frame)) {
      return "frame \(frame) holds what it should not"
    }
    guard !Self.areEqual(disk.bytes, sectors) else { return nil }
    let index = sectors.indices.first { sectors[$0] != disk.bytes[$0] } ?? 0
    return "sector \(index / 512) holds what it should not"
  }

  private static func areEqual(_ a: UnsafeMutableRawBufferPointer, _ b: UnsafeMutableRawBufferPointer) -> Bool
  {
    guard let first = a.baseAddress, let second = b.baseAddress else { return a.isEmpty && b.isEmpty }
    return a.count == b.count && memcmp(first, second, a.count) == 0
  }

  // MARK: what a request does

  /// Puts sectors where a read puts them.
  func read(from sector: UInt64, into pieces: [(frame: Int, bytes: Range<Int>)]) {
    var offset = Int(sector) * 512
    for piece in pieces {
      let target = UnsafeMutableRawBufferPointer(rebasing: page(of: piece.frame)[piece.bytes])
      target.copyMemory(from: UnsafeRawBufferPointer(rebasing: sectors[offset..<offset + piece.bytes.count]))
      offset += piece.bytes.count
    }
  }

  /// Puts a guest's memory, as it is now, where a write puts it.
  func write(to sector: UInt64, from pieces: [(frame: Int, bytes: Range<Int>)]) {
    var offset = Int(sector) * 512
    for piece in pieces {
      let target = UnsafeMutableRawBufferPointer(rebasing: sectors[offset..<offset + piece.bytes.count])
      target.copyMemory(from: UnsafeRawBufferPointer(rebasing: guest.page(piece.frame)[piece.bytes]))
      offset += piece.bytes.count
    }
  }

  /// Follows a discard: whole pages of the disk among some sectors may hold 0.
  func discard(from sector: UInt64, count: UInt64) {
    let bytes = Int(sector) * 512..<Int(sector + count) * 512
    for page in stride(from: 0, to: sectors.count, by: frameSize) where bytes.contains(page) {
      guard page + frameSize <= bytes.upperBound, disk.bytes[page..<page + frameSize].allSatisfy({ $0 == 0 })
      else { continue }
      UnsafeMutableRawBufferPointer(rebasing: sectors[page..<page + frameSize])
        .initializeMemory(as: UInt8.self, repeating: 0)
    }
  }
}
