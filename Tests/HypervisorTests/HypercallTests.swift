// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

@Suite("Hypercalls of a guest on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
struct HypercallTests {
  @Test("a guest that asks for it is switched off")
  func poweroff() throws {
    let guest = try TinyGuest()
    let end = try guest.run { $0.shutdown(scratch: TinyGuest.scratch) }
    #expect(end == .poweroff)
  }

  @Test("xen_version answers in rax, and the guest goes on behind the call")
  func version() throws {
    let guest = try TinyGuest()
    let end = try guest.run {
      $0.hypercall(17, 0, 0)
      $0.storeRAX(at: TinyGuest.results)
      $0.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == Int64(XenVersion.number))
  }
}
