// SPDX-License-Identifier: Apache-2.0
//
// The abstraction: what each part of the optimised grant tables means in the specification's state.

import Interfaces
import Logic
import Machines
import Specs

/// Compares what grant tables remember with a state of the specification.
struct GrantsComparison {
  let model: GrantsModel
  let names: GrantNames
  let tables: any InspectableGrantTables
  /// A register of the specification's state.
  let state: (Int) -> UInt64

  /// What differs at one entry: whether it is there, its pins, and, if it has any, its frame and grantee.
  func entry(_ domain: DomainID, _ reference: GrantReference) -> String? {
    let place = model.entry(Int(names.domain(domain)), Int(names.reference(reference)))
    let view = tables.active(reference, of: domain)
    let covers = state(model.covers + place) == 1
    guard (view != nil) == covers else { return "the table \(covers ? "has" : "does not have") the entry" }
    guard let view else { return nil }
    let pins = (0..<4).map { Int(state(model.pinCount + 4 * place + $0)) }
    let found = [view.hostRead, view.hostWrite, view.deviceRead, view.deviceWrite]
    if found != pins { return "its pins are \(found), they should be \(pins)" }
    if found.allSatisfy({ $0 == 0 }) { return nil }
    let (grantee, frame) = (state(model.activeDomain + place), state(model.activeFrame + place))
    if names.domain(view.domain) != grantee || names.frame(view.frame) != frame {
      return "it is pinned for domain \(view.domain), frame \(view.frame), it should be \(grantee), \(frame)"
    }
    return nil
  }

  /// What differs at one handle.
  func mapping(_ domain: DomainID, _ handle: GrantHandle) -> String? {
    let place = model.mapping(Int(names.domain(domain)), Int(names.handle(handle)))
    let (host, device) = (state(model.mappingHost + place) == 1, state(model.mappingDevice + place) == 1)
    guard let view = tables.mapping(handle, of: domain) else {
      return host || device ? "the handle is free, it should be in use" : nil
    }
    let (granter, reference) = (state(model.mappingGranter + place), state(model.mappingReference + place))
    let isSame =
      view.host == host && view.device == device
      && view.readOnly == (state(model.mappingReadOnly + place) == 1)
      && names.domain(view.granter) == granter && names.reference(view.reference) == reference
    return isSame ? nil : "the handle maps \(view)"
  }

  func life(_ domain: DomainID) -> String? {
    let expected = Life.allCases[Int(state(model.life + Int(names.domain(domain))))]
    let found: Life =
      switch tables.life(of: domain) {
      case .absent: .absent
      case .running: .running
      case .dying: .dying
      }
    return found == expected ? nil : "the domain is \(found), it should be \(expected)"
  }
}

extension FollowedGrantTables {
  private var comparison: GrantsComparison {
    let simulator = simulator
    return GrantsComparison(model: model, names: names, tables: inner) { simulator[$0] }
  }

  /// Compares the entry that a call named, by the names of the model.
  func compareEntry(_ d: UInt64, _ r: UInt64) throws(Divergence) {
    guard let domain = names.machineDomain(d), Int(r) < names.own(model.references) else { return }
    if let complaint = comparison.entry(domain, GrantReference(UInt32(r))) {
      throw oracle.divergence(at: "entry \(r) of domain \(domain)", complaint)
    }
  }

  func compareMapping(_ m: UInt64, _ h: UInt64) throws(Divergence) {
    guard let domain = names.machineDomain(m), Int(h) < names.own(model.handles) else { return }
    if let complaint = comparison.mapping(domain, GrantHandle(UInt32(h))) {
      throw oracle.divergence(at: "handle \(h) of domain \(domain)", complaint)
    }
  }

  func compareOwner(_ frame: MachineFrame, _ owner: DomainID?) throws(Divergence) {
    let f = Int(names.frame(frame))
    guard f < names.own(model.frames) else { return }
    let expected = simulator[model.isOwned + f] == 1 ? Int(simulator[model.owner + f]) : nil
    let found = owner.flatMap(names.number)
    if let expected, found != expected {
      throw oracle.divergence(
        at: "frame \(frame)", "its owner is \(found.map(String.init) ?? "nobody"), it should be \(expected)")
    }
  }

  /// Compares everything: for small models.
  func compareAll() throws(Divergence) {
    for d in 0..<names.own(model.domains) {
      guard let domain = names.machineDomain(UInt64(d)) else { continue }
      if let complaint = comparison.life(domain) {
        throw oracle.divergence(at: "domain \(domain)", complaint)
      }
      for r in 0..<names.own(model.references) { try compareEntry(UInt64(d), UInt64(r)) }
      for h in 0..<names.own(model.handles) { try compareMapping(UInt64(d), UInt64(h)) }
    }
    for f in 0..<names.own(model.frames) {
      let frame = MachineFrame(UInt64(f))
      try compareOwner(frame, frames.currentOwner(of: frame))
    }
  }

  /// Compares everything, the world around the tables too: what frames and shared entries are left as.
  func compareAll(in world: GrantsWorld) throws(Divergence) {
    if world.frames.overdrawn { throw oracle.divergence(at: "a frame", "it is released once too often") }
    try compareAll()
    for f in 0..<model.frames where world.frames.references[f] != useCount(f) {
      throw oracle.divergence(
        at: "frame \(f)", "it has \(world.frames.references[f]) references, it should have \(useCount(f))")
    }
    for d in 0..<model.domains {
      for r in 0..<model.references where covers(d, r) {
        let (found, expected) = (world.entry(d, r), entry(d, r))
        if found != expected {
          throw oracle.divergence(at: "entry \(r) of domain \(d)", "it is \(found), it should be \(expected)")
        }
      }
    }
  }
}
