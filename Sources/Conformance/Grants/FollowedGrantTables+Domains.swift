// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension FollowedGrantTables {
  public func addDomain(_ domain: DomainID, maximumFrames: Int, maximumHandles: Int) -> GrantStatus {
    begin()
    let status = inner.addDomain(domain, maximumFrames: maximumFrames, maximumHandles: maximumHandles)
    if status == .okay {
      let fits =
        !names.isOpen
        || (maximumFrames * GrantEntry.perFrame < model.references && maximumHandles < model.handles)
      if !fits || names.adopt(domain) == nil { unmodelled.insert(domain) }
    }
    check([domain]) { () throws(Divergence) in
      let d = names.domain(domain)
      if status == .okay { return try oracle.take(model.create, [d]) }
      let isKnown = domain >= .firstReserved || simulator[model.life + Int(d)] != absent
      try expect(status, isKnown ? .badDomain : .okay, at: "addDomain")
    }
    return status
  }

  public func grow(_ domain: DomainID, entries: UnsafeMutableRawPointer) -> GrantStatus {
    begin()
    let first = inner.tableFrames(of: domain) * GrantEntry.perFrame
    let status = inner.grow(domain, entries: entries)
    check([domain]) { () throws(Divergence) in
      let d = names.domain(domain)
      let isRunning = simulator[model.life + Int(d)] == running
      if status != .okay { return try expect(status, isRunning ? .noSpace : .badDomain, at: "grow") }
      for r in first..<min(first + GrantEntry.perFrame, names.own(model.references)) {
        try oracle.take(model.grow, [d, UInt64(r)])
      }
    }
    return status
  }

  public func removeDomain(_ domain: DomainID) -> Bool {
    begin()
    var held: [Int] = []
    while let handle = inner.firstMapping(of: domain, from: (held.last ?? -1) + 1) {
      held.append(Int(handle.rawValue))
    }
    let gone = inner.removeDomain(domain)
    check([domain]) { () throws(Divergence) in
      guard let name = names.number(domain) else { return try expect(gone, true, at: "removeDomain") }
      let d = UInt64(name)
      if simulator[model.life + name] == running { try oracle.take(model.retire, [d]) }
      for handle in held {
        let place = model.mapping(name, handle)
        let parts = [simulator[model.mappingHost + place], simulator[model.mappingDevice + place]]
        try oracle.take(
          model.unmap, [d, UInt64(handle)] + parts, expecting: [GrantsModel.result(.okay)])
      }
      if simulator[model.life + name] == absent { return try expect(gone, true, at: "removeDomain") }
      guard gone else { return try compareStays(d) }
      for frame in 0..<model.frames
      where simulator[model.isOwned + frame] == 1 && simulator[model.owner + frame] == d {
        try oracle.take(model.free, [UInt64(frame)])
      }
      try oracle.take(model.forget, [d])
      names.disown(domain)
    }
    if gone { unmodelled.remove(domain) }
    return gone
  }

  /// A domain that has let go of all stays only because others have not.
  private func compareStays(_ d: UInt64) throws(Divergence) {
    for place in 0..<model.domains * model.handles where isUsed(place) {
      if simulator[model.mappingGranter + place] == d { return }
    }
    throw oracle.divergence(at: "removeDomain", "it stays, and nobody maps its grants")
  }
}
