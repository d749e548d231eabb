// SPDX-License-Identifier: Apache-2.0

import Conformance
import Glibc
import Interfaces
import Machines
import PlantedBugs
import Testing

@testable import Hypervisor

/// Guests on machines that are compared with their specifications; the machines have bugs planted in them.
@Suite("Checked guests on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
struct CheckedGuestTests {
  /// A page of the guest that it shares with a back end.
  static let page = TinyGuest.spare

  /// A back end's side that reads each slot twice.
  private typealias ReadsTwice = PlantedBackSide<4>

  /// A guest that its first divergence ends.
  private final class Checked {
    let monitor: CheckMonitor
    let machinery: CheckedMachinery
    let guest: TinyGuest

    init(_ make: (CheckMonitor) -> CheckedMachinery) throws {
      let domain = Locked<Domain?>(nil)
      monitor = CheckMonitor { _ in domain.withLock { $0?.kill() } }
      machinery = make(monitor)
      guest = try TinyGuest(host: Host(guestFrames: 1024, machinery: machinery))
      domain.withLock { $0 = guest.domain }
    }

    var sharedPage: UnsafeMutableRawPointer? {
      guest.domain.bytes(of: GuestFrame(CheckedGuestTests.page >> 12))?.baseAddress
    }
  }

  /// Maps a grant of another domain and lets go of it, `count` times.
  private func mapGrants(_ checked: Checked, _ count: Int) throws -> DomainEnd {
    let guest = checked.guest
    let granter = try TinyGuest(host: guest.host)
    let frame = granter.machine(GuestFrame(TinyGuest.spare >> 12)) >> 12
    granter.domain.setGrant(
      GrantReference(8), GrantEntry(flags: .permitAccess, domain: guest.domain.id, frame: UInt32(frame)))
    let other = UInt64(granter.domain.id.rawValue)
    return try guest.run { code in
      for _ in 0..<count {
        // struct gnttab_map_grant_ref, of devices: no address is named.
        for (index, word) in ([0, 1 | 8 << 32, other, 0] as [UInt64]).enumerated() {
          code.store(word, at: TinyGuest.scratch + UInt64(index) * 8)
        }
        code.hypercall(20, 0, TinyGuest.scratch, 1)
        // The handle stands in the upper half of the third word; that of an unmap in the lower half.
        code.loadRAX(from: TinyGuest.scratch + 16)
        code.raw(0x48, 0xc1, 0xe8, 0x20)
        code.storeRAX(at: TinyGuest.scratch + 64 + 16)
        code.store(0, at: TinyGuest.scratch + 64)
        code.store(1, at: TinyGuest.scratch + 72)
        code.hypercall(20, 1, TinyGuest.scratch + 64, 1)
      }
      code.shutdown(scratch: TinyGuest.scratch)
    }
  }

  @Test("a guest's grants are compared, and nothing differs")
  func agrees() throws {
    let checked = try Checked { CheckedMachinery(monitor: $0) }
    #expect(try mapGrants(checked, 10) == .poweroff)
    #expect(checked.monitor.divergence == nil)
    let count = checked.monitor.counts.first { $0.machine == "Grants" }?.count
    #expect(count?.unchecked == 0 && (count?.operations ?? 0) >= 20)
  }

  @Test(
    "a bug in the grant tables is found while the guest runs, and ends it",
    arguments: [GrantBug.keptFlags, .unflagged, .unreferenced, .doubleFetch])
  func grants(bug: GrantBug) throws {
    let checked = try Checked { CheckedMachinery(monitor: $0, grants: bug.maker) }
    #expect(try mapGrants(checked, 3) == .killed)
    #expect(checked.monitor.divergence?.machine == "Grants")
  }

  /// Opens a port for events from one vCPU to another, and sends to it, `count` times.
  private func sendEvents(_ checked: Checked, _ count: Int) throws -> DomainEnd {
    try checked.guest.run { code in
      for _ in 0..<count {
        // struct evtchn_bind_ipi: vCPU 0; the port is answered in the upper half.
        code.store(0, at: TinyGuest.scratch)
        code.hypercall(32, 7, TinyGuest.scratch)
        code.loadRAX(from: TinyGuest.scratch)
        code.raw(0x48, 0xc1, 0xe8, 0x20)
        code.storeRAX(at: TinyGuest.scratch + 64)
        code.hypercall(32, 4, TinyGuest.scratch + 64)
      }
      code.shutdown(scratch: TinyGuest.scratch)
    }
  }

  @Test("a guest's events are compared, and nothing differs")
  func eventsAgree() throws {
    let checked = try Checked { CheckedMachinery(monitor: $0) }
    #expect(try sendEvents(checked, 10) == .poweroff)
    #expect(checked.monitor.divergence == nil)
    let count = checked.monitor.counts.first { $0.machine == "EventChannels" }?.count
    #expect(count?.unchecked == 0 && (count?.operations ?? 0) >= 20)
  }

  @Test(
    "a bug in the event channels is found while the guest runs, and ends it",
    arguments: [EventBug.wrongWord, .pendingKept])
  func events(bug: EventBug) throws {
    let checked = try Checked { CheckedMachinery(monitor: $0, events: bug.maker) }
    #expect(try sendEvents(checked, 3) == .killed)
    #expect(checked.monitor.divergence?.machine == "EventChannels")
  }

  /// Takes the right to write to a page that the guest has used, gives it back, flushes, and loads the table again.
  private func changeTables(_ checked: Checked, _ count: Int) throws -> DomainEnd {
    let guest = checked.guest
    let place = guest.machine(TinyGuest.levelOne) + (TinyGuest.spare >> 12) * 8
    let page = guest.machine(GuestFrame(TinyGuest.spare >> 12))
    let root = guest.machine(TinyGuest.tables.levelFour) >> 12
    return try guest.run { code in
      for _ in 0..<count {
        for bits in [0x25, 0x67] as [UInt64] {
          code.store(place, at: TinyGuest.scratch)
          code.store(page | bits, at: TinyGuest.scratch + 8)
          code.hypercall(1, TinyGuest.scratch, 1, 0, 0x7ff0)
          // struct mmuext_op: flush this vCPU.
          code.store(6, at: TinyGuest.scratch)
          code.hypercall(26, TinyGuest.scratch, 1, 0, 0x7ff0)
        }
        code.store(1, at: TinyGuest.spare)
        code.store(5, at: TinyGuest.scratch)
        code.store(root, at: TinyGuest.scratch + 8)
        code.hypercall(26, TinyGuest.scratch, 1, 0, 0x7ff0)
      }
      code.shutdown(scratch: TinyGuest.scratch)
    }
  }

  @Test("a guest's shadow page tables are compared, and nothing differs")
  func shadowsAgree() throws {
    let checked = try Checked { CheckedMachinery(monitor: $0) }
    #expect(try changeTables(checked, 10) == .poweroff)
    #expect(checked.monitor.divergence == nil, "\(checked.monitor.divergence.map { "\($0)" } ?? "")")
    let count = checked.monitor.counts.first { $0.machine == "Shadow" }?.count
    #expect(count?.unchecked == 0 && (count?.operations ?? 0) >= 50)
  }

  @Test(
    "a bug in the shadow page tables is found while the guest runs, and ends it",
    arguments: [ShadowBug.forgottenDowngrade, .markLost, .flushIgnored, .notRevalidated, .loadIgnored])
  func shadows(bug: ShadowBug) throws {
    let checked = try Checked { CheckedMachinery(monitor: $0, shadows: bug.maker) }
    #expect(try changeTables(checked, 3) == .killed)
    #expect(checked.monitor.divergence?.machine == "Shadow")
  }

  @Test("a bug in a ring's side is found while the guest runs, and ends it", arguments: [false, true])
  func ring(buggy: Bool) throws {
    let checked = try Checked {
      buggy
        ? CheckedMachinery(monitor: $0, rings: .init(ReadsTwice.self)) : CheckedMachinery(monitor: $0)
    }
    let guest = checked.guest
    let page = try #require(checked.sharedPage)
    let server = try serve(checked, checked.machinery.makeBackRing(page: page, slotCount: 32, slotSize: 8)) {
      ring in
      var message: UInt64 = 0
      withUnsafeMutableBytes(of: &message) { slot in
        while (try? ring.takeRequest(into: slot)) == true {
          ring.putResponse(UnsafeRawBufferPointer(slot))
          _ = ring.pushResponses()
        }
        _ = try? ring.finalCheckForRequests()
      }
    }
    let end = try guest.run { code in
      // req_prod and req_event; then rsp_prod, which is not 0 when the request has been answered.
      code.store(1 | 1 << 32, at: Self.page)
      code.waitForWord(at: Self.page + 8)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    server.join()
    #expect(end == (buggy ? .killed : .poweroff))
    #expect(checked.monitor.divergence?.machine == (buggy ? "Ring" : nil))
  }

  @Test("a bug in a byte stream's side is found while the guest runs, and ends it", arguments: [false, true])
  func stream(buggy: Bool) throws {
    let checked = try Checked {
      buggy
        ? CheckedMachinery(monitor: $0, streams: .init(Miscounting.self, OptimisedStreamWriter.self))
        : CheckedMachinery(monitor: $0)
    }
    let guest = checked.guest
    let page = try #require(checked.sharedPage)
    let server = try serve(checked, checked.machinery.makeStreamRing(page: page, layout: .console)) { ring in
      var bytes: UInt64 = 0
      withUnsafeMutableBytes(of: &bytes) { bytes in
        let count = (try? ring.read(into: bytes)) ?? 0
        _ = try? ring.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      }
    }
    let end = try guest.run { code in
      code.store(0x4142_4344_4546_4748, at: Self.page + 1024)
      // out_cons and out_prod; then in_cons and in_prod.
      code.store(5 << 32, at: Self.page + 3080)
      code.waitForWord(at: Self.page + 3072)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    server.join()
    #expect(end == (buggy ? .killed : .poweroff))
    #expect(checked.monitor.divergence?.machine == (buggy ? "Stream" : nil))
  }

  /// A back end's thread: serves until the guest has ended.
  private func serve<Ring>(_ checked: Checked, _ ring: Ring, _ body: @escaping @Sendable (Ring) -> Void)
    throws
    -> Hypervisor.Thread
  {
    let ring = Locked(ring)
    let domain = checked.guest.domain
    return try Hypervisor.Thread {
      while !domain.hasEnded {
        ring.withLock { body($0) }
        sched_yield()
      }
    }
  }
}

/// A reader that counts one byte too many.
private struct Miscounting: StreamSide {
  static var role: StreamRole { .reader }
  private var inner: OptimisedStreamReader
  init(memory: StreamTap, position: UInt32) {
    inner = OptimisedStreamReader(memory: memory, position: position)
  }
  var position: UInt32 { inner.position }
  mutating func move(_ buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    let count = try inner.move(buffer)
    return count == 0 ? 0 : count + 1
  }
}
