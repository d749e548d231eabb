// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Interfaces
import Synchronization
import Testing

@testable import Devices

/// Counts what is mapped and let go of.
private final class CountingGrants: GrantAccess {
  private let inner: any GrantAccess
  let mapped = Atomic(0)
  let unmapped = Atomic(0)

  init(_ inner: any GrantAccess) { self.inner = inner }

  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    let result = inner.map(references, readOnly: readOnly)
    if case .success(let pages) = result { mapped.add(pages.count, ordering: .relaxed) }
    return result
  }

  func unmap(_ pages: [MappedPage]) {
    unmapped.add(pages.count, ordering: .relaxed)
    inner.unmap(pages)
  }

  var counts: [Int] { [mapped.load(ordering: .relaxed), unmapped.load(ordering: .relaxed)] }
}

@Suite("Persistent grants")
struct PersistentGrantsTests {
  private let guest = FakeGuest()
  private let counting: CountingGrants
  private let grants: PersistentGrants

  init() {
    counting = CountingGrants(HostGrants(guest, of: FakeGuest.domain))
    grants = PersistentGrants(counting, limit: 4)
    for frame in 10..<20 { guest.grant(frame, readOnly: frame >= 18) }
  }

  private func map(_ frames: [UInt32], readOnly: Bool = false) throws -> [MappedPage] {
    let pages = try grants.map(frames.map { GrantReference($0) }, readOnly: readOnly).get()
    #expect(pages.map(\.bytes) == frames.map { guest.page(Int($0)).baseAddress })
    return pages
  }

  @Test("are mapped once for all requests that use them, also of one that names them twice")
  func reuse() throws {
    for _ in 0..<5 { grants.unmap(try map([10, 11, 10], readOnly: true)) }
    let (first, second) = (try map([11, 10]), try map([10]))
    grants.unmap(second)
    grants.unmap(first)
    #expect(counting.counts == [2, 0] && guest.mappedFrames == [10, 11])
    grants.dropAll()
    #expect(counting.counts == [2, 2] && guest.mappedFrames == [])
  }

  @Test("that were used least recently make room, and none that a request uses")
  func leastRecentlyUsed() throws {
    let used = try map([10])
    for frame in [11, 12, 13, 11] as [UInt32] { grants.unmap(try map([frame])) }
    // 10 is in use, 11 was used after 12, 13 too.
    grants.unmap(try map([14]))
    #expect(guest.mappedFrames == [10, 11, 14])
    // One request's pages do not drive each other out.
    let three = try map([11, 15, 16])
    #expect(guest.mappedFrames == [10, 11, 15, 16])
    // There is no room: they go with their request.
    let more = try map([12, 10])
    #expect(guest.mappedFrames == [10, 11, 12, 15, 16])
    grants.unmap(more)
    #expect(guest.mappedFrames == [10, 11, 15, 16])
    grants.unmap(three)
    grants.unmap(used)
    grants.dropAll()
    #expect(guest.mappedFrames == [] && counting.counts[0] == counting.counts[1])
  }

  @Test("that may not be written are for one request, and what is not granted is for none")
  func refusals() throws {
    grants.unmap(try map([18, 10], readOnly: true))
    #expect(guest.mappedFrames == [])
    for references in [[18, 10], [10, 30]] as [[UInt32]] {
      guard case .failure = grants.map(references.map { GrantReference($0) }, readOnly: false) else {
        Issue.record("\(references) were mapped")
        continue
      }
    }
    #expect(guest.mappedFrames == [])
  }

  @Test("cost a front end that uses its pages again nothing", arguments: BlockEngine.available)
  func server(engine: BlockEngine) throws {
    let counts = Mutex<CountingGrants?>(nil)
    let bench = try BlockBench(engine) { _, inner in
      let counting = CountingGrants(inner)
      counts.withLock { $0 = counting }
      return PersistentGrants(counting)
    }
    for frame in [9, 10, 11] { bench.guest.grant(frame) }
    bench.frontEnd.put(operation: 0, sector: 8, segments: [(10, 0, 7)])
    _ = try bench.responses(to: 1)
    let slot = bench.frontEnd.indirectSlot(operation: 0, sector: 8, segments: [(11, 0, 7)], page: 9)
    for _ in 0..<10 {
      bench.frontEnd.put(operation: 0, sector: 8, segments: [(10, 0, 7)])
      bench.frontEnd.put(operation: 1, sector: 16, segments: [(10, 0, 7)])
      bench.frontEnd.put(slot: slot)
      #expect(try bench.responses(to: 3).allSatisfy { $0.status == 0 })
    }
    #expect(counts.withLock { $0?.counts } == [3, 0] && bench.guest.mappedFrames == [9, 10, 11])
    #expect(bench.guest.page(11)[0] == 8)
  }
}
