// SPDX-License-Identifier: Apache-2.0

import Conformance
import Interfaces
import Testing

@testable import Hypervisor

/// Hypercalls with counts, addresses and numbers that are as bad as they can be.
@Suite("Hostile hypercalls on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class HostileCallsTests: HostileSetting {
  private static let selfDomain: UInt64 = 0x7ff0
  /// The guest's last page: a list that begins here runs off the end of what is mapped.
  private static let last = UInt64(TinyGuest.frameCount - 1) << 12

  /// Makes hypercalls one after the other, and returns their results.
  private func results(_ calls: [(UInt64, [UInt64])]) throws -> [Int64] {
    let end = try guest.run { code in
      for (index, call) in calls.enumerated() {
        for (value, register) in zip(call.1, [Assembler.Register.rdi, .rsi, .rdx, .r10, .r8]) {
          code.move(value, to: register)
        }
        code.move(call.0, to: .rax)
        code.raw(0x0f, 0x05)
        code.storeRAX(at: TinyGuest.results + UInt64(index) * 8)
      }
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    #expect(victim.word(TinyGuest.spare) == Self.secret)
    return calls.indices.map(guest.result)
  }

  @Test("lists that run off the end of memory, or wrap around, end with an error")
  func endlessLists() throws {
    let most: UInt64 = 0xffff_ffff
    let calls: [(UInt64, [UInt64])] = [
      // update_va_mapping makes no list; mmu_update, mmuext_op, multicall, grant_table_op, console_io do.
      (1, [Self.last, most, 0, Self.selfDomain]), (1, [.max - 7, most, 0, Self.selfDomain]),
      (26, [Self.last, most, 0, Self.selfDomain]), (26, [.max - 15, most, .max, Self.selfDomain]),
      (13, [Self.last, most]), (13, [.max - 31, most]),
      (20, [0, Self.last, most]), (20, [1, Self.last, most]), (20, [4, Self.last, most]),
      (20, [5, Self.last, most]), (20, [6, Self.last, most]), (20, [11, Self.last, most]),
      (20, [5, .max - 3, most]),
      (18, [0, most, TinyGuest.spare]), (18, [0, 0x8000_0000, Self.last]), (18, [0, .max, .max]),
    ]
    // Zeros ask for machine frame 0 in two of them; the others find nothing to read at some point.
    let found = try results(calls)
    for (index, call) in calls.enumerated() {
      #expect(found[index] == (index == 0 || index == 2 ? -22 : -14), "hypercall \(call.0) \(call.1)")
    }
  }

  @Test("numbers out of range are errors")
  func ranges() throws {
    guest.store(.max, at: TinyGuest.spare)
    guest.store(.max, at: TinyGuest.spare + 8)
    guest.store(.max, at: TinyGuest.spare + 16)
    let calls: [(UInt64, [UInt64], Int64)] = [
      (2, [TinyGuest.spare, .max], -22), (2, [TinyGuest.spare, 1], -22), (8, [.max, 0], -22), (9, [8], -22),
      (10, [.max & ~7, 0], -22), (14, [.max, 0, 0], -22), (14, [1 << 47, 0, 0], -22),
      (14, [0xffff_8080_0000_0000, 0, 2], -22), (14, [TinyGuest.spare, 0, 3], -22),
      (21, [2, 0], -22), (21, [0, .max], -22), (21, [.max, 0], -22),
      (24, [3, 1], -2), (24, [0, .max], -2), (24, [.max, 0], -38), (24, [10, 0, TinyGuest.spare], -22),
      (24, [6, 0, TinyGuest.spare], -22), (25, [0, 1 << 47], -22), (25, [.max, 0], -22),
      (29, [.max, 0], -38), (29, [3, TinyGuest.spare], -22), (32, [.max, 0], -38),
      (32, [4, TinyGuest.spare], -22), (32, [3, TinyGuest.spare], -22), (32, [9, TinyGuest.spare], -22),
      (32, [1, TinyGuest.spare], -22), (32, [7, TinyGuest.spare], -2), (33, [.max, 0], -38),
      (12, [0, TinyGuest.spare], -1), (12, [.max, TinyGuest.spare], -38), (20, [.max, 0, 1], -38),
      (20, [8, TinyGuest.spare, 2], -22), (17, [.max, 0], -38), (17, [6, TinyGuest.spare], -22),
      (30, [0, TinyGuest.spare], -22), (18, [.max, 0, 0], -38),
      (26, [TinyGuest.spare, 1, 0, Self.selfDomain], -38),
      // XENMEM_exchange and GNTTABOP_unmap_and_replace are not there; a watchdog's number is out of range.
      (12, [11, TinyGuest.spare], -38), (20, [7, TinyGuest.spare, 1], -38), (29, [6, TinyGuest.spare], -22),
      (1, [0, 0, 0, .max], -3), (26, [0, 0, 0, 5], -3),
    ]
    let found = try results(calls.map { ($0.0, $0.1) })
    for (index, call) in calls.enumerated() {
      #expect(found[index] == call.2, "hypercall \(call.0) \(call.1)")
    }
  }

  @Test("a trap table without an end is refused")
  func endlessTrapTable() throws {
    for index in 0..<1024 { guest.store(0x1111, at: TinyGuest.spare + UInt64(index) * 8) }
    for index in 1024..<2048 { guest.store(0x1111, at: TinyGuest.spare + UInt64(index) * 8) }
    #expect(try results([(0, [TinyGuest.spare])]) == [-7])
  }

  @Test("a timer for the end of time, and a poll until then, do not keep the domain from being ended")
  func endOfTime() throws {
    var code = Assembler()
    code.hypercall(15, .max)
    code.call(29, 3, at: TinyGuest.scratch, [0, 0, .max])
    code.spin()
    guest.load(code.bytes, at: TinyGuest.code)
    try guest.domain.start(guest.initialState)
    let domain = guest.domain
    let killer = try Thread { domain.kill() }
    #expect(domain.wait() == .killed)
    killer.join()
  }

  /// Arguments that are wrong in a way that matters, and some that are right.
  private static let interesting: [UInt64] = [
    0, 1, 2, 3, 5, 7, 8, 9, 13, 16, 64, 0xffff, 0x7ff0, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 47, 1 << 63,
    .max,
    .max - 7, 0xffff_8000_0000_0000, 0xffff_8080_0000_0000, 0xffff_8080_4000_0000, TinyGuest.spare,
    TinyGuest.spare + 0xff9, TinyGuest.scratch, last, last + 0xff8, 0x4000, 0x67, 0xff_ffff_f067,
  ]

  @Test(
    "hypercalls with arguments and structures at random end in an error, or end their own domain",
    arguments: 1...12)
  func random(seed: UInt64) throws {
    var random = SplitMix64(state: seed)
    func pick() -> UInt64 { Self.interesting[Int(random.next() % UInt64(Self.interesting.count))] }
    // Frames of its own and of others among the words that structures are made of.
    let own = (0..<4).map { guest.machine(GuestFrame(UInt64(24 + $0))) >> 12 }
    for index in 0..<512 {
      let word =
        switch random.next() % 4 {
        case 0: own[Int(random.next() % 4)]
        case 1: target
        case 2: random.next()
        default: pick()
        }
      guest.store(word, at: TinyGuest.spare + UInt64(index) * 8)
    }
    // Not iret, and of sched_op nothing that waits: only the test's own time would be tested.
    let numbers = HypercallNumber.allCases.filter { $0 != .interruptReturn && $0 != .schedulerOperation }
    let end = try guest.run { code in
      for _ in 0..<200 {
        code.move(numbers[Int(random.next() % UInt64(numbers.count))].rawValue, to: .rax)
        for register in [Assembler.Register.rdi, .rsi, .rdx, .r10] { code.move(pick(), to: register) }
        code.raw(0x0f, 0x05)
      }
      code.shutdown(scratch: TinyGuest.scratch)
    }
    if case .crashed(let report) = end { #expect(report.reason != "the test's time is up") }
    #expect(victim.word(TinyGuest.spare) == Self.secret)
    // The host is none the worse: the next guest runs.
    #expect(try TinyGuest(host: victim.host).run { $0.shutdown(scratch: TinyGuest.scratch) } == .poweroff)
  }
}

/// Grants of a guest that passes anything, on machines that are compared with their specification.
@Suite("Hostile grants, checked, on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
struct HostileGrantsTests {
  @Test("grant operations at random have what the specification allows", arguments: 1...6)
  func random(seed: UInt64) throws {
    var random = SplitMix64(state: seed)
    let monitor = CheckMonitor { _ in }
    let host = try Host(guestFrames: 1024, machinery: CheckedMachinery(monitor: monitor))
    let granter = try TinyGuest(host: host)
    let guest = try TinyGuest(host: host)
    let domains = [guest.domain.id.rawValue, granter.domain.id.rawValue, 0x7ff0, 0, 99].map(UInt64.init)
    var frames: [UInt64] = []
    for number in 24..<32 as Range<UInt64> {
      let owner = number % 2 == 0 ? guest : granter
      frames.append(owner.machine(GuestFrame(number)) >> 12)
    }
    for reference in UInt32(2)..<40 {
      for domain in [guest.domain, granter.domain] {
        domain.setGrant(
          GrantReference(reference),
          GrantEntry(
            flags: GrantFlags(rawValue: UInt16(random.next() % 8)),
            domain: DomainID(UInt16(domains[Int(random.next() % 5)])),
            frame: UInt32(frames[Int(random.next() % 8)])))
      }
    }
    let end = try guest.run { code in
      for _ in 0..<60 {
        // Words that are frames, domains, flags, references and addresses, as it comes.
        for index in 0..<5 {
          let word =
            switch random.next() % 5 {
            case 0: domains[Int(random.next() % 5)]
            case 1: frames[Int(random.next() % 8)]
            case 2: random.next() % 64 | (random.next() % 64) << 32
            case 3: TinyGuest.spare
            default: random.next() & 0xffff_00ff_00ff
            }
          code.store(word, at: TinyGuest.scratch + UInt64(index) * 8)
        }
        code.hypercall(20, [0, 1, 2, 4, 5, 6, 11][Int(random.next() % 7)], TinyGuest.scratch, 1)
      }
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    #expect(monitor.divergence == nil)
    #expect((monitor.counts.first { $0.machine == "Grants" }?.count.operations ?? 0) > 10)
  }
}
