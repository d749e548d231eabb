// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Machines
import Testing

@testable import Hypervisor

/// Whether this machine can run PVH guests.
private let canRunPVH = (try? GuestType.pvh.checkSupport()) != nil

@Suite("A PVH guest", .enabled(if: canRunPVH, "no KVM that runs PVH guests"), .serialized)
struct PhysicalGuestTests {
  private static let results: UInt64 = 0x5000

  /// Runs 32-bit code to the guest's end, which must come within some seconds.
  private func run(_ code: [UInt8]) throws -> (end: DomainEnd, words: [UInt32]) {
    let host = try Host(guestFrames: 1024, machinery: OptimisedMachinery())
    let domain = try host.createDomain(DomainConfiguration(name: "tiny", type: .pvh, frameCount: 64))
    defer { _ = host.destroyDomain(domain) }
    let page = try #require(domain.bytes(of: GuestFrame(8)))
    for (index, byte) in code.enumerated() { page[index] = byte }
    try domain.start(
      .physical(
        PhysicalState(
          entry: 0x8000, startInfo: 0x6000, storeFrame: GuestFrame(62), storePort: EventPort(1),
          consoleFrame: GuestFrame(63), consolePort: EventPort(2))))
    let watchdog = try Thread {
      for _ in 0..<1000 where !domain.hasEnded { usleep(10_000) }
      domain.crash("the test's time is up")
    }
    let end = domain.wait()
    watchdog.join()
    let bytes = try #require(domain.bytes(of: GuestFrame(Self.results >> 12)))
    return (end, (0..<4).map { bytes.load(fromByteOffset: $0 * 4, as: UInt32.self) })
  }

  /// mov $0x34,%al; out %al,$0xe8
  private static let switchOff: [UInt8] = [0xb0, SleepPort.off << 2 | 1 << 5, 0xe6, UInt8(SleepPort.control)]

  @Test(
    "begins at its entry, with its start info in ebx, finds nothing where nothing is, and can switch off")
  func beginning() throws {
    let (end, words) = try run(
      [
        0x89, 0x1d, 0x00, 0x50, 0x00, 0x00,  // mov %ebx,0x5000
        0xed, 0xa3, 0x04, 0x50, 0x00, 0x00,  // in %dx,%eax; mov %eax,0x5004
        0xa1, 0x00, 0x00, 0x00, 0xd0,  // mov 0xd0000000,%eax
        0xa3, 0x08, 0x50, 0x00, 0x00,  // mov %eax,0x5008
        0x0f, 0x20, 0xc0,  // mov %cr0,%eax
        0xa3, 0x0c, 0x50, 0x00, 0x00,  // mov %eax,0x500c
      ] + Self.switchOff)
    #expect(end == .poweroff)
    #expect(words[..<3] == [0x6000, 0xffff_ffff, 0xffff_ffff])
    #expect(words[3] & 0x8000_0001 == 1, "protected mode without paging")
  }

  @Test("gets an error for a hypercall from 32-bit code")
  func earlyHypercall() throws {
    // mov $17,%eax; vmmcall; mov %eax,0x5000
    let (end, words) = try run(
      [0xb8, 17, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xa3, 0x00, 0x50, 0x00, 0x00] + Self.switchOff)
    #expect(end == .poweroff && Int32(bitPattern: words[0]) == -38)
  }

  @Test("that touches a frame which it does not have, or faults without a handler, is ended, and nobody else")
  func wild() throws {
    // Right behind its memory, in the room for its shared page.
    for code: [UInt8] in [[0xa1, 0x00, 0x00, 0x04, 0x00], [0x0f, 0x0b]] {
      let (end, _) = try run(code + Self.switchOff)
      guard case .crashed(let report) = end else {
        Issue.record("it ended with \(end)")
        continue
      }
      #expect(report.reason.hasPrefix("the virtual processor stopped: "))
    }
  }
}
