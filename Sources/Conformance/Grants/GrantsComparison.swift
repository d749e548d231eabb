// SPDX-License-Identifier: Apache-2.0
//
// The abstraction: what each part of the optimised grant tables means in the specification's state.

import Interfaces
import Logic
import Machines
import Specs

extension FollowedGrantTables {
  /// Compares the entry that a call named, by the names of the model: whether it is there, its pins, and, if it has
  /// any, its frame and grantee.
  func compareEntry(_ d: UInt64, _ r: UInt64) throws(Divergence) {
    guard let domain = names.machineDomain(d), Int(r) < names.own(model.references) else { return }
    let state = simulator.registers
    let place = model.entry(Int(d), Int(r))
    let view = inner.active(GrantReference(UInt32(r)), of: domain)
    let covers = state[model.covers + place] == 1
    func complain(_ reason: String) -> Divergence {
      oracle.divergence(at: "entry \(r) of domain \(domain)", reason)
    }
    guard (view != nil) == covers else {
      throw complain("the table \(covers ? "has" : "does not have") the entry")
    }
    guard let view else { return }
    let pins = state + model.pinCount + 4 * place
    let isSame =
      UInt64(view.hostRead) == pins[0] && UInt64(view.hostWrite) == pins[1]
      && UInt64(view.deviceRead) == pins[2] && UInt64(view.deviceWrite) == pins[3]
    if !isSame { throw complain("its pins are \(view), they should be \((0..<4).map { pins[$0] })") }
    if pins[0] | pins[1] | pins[2] | pins[3] == 0 { return }
    let (grantee, frame) = (state[model.activeDomain + place], state[model.activeFrame + place])
    if names.domain(view.domain) != grantee || names.frame(view.frame) != frame {
      throw complain(
        "it is pinned for domain \(view.domain), frame \(view.frame), it should be \(grantee), \(frame)")
    }
  }

  /// Compares what a handle names.
  func compareMapping(_ m: UInt64, _ h: UInt64) throws(Divergence) {
    guard let domain = names.machineDomain(m), Int(h) < names.own(model.handles) else { return }
    let state = simulator.registers
    let place = model.mapping(Int(m), Int(h))
    let (host, device) = (state[model.mappingHost + place] == 1, state[model.mappingDevice + place] == 1)
    let view = inner.mapping(GrantHandle(UInt32(h)), of: domain)
    if view == nil, !host, !device { return }
    guard let view, view.host == host, view.device == device,
      view.readOnly == (state[model.mappingReadOnly + place] == 1),
      names.domain(view.granter) == state[model.mappingGranter + place],
      names.reference(view.reference) == state[model.mappingReference + place]
    else {
      throw oracle.divergence(
        at: "handle \(h) of domain \(domain)",
        view.map { "it maps \($0)" } ?? "it is free, it should be in use")
    }
  }

  private func compareLife(_ d: Int, _ domain: DomainID) throws(Divergence) {
    let expected = GrantsModel.lives[simulator.registers[model.life + d]]
    let found: Life =
      switch inner.life(of: domain) {
      case .absent: .absent
      case .running: .running
      case .dying: .dying
      }
    if found != expected {
      throw oracle.divergence(at: "domain \(domain)", "the domain is \(found), it should be \(expected)")
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

  /// Compares the references that the grant tables hold on a frame (R4).
  func compareReferences(_ frame: MachineFrame) throws(Divergence) {
    let f = Int(names.frame(frame))
    guard f < names.own(model.frames) else { return }
    let (found, expected) = (frames.references(on: frame), Int(simulator[model.useCount + f]))
    if found != expected {
      throw oracle.divergence(
        at: "frame \(frame)", "it holds \(found) references, it should hold \(expected)")
    }
  }

  /// Compares all mappings of a domain. Of handles that are free on both sides there is nothing to compare.
  private func compareMappings(_ d: Int, of domain: DomainID) throws(Divergence) {
    let count = names.own(model.handles)
    let first = model.mapping(d, 0)
    for h in stride(from: 0, to: count, by: 64) {
      let number = min(64, count - h)
      var used =
        simulator.bits(model.mappingHost + first + h, count: number)
        | simulator.bits(model.mappingDevice + first + h, count: number)
      while used != 0 {
        try compareMapping(UInt64(d), UInt64(h + used.trailingZeroBitCount))
        used &= used - 1
      }
    }
    var next = inner.firstMapping(of: domain, from: 0)
    while let handle = next, handle.rawValue < UInt32(count) {
      if !isUsed(first + Int(handle.rawValue)) { try compareMapping(UInt64(d), UInt64(handle.rawValue)) }
      next = inner.firstMapping(of: domain, from: Int(handle.rawValue) + 1)
    }
  }

  /// Compares everything.
  func compareAll() throws(Divergence) {
    for d in 0..<names.own(model.domains) {
      guard let domain = names.machineDomain(UInt64(d)) else { continue }
      try compareLife(d, domain)
      for r in 0..<names.own(model.references) { try compareEntry(UInt64(d), UInt64(r)) }
      try compareMappings(d, of: domain)
    }
    for f in 0..<names.own(model.frames) {
      let frame = MachineFrame(UInt64(f))
      try compareOwner(frame, frames.currentOwner(of: frame))
      try compareReferences(frame)
    }
  }

  /// Compares the world around the tables: what frames and shared entries are left as.
  func compareSurroundings(_ world: GrantsWorld) throws(Divergence) {
    if world.frames.overdrawn { throw oracle.divergence(at: "a frame", "it is released once too often") }
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

extension FollowedGrantTables {
  func covers(_ d: Int, _ r: Int) -> Bool { simulator[model.covers + model.entry(d, r)] == 1 }

  func useCount(_ f: Int) -> UInt64 { simulator[model.useCount + f] }

  /// The frame that a use of an entry would reach.
  func reachedFrame(_ d: Int, _ r: Int) -> UInt64 {
    let place = model.entry(d, r)
    let isPinned = (0..<4).contains { simulator[model.pinCount + 4 * place + $0] != 0 }
    return simulator[(isPinned ? model.activeFrame : model.frame) + place]
  }
}
