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
  private var unmodelled: Set<DomainID> = []
  /// The entries touched by the call under way, as the specification had them, with what was read and written since.
  private var images: [Int: GrantsEntry] = [:]

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

  func begin() {
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
        try compareEntry(d, r)
      }
      try compareMapping(m, h)
    }
    return result
  }

  public func copy(
    from source: GrantCopyEnd, at sourceOffset: Int, to destination: GrantCopyEnd, at destinationOffset: Int,
    count: Int, by caller: DomainID
  ) -> GrantStatus {
    begin()
    let status = inner.copy(
      from: source, at: sourceOffset, to: destination, at: destinationOffset, count: count, by: caller)
    check([caller] + [source, destination].compactMap(\.granter)) { () throws(Divergence) in
      let fits = { (offset: Int) in
        (0...frameSize).contains(count) && (0...frameSize - count).contains(offset)
      }
      let c = names.domain(caller)
      if simulator[model.life + Int(c)] == running, !(fits(sourceOffset) && fits(destinationOffset)) {
        return try expect(status, .badCopyArgument, at: "copy")
      }
      // A copy is its source, then its destination; both may ask the same entry, each once.
      var claims = tap.claims[...]
      if try end(source, writes: false, by: c, status, isLast: false, &claims) {
        if destination == source { for index in claims.indices { claims[index].isAgain = true } }
        _ = try end(destination, writes: true, by: c, status, isLast: true, &claims)
      }
      if let claim = claims.first {
        throw oracle.divergence(at: "copy", "it reads entry \(claim.place.reference) without need")
      }
    }
    return status
  }

  /// Follows one end of a copy.
  /// - Returns: whether the copy goes on after it.
  private func end(
    _ end: GrantCopyEnd, writes: Bool, by c: UInt64, _ status: GrantStatus, isLast: Bool,
    _ claims: inout ArraySlice<GrantTap.Claim>
  ) throws(Divergence) -> Bool {
    let action: Int
    let arguments: [UInt64]
    var claim: GrantTap.Claim?
    switch end {
    case .frame(let frame) where frame.rawValue >= UInt64(names.own(model.frames)):
      // The model does not have the frame; the rule is the same.
      let isOwn = frames.takeOwner(of: frame).map(names.domain) == c
      let answer: GrantStatus =
        simulator[model.life + Int(c)] != running ? .badDomain : isOwn ? .okay : .badPage
      if answer != .okay || isLast { try expect(status, answer, at: "copy") }
      return answer == .okay && !isLast
    case .frame(let frame):
      try sync(frame)
      (action, arguments) = (model.copyThroughFrame, [c, names.frame(frame)])
    case .grant(let granter, let reference):
      let (d, r) = (names.domain(granter), names.reference(reference))
      if let next = claims.first, next.place.granter == granter, next.place.reference == reference,
        consults(d, r, writes: writes)
      {
        claim = claims.removeFirst()
      }
      try feed(claim, d, r)
      (action, arguments) = (model.copyThroughGrant, [c, d, r, writes ? 1 : 0])
    }
    let goesOn = !isLast && peek(action, arguments) == .okay
    try take(action, arguments, goesOn ? .okay : status, claim)
    return goesOn
  }

  public func transfer(
    _ frame: MachineFrame, to receiver: DomainID, _ reference: GrantReference, by caller: DomainID
  ) -> GrantStatus {
    begin()
    let status = inner.transfer(frame, to: receiver, reference, by: caller)
    check([caller, receiver]) { () throws(Divergence) in
      let (c, d) = (names.domain(caller), names.domain(receiver))
      let (f, r) = (names.frame(frame), names.reference(reference))
      try sync(frame)
      if frames.isHeld, simulator[model.useCount + Int(f)] == 0, simulator[model.life + Int(c)] == running {
        // Somebody else holds it, of whom the grant tables know nothing.
        return try expect(status, .badPage, at: "transfer")
      }
      let claim = try onlyClaim(of: receiver, reference)
      try feed(claim, d, r)
      try take(model.transfer, [c, f, d, r], status, claim)
      try compareOwner(frame, frames.lastOwner(of: frame))
    }
    return status
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

  // MARK: Domains

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
    let held = (0..<inner.handleCount(of: domain)).filter {
      inner.mapping(GrantHandle(UInt32($0)), of: domain) != nil
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

  // MARK: The specification's side

  var simulator: Simulator { oracle.simulator }
  var absent: UInt64 { 0 }
  var running: UInt64 { 1 }

  func isUsed(_ mapping: Int) -> Bool {
    simulator[model.mappingHost + mapping] + simulator[model.mappingDevice + mapping] != 0
  }

  /// What was read of the one entry that the call names; nil if it was not read.
  private func onlyClaim(of granter: DomainID, _ reference: GrantReference) throws(Divergence)
    -> GrantTap.Claim?
  {
    guard let claim = tap.claims.first else { return nil }
    guard tap.claims.count == 1, claim.place.granter == granter, claim.place.reference == reference else {
      throw oracle.divergence(at: "an entry", "it reads others than the call names, or twice")
    }
    return claim
  }

  /// Whether the specification would look at the shared entry.
  private func consults(_ d: UInt64, _ r: UInt64, writes: Bool) -> Bool {
    let base = model.pinCount + 4 * model.entry(Int(d), Int(r))
    let counts = (0..<4).map { simulator[base + $0] }
    return counts.allSatisfy { $0 == 0 } || (writes && counts[1] == 0 && counts[3] == 0)
  }

  private func expect<T: Equatable>(_ found: T, _ expected: T, at step: String) throws(Divergence) {
    if found != expected {
      throw oracle.divergence(at: step, "it answers \(found), it should be \(expected)")
    }
  }

  /// What an action would answer.
  private func peek(_ action: Int, _ arguments: [UInt64]) -> GrantStatus? {
    simulator.run(action, arguments) ? GrantsModel.status(simulator.result(0)) : nil
  }

  /// Takes a step that must answer a status. An entry that did not hold still is as good as none.
  private func take(
    _ action: Int, _ arguments: [UInt64], _ status: GrantStatus, _ claim: GrantTap.Claim?
  ) throws(Divergence) {
    // Others than the grant tables hold the frame, or took it: what they may, the model does not know.
    let refusal: GrantStatus = action == model.transfer ? .badPage : .generalError
    if frames.refused, status == refusal, peek(action, arguments) == .okay { return }
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
  private func sync(_ frame: MachineFrame) throws(Divergence) {
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

  // MARK: Entries

  /// An entry by the specification.
  func entry(_ d: Int, _ r: Int) -> GrantsEntry {
    let place = model.entry(d, r)
    return GrantsEntry(
      type: simulator[model.type + place], bit2: simulator[model.bit2 + place] == 1,
      bit3: simulator[model.bit3 + place] == 1, bit4: simulator[model.bit4 + place] == 1,
      domain: simulator[model.domain + place], frame: simulator[model.frame + place])
  }

  private func remember(_ place: GrantPlace) {
    remember(names.domain(place.granter), names.reference(place.reference))
  }

  private func remember(_ d: UInt64, _ r: UInt64) {
    images[model.entry(Int(d), Int(r))] = entry(Int(d), Int(r))
  }

  /// Makes the specification's entry what `change` makes of it, by stores of its domain.
  func store(_ d: UInt64, _ r: UInt64, _ change: (inout GrantsEntry) -> Void) throws(Divergence) {
    let old = entry(Int(d), Int(r))
    var new = old
    change(&new)
    func bit(_ value: Bool) -> UInt64 { value ? 1 : 0 }
    if new.type != old.type { try oracle.take(model.storeType, [d, r, new.type]) }
    if (new.bit2, new.bit3, new.bit4) != (old.bit2, old.bit3, old.bit4) {
      try oracle.take(model.storeFlags, [d, r, bit(new.bit2), bit(new.bit3), bit(new.bit4)])
    }
    if new.domain != old.domain { try oracle.take(model.storeDomain, [d, r, new.domain]) }
    if new.frame != old.frame { try oracle.take(model.storeFrame, [d, r, new.frame]) }
    let place = model.entry(Int(d), Int(r))
    if images[place] != nil { change(&images[place, default: new]) }
  }

  /// What the call wrote to entries must be what the specification made of them.
  private func compareEntries() throws(Divergence) {
    for (place, change) in tap.changes {
      let (d, r) = (Int(names.domain(place.granter)), Int(names.reference(place.reference)))
      images[model.entry(d, r)]?.apply(change, names)
    }
    for (place, image) in images {
      let (d, r) = (place / model.references, place % model.references)
      let expected = entry(d, r)
      guard image == expected else {
        throw oracle.divergence(
          at: "shared[domain\(d), reference\(r)]", "it leaves \(image), it should be \(expected)")
      }
    }
  }
}

extension GrantsEntry {
  /// What a change that an operation made does to the entry.
  fileprivate mutating func apply(_ change: GrantTap.Change, _ names: GrantNames) {
    func set(_ flags: GrantFlags, _ value: Bool) {
      if flags.contains(.readOnly) { bit2 = value }
      if flags.contains(.reading) { bit3 = value }
      if flags.contains(.writing) { bit4 = value }
    }
    switch change {
    case .add(let flags): set(flags, true)
    case .clear(let flags): set(flags, false)
    case .frame(let frame): self.frame = names.frame(MachineFrame(UInt64(frame)))
    case .all(let word, let frame):
      type = UInt64(word.flags.intersection(.typeMask).rawValue)
      (bit2, bit3, bit4) = (false, false, false)
      set(word.flags, true)
      domain = names.domain(word.domain)
      self.frame = names.frame(MachineFrame(UInt64(frame)))
    }
  }
}

extension GrantCopyEnd {
  /// The domain whose grant it is.
  fileprivate var granter: DomainID? {
    if case .grant(let granter, _) = self { granter } else { nil }
  }
}
