// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Glibc
import Machines

/// A file that is gone at the end.
final class TemporaryFile {
  let path: String

  init(_ bytes: [UInt8]) {
    var template = Array("/tmp/lockstep-test-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    precondition(descriptor >= 0)
    _ = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { unlink(path) }

  var bytes: [UInt8] {
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = read(descriptor, &bytes, bytes.count)
    return Array(bytes.prefix(max(count, 0)))
  }
}

/// The guest's side of a block ring.
final class FakeFrontEnd {
  let guest: FakeGuest
  let ring: OptimisedFrontRing
  private var nextIdentifier: UInt64 = 0x1_0000_0001

  /// The ring lies in `ringFrame`, which is granted.
  init(_ guest: FakeGuest, ringFrame: Int) {
    self.guest = guest
    guest.grant(ringFrame)
    ring = OptimisedFrontRing(page: guest.page(ringFrame).baseAddress!, slotCount: 32, slotSize: 112)
    // The indices of a fresh ring: see SHARED_RING_INIT.
    for (offset, value) in [(0, 0), (4, 1), (8, 0), (12, 1)] as [(Int, UInt32)] {
      guest.page(ringFrame).storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
    }
  }

  /// A request's slot: segments are (reference, first, last).
  static func slot(
    operation: UInt8, sector: UInt64, segments: [(UInt32, UInt8, UInt8)], count: UInt8? = nil
  ) -> [UInt8] {
    var slot = [UInt8](repeating: 0, count: 112)
    slot.withUnsafeMutableBytes { bytes in
      bytes[0] = operation
      bytes[1] = count ?? UInt8(segments.count)
      bytes.storeBytes(of: sector, toByteOffset: 16, as: UInt64.self)
      for (index, segment) in segments.prefix(11).enumerated() {
        bytes.storeBytes(of: segment.0, toByteOffset: 24 + 8 * index, as: UInt32.self)
        bytes[28 + 8 * index] = segment.1
        bytes[29 + 8 * index] = segment.2
      }
    }
    return slot
  }

  /// The slot of an indirect request whose segments, (reference, first, last), this writes into a page.
  func indirectSlot(
    operation: UInt8, sector: UInt64, segments: [(UInt32, UInt8, UInt8)], page: Int, count: UInt16? = nil
  ) -> [UInt8] {
    for (index, segment) in segments.enumerated() {
      let word = UInt64(segment.0) | UInt64(segment.1) << 32 | UInt64(segment.2) << 40
      guest.page(page).storeBytes(of: word, toByteOffset: 8 * index, as: UInt64.self)
    }
    var slot = Self.slot(operation: 6, sector: sector, segments: [], count: operation)
    slot.withUnsafeMutableBytes { bytes in
      bytes.storeBytes(of: count ?? UInt16(segments.count), toByteOffset: 2, as: UInt16.self)
      bytes.storeBytes(of: UInt32(page), toByteOffset: 28, as: UInt32.self)
    }
    return slot
  }

  /// The slot of a request that discards sectors.
  static func discardSlot(sector: UInt64, count: UInt64, flags: UInt8 = 0) -> [UInt8] {
    var slot = slot(operation: 5, sector: sector, segments: [], count: flags)
    slot.withUnsafeMutableBytes { $0.storeBytes(of: count, toByteOffset: 24, as: UInt64.self) }
    return slot
  }

  /// Puts a request on the ring; returns its identifier.
  @discardableResult
  func put(
    operation: UInt8, sector: UInt64 = 0, segments: [(UInt32, UInt8, UInt8)] = [], count: UInt8? = nil
  ) -> UInt64 {
    put(slot: Self.slot(operation: operation, sector: sector, segments: segments, count: count))
  }

  /// Puts a request on the ring, whose identifier it chooses.
  @discardableResult
  func put(slot: [UInt8]) -> UInt64 {
    nextIdentifier += 1
    var slot = slot
    slot.withUnsafeMutableBytes { $0.storeBytes(of: nextIdentifier, toByteOffset: 8, as: UInt64.self) }
    slot.withUnsafeBytes { ring.putRequest($0) }
    _ = ring.pushRequests()
    return nextIdentifier
  }

  typealias Response = (identifier: UInt64, operation: UInt8, status: Int16)

  /// The next response.
  func take() throws -> Response? {
    var slot = [UInt8](repeating: 0xff, count: 112)
    guard try slot.withUnsafeMutableBytes({ try ring.takeResponse(into: $0) }) else { return nil }
    return slot.withUnsafeBytes {
      ($0.load(as: UInt64.self), $0[8], $0.loadUnaligned(fromByteOffset: 10, as: Int16.self))
    }
  }
}
