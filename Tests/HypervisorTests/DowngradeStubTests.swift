// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

/// Rights that many shadow entries lose at once.
@Suite("Entries that lose rights on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class DowngradeStubTests: GuestSetting {
  private static let count: UInt64 = 200

  private func count(_ counter: Counter) -> UInt64 {
    guest.domain.processors[0].statistics.all.first { $0.name == counter.name }?.count ?? 0
  }

  /// What a guest finds at the first address that it tries to read after it has cleared entries and flushed.
  /// - Parameter cleared: of the table for the addresses from 2 MiB on.
  private func fault(at index: UInt64, cleared: [UInt64]) throws -> UInt64 {
    let (table, begin) = (GuestFrame(42), UInt64(1) << 21)
    guest.setEntry(TinyGuest.tables.levelTwo, 1, guest.machine(table) | 7)
    for index in 0..<Self.count {
      guest.setEntry(table, Int(index), guest.machine(GuestFrame(41)) | 0x67)
    }
    guest.store(14 | 4 << 8, at: TinyGuest.spare)
    guest.store(Self.handler, at: TinyGuest.spare + 8)
    loadHandler { code in
      code.loadRAX(from: Self.shared + 16)
      code.storeRAX(at: Self.results)
      code.shutdown(scratch: Self.scratch)
    }
    let end = try guest.run { code in
      mapShared(&code)
      code.hypercall(0, TinyGuest.spare)
      for index in 0..<Self.count { code.loadRAX(from: begin + index << 12) }
      for index in cleared { code.store(0, at: table.rawValue << 12 + index * 8) }
      code.store(6, at: Self.scratch)
      code.hypercall(26, Self.scratch, 1, 0, 0x7ff0)
      code.loadRAX(from: begin + index << 12)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    return UInt64(bitPattern: Int64(guest.result())) &- begin
  }

  @Test("entries that follow one another lose their rights in one run", arguments: [0, 150, 199] as [UInt64])
  func run(index: UInt64) throws {
    #expect(try fault(at: index, cleared: Array(0..<Self.count)) == index << 12)
    #expect(count(.forgets) == 0 && count(.downgradeBatches) > 0)
  }

  @Test("several runs lose them too, and entries on their own", arguments: [2, 3, 5] as [UInt64])
  func several(step: UInt64) throws {
    // Of each `step` entries all but one, or one alone.
    let index: UInt64 = 7 * step + 1
    #expect(try fault(at: index, cleared: (0..<Self.count).filter { $0 % step != 0 }) == index << 12)
    #expect(count(.forgets) == 0)
  }

  @Test("entries far from one another lose them one by one")
  func apart() throws {
    #expect(try fault(at: 90, cleared: (0..<Self.count).filter { $0 % 3 == 0 }) == 90 << 12)
    #expect(count(.forgets) == 0)
  }
}
