// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension FollowedEventPorts {
  public func addDomain(
    _ domain: DomainID, sharedInfo: UnsafeMutableRawPointer, portCount: Int, virtualCPUCount: Int,
    recipient: any EventRecipient
  ) -> EventStatus {
    tap.begin()
    let status = inner.addDomain(
      domain, sharedInfo: sharedInfo, portCount: portCount, virtualCPUCount: virtualCPUCount,
      recipient: TappedRecipient(recipient, domain, tap))
    let fits = portCount <= model.ports && virtualCPUCount <= model.vcpus
    if status == .okay, !fits || !names.adopt(domain, isFree: isFree) { isOutgrown = true }
    check { () throws(Divergence) in
      let d = names.domain(domain)
      let expected: EventStatus =
        domain >= .firstReserved ? .noSuchDomain : isThere(d) ? .exists : .okay
      try expect(status, expected, at: "addDomain")
      guard status == .okay else { return }
      try oracle.take(model.create, [d])
      homes[Int(d)] = EventHome(
        sharedInfo: sharedInfo, portCount: portCount,
        infos: Array(repeating: nil, count: virtualCPUCount))
    }
    return status
  }

  /// Whether a name can be given to another domain: its domain is gone, and nobody's port waits for it.
  private func isFree(_ name: Int) -> Bool {
    if isThere(UInt64(name)) { return false }
    return !(0..<model.domains * model.ports).contains {
      simulator[model.kind + $0] != 0 && simulator[model.remote + $0] == UInt64(name)
    }
  }

  public func removeDomain(_ domain: DomainID) {
    tap.begin()
    inner.removeDomain(domain)
    check { () throws(Divergence) in
      let d = names.domain(domain)
      guard isThere(d) else { return }
      try oracle.take(model.destroy, [d])
      homes[Int(d)] = nil
      try compareRemembered()
    }
  }

  public func register(_ vcpu: Int, of domain: DomainID, info: UnsafeMutableRawPointer) -> EventStatus {
    tap.begin()
    let status = inner.register(vcpu, of: domain, info: info)
    check { () throws(Divergence) in
      let d = names.domain(domain)
      guard isThere(d), let count = homes[Int(d)]?.infos.count else {
        return try expect(status, .noSuchDomain, at: "register")
      }
      guard (0..<count).contains(vcpu) else { return try expect(status, .noEntry, at: "register") }
      try expect(status, .okay, at: "register")
      homes[Int(d)]?.infos[vcpu] = info
      let (v, before) = (UInt64(vcpu), kicked(d))
      try oracle.take(model.register, [d, v])
      let words = try expect(.select, d, v)
      let wordCount = ((homes[Int(d)]?.portCount ?? 0) + 63) / 64
      if (~words).trailingZeroBitCount < wordCount {
        throw oracle.divergence(at: "register", "it selects words \(String(words, radix: 16)), not all")
      }
      try expect(.notify, d, v)
      try followKicks(d, before: before)
    }
    return status
  }
}
