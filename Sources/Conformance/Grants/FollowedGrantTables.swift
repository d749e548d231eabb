// SPDX-License-Identifier: Apache-2.0
//
// Grant tables that carry the specification along. Each call is made on the implementation; then the specification
// takes the same step, told first what the implementation read of the shared entries, for their domains may have
// stored to them at any time; then both are compared: status, handle, frame, what was remembered, and what was
// written to the entries.

import Interfaces
import Logic
import Machines
import Specs

/// Grant tables followed by their specification.
public final class FollowedGrantTables: GrantTables {
  let inner: any InspectableGrantTables
  let tap: GrantTap
  let frames: FrameTap
  let model: GrantsModel
  let oracle: Oracle
  var names: GrantNames

  /// The first difference; from then on nothing is compared any more.
  public private(set) var divergence: Divergence?
  /// Calls that were compared.
  public private(set) var checkedCount = 0
  /// Calls that were not: the model is smaller than what they named.
  public private(set) var uncheckedCount = 0
  /// Told of the first difference.
  var onDivergence: (Divergence) -> Void = { _ in }
  /// Told of every call made until then: whether it was compared.
  var onCall: (Bool) -> Void = { _ in }

  /// Domains beyond the model.
  var unmodelled: Set<DomainID> = []
  /// The entries touched by the call under way, as the specification had them, with what was read and written since.
  var images: [Int: GrantsEntry] = [:]

  /// - Parameters:
  ///   - tap: the one through which `inner` makes its accesses.
  ///   - frames: the ones that `inner` asks.
  init(
    _ inner: any InspectableGrantTables, tap: GrantTap, frames: FrameTap, model: GrantsModel,
    names: GrantNames, oracle: Oracle
  ) {
    self.inner = inner
    self.tap = tap
    self.frames = frames
    self.model = model
    self.names = names
    self.oracle = oracle
  }

  /// The frame that the source of the copy under way holds while its destination is reached.
  var heldByCopy: UInt64?

  func begin() {
    heldByCopy = nil
    tap.begin()
    frames.begin()
  }

  /// Compares a call that has been made.
  func check(_ domains: [DomainID], _ body: () throws(Divergence) -> Void) {
    guard divergence == nil else { return }
    guard unmodelled.isEmpty || unmodelled.isDisjoint(with: domains) else {
      uncheckedCount += 1
      onCall(false)
      return
    }
    do throws(Divergence) {
      images.removeAll(keepingCapacity: true)
      for claim in tap.claims { remember(claim.place) }
      for (place, _) in tap.changes { remember(place) }
      if let misdeed = tap.misdeed { throw oracle.divergence(at: "an entry", misdeed) }
      try body()
      try compareEntries()
      checkedCount += 1
      onCall(true)
    } catch {
      divergence = error
      onDivergence(error)
    }
  }

  // MARK: Calls

  public func map(_ request: GrantMapRequest, by mapper: DomainID) -> GrantMapping {
    begin()
    let next = inner.nextHandle(of: mapper)
    let result = inner.map(request, by: mapper)
    check([mapper, request.granter]) { () throws(Divergence) in
      let (m, d) = (names.domain(mapper), names.domain(request.granter))
      let r = names.reference(request.reference)
      func bit(_ value: Bool) -> UInt64 { value ? 1 : 0 }
      if next == nil, simulator[model.life + Int(m)] != absent {
        return try mapWithoutHandle(request, by: mapper, result.status)
      }
      let claim = try onlyClaim(of: request.granter, request.reference)
      try feed(claim, d, r)
      let h = result.status == .okay ? names.handle(result.handle) : next.map(names.handle) ?? 0
      let parts = [bit(request.host), bit(request.device)]
      if request.host, request.entryOffset != 0 {
        let arguments = [m, d, r, bit(request.readOnly), bit(request.device), 1, h]
        try take(model.mapIntoEntry, arguments, result.status, claim)
      } else {
        try take(model.map, [m, d, r, bit(request.readOnly)] + parts + [h], result.status, claim)
      }
      if result.status == .okay {
        let frame = simulator[model.mappingFrame + model.mapping(Int(m), Int(h))]
        guard frame == names.frame(result.frame) else {
          throw oracle.divergence(at: "map", "it maps frame \(result.frame), it should be \(frame)")
        }
        try compareReferences(result.frame)
      }
      try compareEntry(d, r)
      try compareMapping(m, h)
    }
    return result
  }

  /// A map for which the mapper has no handle left.
  private func mapWithoutHandle(
    _ request: GrantMapRequest, by mapper: DomainID, _ status: GrantStatus
  ) throws(Divergence) {
    let (m, d) = (names.domain(mapper), names.domain(request.granter))
    if !names.isOpen {
      return try oracle.take(
        model.mapWithoutHandle, [m, d, request.host ? 1 : 0, request.device ? 1 : 0],
        expecting: [GrantsModel.result(status)])
    }
    // The model has more handles than the domain; the rule is the same.
    if let free = (0..<inner.handleCount(of: mapper)).first(where: { !isUsed(model.mapping(Int(m), $0)) }) {
      throw oracle.divergence(at: "map", "it has no handle left, and handle \(free) is free")
    }
    let answer: GrantStatus =
      simulator[model.life + Int(m)] != running
      ? .badDomain
      : !request.host && !request.device
        ? .badReference : simulator[model.life + Int(d)] != running ? .badDomain : .noDeviceSpace
    try expect(status, answer, at: "map")
  }

  public func unmap(_ handle: GrantHandle, host: Bool, device: Bool, by mapper: DomainID) -> GrantMapping {
    begin()
    let granter = inner.mapping(handle, of: mapper)?.granter
    let result = inner.unmap(handle, host: host, device: device, by: mapper)
    check([mapper, granter ?? mapper]) { () throws(Divergence) in
      let (m, h) = (names.domain(mapper), names.handle(handle))
      let place = model.mapping(Int(m), Int(h))
      let (d, r, frame) = (
        simulator[model.mappingGranter + place], simulator[model.mappingReference + place],
        simulator[model.mappingFrame + place]
      )
      // What it leaves of the entry is compared even if it does not touch it.
      if isUsed(place) { remember(d, r) }
      try oracle.take(
        model.unmap, [m, h, host ? 1 : 0, device ? 1 : 0], expecting: [GrantsModel.result(result.status)])
      if result.status == .okay {
        guard frame == names.frame(result.frame) else {
          throw oracle.divergence(at: "unmap", "it names frame \(result.frame), it was \(frame)")
        }
        try compareReferences(result.frame)
        try compareEntry(d, r)
      }
      try compareMapping(m, h)
    }
    return result
  }

  public func size(of domain: DomainID) -> (status: GrantStatus, frames: Int, maximumFrames: Int) {
    let result = inner.size(of: domain)
    begin()
    check([domain]) { () throws(Divergence) in
      let isRunning = simulator[model.life + Int(names.domain(domain))] == running
      try expect(result.status, isRunning ? .okay : .badDomain, at: "size")
    }
    return result
  }

  // MARK: The specification's side

  var simulator: Simulator { oracle.simulator }
  var absent: UInt64 { 0 }
  var running: UInt64 { 1 }

  func isUsed(_ mapping: Int) -> Bool {
    simulator[model.mappingHost + mapping] + simulator[model.mappingDevice + mapping] != 0
  }

  /// What was read of the one entry that the call names; nil if it was not read.
  func onlyClaim(of granter: DomainID, _ reference: GrantReference) throws(Divergence)
    -> GrantTap.Claim?
  {
    guard let claim = tap.claims.first else { return nil }
    guard tap.claims.count == 1, claim.place.granter == granter, claim.place.reference == reference else {
      throw oracle.divergence(at: "an entry", "it reads others than the call names, or twice")
    }
    return claim
  }

  /// Whether the specification would look at the shared entry.
  func consults(_ d: UInt64, _ r: UInt64, writes: Bool) -> Bool {
    let counts = simulator.registers + model.pinCount + 4 * model.entry(Int(d), Int(r))
    let isPinnedForWriting = counts[1] | counts[3] != 0
    return counts[0] | counts[2] == 0 && !isPinnedForWriting || writes && !isPinnedForWriting
  }

  func expect<T: Equatable>(_ found: T, _ expected: T, at step: String) throws(Divergence) {
    if found != expected {
      throw oracle.divergence(at: step, "it answers \(found), it should be \(expected)")
    }
  }

  /// What an action would answer.
  func peek(_ action: Int, _ arguments: [UInt64]) -> GrantStatus? {
    simulator.run(action, arguments) ? GrantsModel.status(simulator.result(0)) : nil
  }

  /// Takes a step that must answer a status. An entry that did not hold still is as good as none.
  func take(
    _ action: Int, _ arguments: [UInt64], _ status: GrantStatus, _ claim: GrantTap.Claim?
  ) throws(Divergence) {
    // Others than the grant tables hold the frame, or took it: what they may, the model does not know.
    let refusal: GrantStatus = action == model.transfer ? .badPage : .generalError
    if frames.refused, status == refusal, names.isOpen || isHeldByCopy(arguments),
      peek(action, arguments) == .okay
    {
      return
    }
    if let claim, claim.isUnstable, status == .generalError, peek(action, arguments) == .okay {
      let (d, r) = (names.domain(claim.place.granter), names.reference(claim.place.reference))
      try store(d, r) { $0.type = 0 }
    }
    try oracle.take(action, arguments, expecting: [GrantsModel.result(status)])
  }

  /// Tells the specification what was read of an entry: its domain may have stored it at any time before.
  func feed(_ claim: GrantTap.Claim?, _ d: UInt64, _ r: UInt64) throws(Divergence) {
    guard let claim else {
      return try sync(MachineFrame(simulator[model.activeFrame + model.entry(Int(d), Int(r))]))
    }
    try store(d, r) { entry in
      let flags = claim.word.flags
      entry.type = UInt64(flags.intersection(.typeMask).rawValue)
      entry.bit2 = flags.contains(.readOnly)
      if !claim.isAgain {
        entry.bit3 = flags.contains(.reading)
        entry.bit4 = flags.contains(.writing)
      }
      entry.domain = names.domain(claim.word.domain)
      if let frame = claim.frame { entry.frame = names.frame(MachineFrame(UInt64(frame))) }
    }
    if let frame = claim.frame { try sync(MachineFrame(UInt64(frame))) }
  }

  /// Brings the specification's notion of a frame's owner up to date, as the implementation was told of it: the
  /// hypervisor gives and takes frames at any time.
  func sync(_ frame: MachineFrame) throws(Divergence) {
    guard names.isOpen, frame.rawValue < UInt64(names.own(model.frames)) else { return }
    let f = Int(frame.rawValue)
    let actual = frames.takeOwner(of: frame).flatMap(names.number)
    let known = simulator[model.isOwned + f] == 1 ? Int(simulator[model.owner + f]) : nil
    if actual == known { return }
    if known != nil { try oracle.take(model.free, [UInt64(f)]) }
    if let actual, simulator[model.life + actual] == running {
      try oracle.take(model.assign, [UInt64(f), UInt64(actual)])
    }
  }
}
