// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Glibc
import Interfaces
import Synchronization
import Testing

@testable import Devices

/// Does something once the first pages are let go of, and keeps what was mapped.
private final class Meddling: GrantAccess {
  struct Mapped: Equatable {
    var references: [GrantReference]
    var readOnly: Bool
  }

  private let inner: any GrantAccess
  private let meddle: @Sendable () -> Void
  private let mapped = Mutex<[Mapped]>([])

  init(_ inner: any GrantAccess, _ meddle: @escaping @Sendable () -> Void) {
    self.inner = inner
    self.meddle = meddle
  }

  var all: [Mapped] { mapped.withLock { $0 } }

  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    mapped.withLock { $0.append(Mapped(references: references, readOnly: readOnly)) }
    return inner.map(references, readOnly: readOnly)
  }

  func unmap(_ pages: [MappedPage]) {
    inner.unmap(pages)
    if all.count == 1 { meddle() }
  }
}

@Suite("A block server and requests of other forms")
struct BlockFormsTests {
  private static let page = 9

  private func indirect(
    _ bench: BlockBench, _ operation: UInt8, sector: UInt64 = 0,
    _ segments: [(UInt32, UInt8, UInt8)],
    count: UInt16? = nil
  ) throws -> Int16 {
    try bench.status(
      of: bench.frontEnd.indirectSlot(
        operation: operation, sector: sector, segments: segments, page: Self.page, count: count))
  }

  @Test("moves 256 segments at once, the most that it offers, and no more", arguments: BlockEngine.available)
  func indirect(engine: BlockEngine) throws {
    let bench = try BlockBench(engine, sectors: 300)
    bench.guest.grant(Self.page, readOnly: true)
    for frame in 10..<42 { bench.guest.grant(frame) }
    let segments = (0..<256).map { (index: Int) -> (UInt32, UInt8, UInt8) in
      (UInt32(10 + index / 8), UInt8(index % 8), UInt8(index % 8))
    }
    #expect(try indirect(bench, 0, sector: 44, segments) == 0)
    for index in 0..<256 {
      let sector = bench.guest.page(10 + index / 8)[(index % 8 * 512)...].prefix(512)
      let expected = UInt8(truncatingIfNeeded: 44 + index)
      #expect(sector.allSatisfy { $0 == expected })
    }
    // Written in the other order, what is read back is reversed.
    #expect(try indirect(bench, 1, sector: 44, segments.reversed()) == 0)
    let written = bench.file.bytes
    #expect(
      (0..<256).allSatisfy { written[(44 + $0) * 512] == UInt8(truncatingIfNeeded: 44 + 255 - $0) })
    #expect(written[44 * 512 - 1] == 43)
    #expect(try indirect(bench, 0, sector: 0, segments + [segments[0]]) == -1)
    #expect(try indirect(bench, 0, sector: 45, segments) == -1)
    #expect(try indirect(bench, 0, segments, count: .max) == -1)
    #expect(try indirect(bench, 0, segments, count: 0) == -1)
  }

  @Test("refuses indirect requests that make no sense, and changes nothing", arguments: BlockEngine.available)
  func refusals(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    let whole: [(UInt32, UInt8, UInt8)] = [(10, 0, 7)]
    bench.guest.grant(10)
    #expect(try indirect(bench, 1, whole) == -1, "its page is not granted")
    bench.guest.grant(Self.page)
    #expect(try indirect(bench, 1, sector: 57, whole) == -1)
    #expect(try indirect(bench, 1, sector: .max, whole) == -1)
    #expect(try indirect(bench, 1, [(10, 0, 0), (99, 0, 0)]) == -1)
    #expect(try indirect(bench, 1, [(10, 0, 8)]) == -1)
    #expect(try indirect(bench, 1, [(10, 3, 2)]) == -1)
    for operation in [2, 3, 5] as [UInt8] { #expect(try indirect(bench, operation, whole) == -1) }
    for operation in [4, 6, 255] as [UInt8] { #expect(try indirect(bench, operation, whole) == -2) }
    #expect(bench.file.bytes == BlockBench.content)
  }

  @Test(
    "reads the segments once, whatever the guest makes of them meanwhile", arguments: BlockEngine.available)
  func doubleFetch(engine: BlockEngine) throws {
    let grants = Mutex<Meddling?>(nil)
    let bench = try BlockBench(engine) { guest, inner in
      let meddling = Meddling(inner) {
        guest.page(Self.page).initializeMemory(as: UInt8.self, repeating: 0xff)
      }
      grants.withLock { $0 = meddling }
      return meddling
    }
    for frame in [Self.page, 10, 11] { bench.guest.grant(frame) }
    #expect(try indirect(bench, 0, sector: 8, [(10, 0, 7), (11, 1, 1)]) == 0)
    #expect(bench.guest.page(Self.page)[0] == 0xff, "the guest did not meddle")
    #expect(bench.guest.page(10)[0] == 8 && bench.guest.page(11)[512] == 16)
    let first = Meddling.Mapped(references: [GrantReference(UInt32(Self.page))], readOnly: true)
    let second = Meddling.Mapped(
      references: [GrantReference(10), GrantReference(11)], readOnly: false)
    #expect(grants.withLock { $0?.all } == [first, second])
  }

  @Test(
    "gives whole pages of a discarded part back to the host, and keeps all around them",
    arguments: BlockEngine.available)
  func discard(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    try #require(bench.image.canDiscard, "/tmp has no holes")
    #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: 4, count: 24)) == 0)
    var expected = BlockBench.content
    expected.replaceSubrange(4096..<12288, with: repeatElement(0, count: 8192))
    #expect(bench.file.bytes == expected)
    // Less than a page, and the end of the disk.
    #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: 33, count: 7)) == 0)
    #expect(bench.file.bytes == expected)
    var status = stat()
    let before = stat(bench.file.path, &status) == 0 ? status.st_blocks : 0
    #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: 0, count: 64)) == 0)
    #expect(bench.file.bytes == Array(repeating: 0, count: 64 * 512))
    #expect(stat(bench.file.path, &status) == 0 && status.st_blocks < before)
  }

  @Test(
    "refuses to discard what is not on the disk, and what it does not offer", arguments: BlockEngine.available
  )
  func discardRefusals(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    try #require(bench.image.canDiscard, "/tmp has no holes")
    for (sector, count) in [
      (0, 65), (64, 1), (65, 0), (0, 0), (8, .max), (.max, 1), (.max, .max), (1 << 63, 1 << 63),
    ] as [(UInt64, UInt64)] {
      #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: sector, count: count)) == -1)
    }
    #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: 0, count: 64, flags: 1)) == -2)
    #expect(bench.file.bytes == BlockBench.content)
    let kept = try BlockBench(engine, discard: false)
    #expect(try kept.status(of: FakeFrontEnd.discardSlot(sector: 0, count: 64)) == -2)
    #expect(kept.file.bytes == BlockBench.content)
  }
}
