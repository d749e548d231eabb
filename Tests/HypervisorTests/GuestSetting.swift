// SPDX-License-Identifier: Apache-2.0

@testable import Hypervisor

/// One guest, and what tests of its life share.
class GuestSetting {
  static let scratch = TinyGuest.scratch
  static let results = TinyGuest.results
  /// Where tests map the shared page.
  static let shared: UInt64 = 0x1e000
  static let handler: UInt64 = 0x1a000

  let guest: TinyGuest
  init() throws { guest = try TinyGuest() }

  /// Maps the shared page, as every guest does.
  func mapShared(_ code: inout Assembler) {
    code.hypercall(14, Self.shared, guest.domain.sharedInfo.address.rawValue | 0x67, 2)
  }

  func loadHandler(at address: UInt64 = GuestSetting.handler, _ program: (inout Assembler) -> Void) {
    var assembler = Assembler()
    program(&assembler)
    guest.load(assembler.bytes, at: address)
  }
}
