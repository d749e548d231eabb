// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM
import Synchronization
import Testing

@testable import Hypervisor

/// Frames, grants and flushes.
@Suite("Memory of a guest on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class GuestMemoryTests: GuestSetting {
  @Test("frames come back from the host up to the domain's size, scrubbed and known by their new number")
  func populate() throws {
    let first = guest.machine(GuestFrame(40)) >> 12
    let end = try guest.run { code in
      code.store(first, at: Self.scratch + 64)
      code.call(12, 1, at: Self.scratch, [Self.scratch + 64, 1, 0, 0x7ff0])
      code.storeRAX(at: Self.results)
      code.hypercall(12, 3, Self.scratch + 24)
      code.storeRAX(at: Self.results + 8)
      code.store(4000, at: Self.scratch + 64)
      code.store(4001, at: Self.scratch + 72)
      code.call(12, 6, at: Self.scratch, [Self.scratch + 64, 2, 0, 0x7ff0])
      code.storeRAX(at: Self.results + 16)
      code.loadRAX(from: Self.scratch + 64)
      code.storeRAX(at: Self.results + 24)
      code.shutdown(scratch: Self.scratch + 128)
    }
    #expect(end == .poweroff)
    #expect((0..<3).map(guest.result) == [1, 63, 1])
    let frame = MachineFrame(guest.word(Self.results + 24))
    #expect(guest.host.memory.owner(of: frame) == guest.domain.id)
    #expect(guest.host.memory.machineToPhysical[frame] == 4000)
  }

  @Test("frames come and go in larger pieces, which follow one another in the machine")
  func extents() throws {
    // A guest's frames are numbered downwards.
    let first = guest.machine(GuestFrame(41)) >> 12
    try #require(guest.machine(GuestFrame(40)) >> 12 == first + 1)
    let selfDomain: UInt64 = 0x7ff0
    let victim = try TinyGuest(host: guest.host)
    let calls: [(command: UInt64, frame: UInt64, order: UInt64, result: Int64)] = [
      // Too large for the domain, for the ABI, and for anything.
      (1, first, 1, 1), (6, 4000, 9, 0), (6, 4000, 10, 0), (6, 4000, 0xffff_ffff, 0), (1, first, 64, 0),
      // Gone, another's, and at the end of all numbers.
      (1, first, 1, 0), (1, victim.machine(GuestFrame(41)) >> 12, 1, 0), (1, .max, 1, 0), (6, 4000, 1, 1),
    ]
    let end = try guest.run { code in
      for (index, call) in calls.enumerated() {
        code.store(call.frame, at: Self.scratch + 64)
        code.call(12, call.command, at: Self.scratch, [Self.scratch + 64, 1, call.order, selfDomain])
        code.storeRAX(at: Self.results + UInt64(index) * 8)
      }
      code.loadRAX(from: Self.scratch + 64)
      code.storeRAX(at: Self.results + 256)
      code.shutdown(scratch: Self.scratch + 128)
    }
    #expect(end == .poweroff)
    #expect(calls.indices.map(guest.result) == calls.map(\.result))
    let frame = guest.word(Self.results + 256)
    #expect(frame % 2 == 0 && guest.domain.currentFrameCount == TinyGuest.frameCount)
    for (number, offset) in zip([4000, 4001] as [UInt64], [0, 1] as [UInt64]) {
      #expect(guest.host.memory.owner(of: MachineFrame(frame + offset)) == guest.domain.id)
      #expect(guest.host.memory.machineToPhysical[MachineFrame(frame + offset)] == number)
    }
  }

  @Test("a guest maps what another granted, and reaches it no longer when it has unmapped it")
  func grants() throws {
    let granter = try TinyGuest(host: guest.host)
    granter.store(0xcafe, at: TinyGuest.spare)
    let frame = granter.machine(GuestFrame(TinyGuest.spare >> 12)) >> 12
    granter.domain.setGrant(
      GrantReference(8), GrantEntry(flags: .permitAccess, domain: guest.domain.id, frame: UInt32(frame)))
    let other = UInt64(granter.domain.id.rawValue)
    let window: UInt64 = 0x12000
    let end = try guest.run { code in
      // struct gnttab_map_grant_ref: host_addr, flags | ref << 32, dom, dev_bus_addr.
      for (index, word) in ([window, 2 | 8 << 32, other, 0] as [UInt64]).enumerated() {
        code.store(word, at: Self.scratch + UInt64(index) * 8)
      }
      code.hypercall(20, 0, Self.scratch, 1)
      code.storeRAX(at: Self.results)
      code.loadRAX(from: Self.scratch + 16)
      code.storeRAX(at: Self.results + 8)
      code.loadRAX(from: window)
      code.storeRAX(at: Self.results + 16)
      code.store(0xbeef, at: window + 8)
      // The handle stands in the upper half of the third word; that of an unmap in the lower half.
      code.loadRAX(from: Self.scratch + 16)
      code.raw(0x48, 0xc1, 0xe8, 0x20)
      code.storeRAX(at: Self.scratch + 64 + 16)
      code.store(window, at: Self.scratch + 64)
      code.store(0, at: Self.scratch + 72)
      code.hypercall(20, 1, Self.scratch + 64, 1)
      code.loadRAX(from: Self.scratch + 64 + 16)
      code.storeRAX(at: Self.results + 24)
      // A forged entry leads nowhere any more.
      let place = UInt64(TinyGuest.levelOne.rawValue) << 12 + (window >> 12) * 8
      code.store(frame << 12 | 0x67, at: place)
      code.loadRAX(from: window)
      code.storeRAX(at: Self.results + 32)
    }
    guard case .crashed(let report) = end else {
      Issue.record("the guest \(end)")
      return
    }
    #expect(report.reason.contains("neither the domain's nor granted"), "\(report.reason)")
    #expect(guest.result() == 0)
    #expect(guest.result(1) >> 16 & 0xffff == 0, "status okay")
    #expect(guest.result(2) == 0xcafe)
    #expect(granter.word(TinyGuest.spare + 8) == 0xbeef)
    #expect(guest.result(3) >> 32 & 0xffff == 0, "status okay")
    #expect(guest.result(4) == 0)
    #expect(granter.host.memory.isUnused(MachineFrame(frame)))
  }

  @Test("the table of grants grows up to its limit, and its size can be asked")
  func grantTable() throws {
    let end = try guest.run { code in
      // struct gnttab_setup_table: dom | nr_frames << 32, status, frame_list.
      code.call(20, 2, at: Self.scratch, [0x7ff0 | 3 << 32, 0, TinyGuest.spare])
      code.hypercall(20, 2, Self.scratch, 1)
      code.loadRAX(from: Self.scratch + 8)
      code.storeRAX(at: Self.results)
      for (index, word) in ([0x7ff0 | 99 << 32, 0, TinyGuest.spare] as [UInt64]).enumerated() {
        code.store(word, at: Self.scratch + UInt64(index) * 8)
      }
      code.hypercall(20, 2, Self.scratch, 1)
      code.loadRAX(from: Self.scratch + 8)
      code.storeRAX(at: Self.results + 8)
      code.store(0x7ff0, at: Self.scratch)
      code.store(0, at: Self.scratch + 8)
      code.hypercall(20, 6, Self.scratch, 1)
      code.loadRAX(from: Self.scratch)
      code.storeRAX(at: Self.results + 16)
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() & 0xffff == 0)
    #expect(Int16(truncatingIfNeeded: guest.result(1)) == -1)
    #expect(guest.result(2) >> 32 == 3)
    for index in 0..<3 {
      #expect(guest.word(TinyGuest.spare + UInt64(index) * 8) == guest.domain.grantFrames[index].rawValue)
    }
  }

  @Test("thousands of flushes take nothing from the processor that its tables still give")
  func manyFlushes() throws {
    let end = try guest.run { code in
      code.store(6, at: Self.scratch)
      // 2000 times: mmuext_op flush, in a loop counted down in rbx.
      code.move(2000, to: .rbx)
      let start = code.bytes.count
      code.hypercall(26, Self.scratch, 1, 0, 0x7ff0)
      code.raw(0x48, 0xff, 0xcb, 0x0f, 0x85)
      let back = UInt32(truncatingIfNeeded: start - code.bytes.count - 4)
      code.raw(
        UInt8(truncatingIfNeeded: back), UInt8(truncatingIfNeeded: back >> 8),
        UInt8(truncatingIfNeeded: back >> 16), UInt8(truncatingIfNeeded: back >> 24))
      code.shutdown(scratch: Self.scratch)
    }
    #expect(end == .poweroff)
    let faults = guest.domain.statistics.first { $0.name == Counter.shadowFills.name }
    #expect((faults?.count ?? 0) < 50)
    #expect(!guest.domain.statistics.contains { $0.name == Counter.downgradeBatches.name })
  }
}
