// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Testing

@testable import Hypervisor

/// A guest whose code is random bytes, privileged instructions and system calls among them.
@Suite("Hostile code on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class HostileCodeTests: HostileSetting {
  /// Beginnings of what is emulated, or leaves the guest: SYSCALL, CPUID with its prefix, INT, MOV to and from CR and
  /// DR, RDMSR, WRMSR, XSETBV, IN, OUT, HLT, a load from the machine-to-physical table.
  private static let beginnings: [[UInt8]] = [
    [0x0f, 0x05], [0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2], [0xcd], [0x0f, 0x20], [0x0f, 0x22],
    [0x0f, 0x21],
    [0x0f, 0x23], [0x0f, 0x32], [0x0f, 0x30], [0x0f, 0x01, 0xd1], [0xe4], [0xe6], [0xec], [0xee], [0xf4],
    [0xcc], [0x9d],
    [0x48, 0xa1, 0, 0, 0, 0, 0, 0x80, 0xff, 0xff], [0x48, 0xb8], [0x48, 0xbf], [0x48, 0xbe],
    [0xb8, 29, 0, 0, 0],
    [0xb8, 26, 0, 0, 0], [0xb8, 1, 0, 0, 0], [0xb8, 23, 0, 0, 0], [0xb8, 13, 0, 0, 0],
  ]

  @Test("that is random ends at most its own domain", arguments: 1...16)
  func random(seed: UInt64) throws {
    var random = SplitMix64(state: seed)
    let pages = UInt64(16)..<UInt64(TinyGuest.frameCount)
    for page in pages {
      var bytes: [UInt8] = []
      while bytes.count < frameSize {
        if random.next() & 1 == 0 {
          bytes += Self.beginnings[Int(random.next() % UInt64(Self.beginnings.count))]
        }
        bytes.append(UInt8(truncatingIfNeeded: random.next()))
      }
      guest.load(Array(bytes.prefix(frameSize)), at: page << 12)
    }
    func place() -> UInt64 {
      (pages.lowerBound + random.next() % UInt64(pages.count)) << 12 | random.next() & 0xfff
    }
    var code = Assembler()
    // Handlers for all exceptions, and callbacks, somewhere in all that.
    for vector in UInt64(0)..<32 {
      guest.store(vector | 3 << 8, at: 0x9000 + vector * 16)
      guest.store(place(), at: 0x9000 + vector * 16 + 8)
    }
    code.hypercall(0, 0x9000)
    code.hypercall(4, place(), place(), place())
    code.hypercall(3, 0xe02b, 0xf000)
    for register in [Assembler.Register.rbx, .rcx, .rdx, .rsi, .rdi, .r8, .r10] {
      code.move(place(), to: register)
    }
    code.move(place(), to: .rax)
    code.raw(0xff, 0xe0)
    guest.load(code.bytes, at: TinyGuest.code)
    try guest.domain.start(guest.initialState)
    let domain = guest.domain
    let killer = try Thread {
      for _ in 0..<20 where !domain.hasEnded { usleep(10_000) }
      domain.kill()
    }
    _ = domain.wait()
    killer.join()
    #expect(victim.word(TinyGuest.spare) == Self.secret)
    #expect(try TinyGuest(host: victim.host).run { $0.shutdown(scratch: TinyGuest.scratch) } == .poweroff)
  }
}

/// Steele, Lea and Flood's generator.
struct SplitMix64 {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}
