// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@Suite("Entries that change places, and mappings named by their entry")
struct GrantSwapTests {
  private func swap(
    _ host: GrantHost<SharedGrantEntries>, _ a: UInt32, _ b: UInt32, by caller: DomainID = one
  )
    -> GrantStatus
  {
    host.tables.swap(GrantReference(a), GrantReference(b), by: caller)
  }

  @Test("Two entries change places, whatever they are")
  func swaps() {
    let host = GrantHost()
    let grant = GrantEntry(flags: [.permitAccess, .readOnly], domain: two, frame: 12)
    let offer = GrantEntry(flags: .acceptTransfer, domain: three, frame: 0)
    host[one, 3] = grant
    host[one, 5] = offer
    #expect(swap(host, 3, 5) == .okay)
    #expect(host[one, 3] == offer)
    #expect(host[one, 5] == grant)
    #expect(host.map(5, readOnly: true).frame == MachineFrame(12))
  }

  @Test("An entry that is named twice stays as it is")
  func same() {
    let host = GrantHost()
    let grant = GrantEntry(flags: .permitAccess, domain: two, frame: 12)
    host[one, 3] = grant
    #expect(swap(host, 3, 3) == .okay)
    #expect(host[one, 3] == grant)
  }

  @Test("XSA-18, 134: an entry in use stays, and one that is not in the table is refused")
  func refused() {
    let host = GrantHost()
    host[one, 3] = GrantEntry(flags: .permitAccess, domain: two, frame: 12)
    let mapping = host.map(3)
    #expect(swap(host, 3, 4) == .tryAgain)
    #expect(swap(host, 4, 3) == .tryAgain)
    #expect(swap(host, 3, 3) == .tryAgain)
    #expect(swap(host, 0, 512) == .badReference)
    #expect(swap(host, 512, 0) == .badReference)
    #expect(swap(host, 0, .max) == .badReference)
    #expect(swap(host, 0, 1, by: DomainID(9)) == .badDomain)
    #expect(host[one, 3].frame == 12)
    #expect(host.tables.unmap(mapping.handle, host: true, device: false, by: two).status == .okay)
    #expect(swap(host, 3, 4) == .okay)
    #expect(host[one, 4].frame == 12)
  }

  @Test("XSA-227: a mapping into a page-table entry is refused unless it is a whole one", arguments: 0...7)
  func aligned(offset: UInt8) {
    let host = GrantHost()
    host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 12)
    let request = GrantMapRequest(
      granter: one, reference: GrantReference(0), readOnly: false, entryOffset: offset)
    #expect(host.tables.map(request, by: two).status == (offset == 0 ? .okay : .generalError))
    #expect(host.references == (offset == 0 ? 1 : 0))
    #expect(host[one, 0].flags.contains(.reading) == (offset == 0))
  }
}
