// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

/// A guest and its victim, a second domain of the same host that must come away unharmed.
class HostileSetting {
  static let secret: UInt64 = 0x5ec7_e75e_c7e7

  let victim: TinyGuest
  let guest: TinyGuest
  /// A frame of the victim's.
  let target: UInt64

  init() throws {
    victim = try TinyGuest()
    guest = try TinyGuest(host: victim.host)
    victim.store(Self.secret, at: TinyGuest.spare)
    target = victim.machine(GuestFrame(TinyGuest.spare >> 12)) >> 12
  }

  /// Runs the guest, and checks that it crashed for a reason, and that the victim's page is as it was.
  func expectCrash(_ reason: String, _ program: (inout Assembler) throws -> Void) throws {
    let end = try guest.run {
      try program(&$0)
      $0.shutdown(scratch: TinyGuest.scratch)
    }
    if case .crashed(let report) = end {
      #expect(report.reason.contains(reason), "\(report.reason)")
    } else {
      Issue.record("the guest \(end), and should have crashed: \(reason)")
    }
    #expect(victim.word(TinyGuest.spare) == Self.secret)
    #expect(guest.result() != Int64(Self.secret), "the guest has read the secret")
  }

  /// Flushes the guest's translations: until then a processor may go on with what it has.
  func flush(_ code: inout Assembler) {
    code.store(6, at: TinyGuest.scratch)
    code.hypercall(26, TinyGuest.scratch, 1, 0, 0x7ff0)
  }

  /// The level-1 entry for the spare page, as the guest itself sees it.
  static let entry = UInt64(TinyGuest.levelOne.rawValue) << 12 + (TinyGuest.spare >> 12) * 8
}
