// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines

extension Trial {
  /// Grant tables of a few domains against their specification: calls good and bad, guests that keep to the protocol
  /// or do not, stores in the midst of calls, domains that come and go. The whole state is compared after every call.
  public static func grants(_ maker: GrantsMaker = .optimised) -> Trial {
    Trial("Grants", makeRunner: { GrantsPlay(GrantsPlay.small, maker, $0).run })
  }

  /// Grant tables with few entries and many handles: counts reach their ends. After every call all but the handles is
  /// compared, and of these the ones that the call named; all of them every 64 calls, and at the end of a sequence.
  public static func crowdedGrants(_ maker: GrantsMaker = .optimised) -> Trial {
    Trial("Grants, crowded", makeRunner: { GrantsPlay(GrantsPlay.crowded, maker, $0).run })
  }
}

/// One sequence of calls and stores.
private final class GrantsPlay {
  static let small = GrantsModel(domains: 3, references: 3, handles: 3, frames: 4, useBits: 2)
  static let crowded = GrantsModel(domains: 2, references: 1, handles: 300, frames: 2)

  let model: GrantsModel
  let world: GrantsWorld
  let tables: FollowedGrantTables
  let oracle: Oracle
  var choices = Choices([])
  /// What the frames should hold.
  private var contents: [UInt8]
  private let initialContents: [UInt8]
  private var haveContentsChanged = false
  private var isFresh = true
  /// The specification's state at the beginning.
  private let initial: [UInt64]
  /// What the guest stores in the midst of the call under way: before which access, and what.
  private var stores: [(at: Int, entry: GrantsEntry)] = []
  private var accesses = 0
  private var isMeddled = false
  private var outcome = TrialOutcome()

  init(_ model: GrantsModel, _ maker: GrantsMaker, _ observer: (any StepObserver)?) {
    self.model = model
    world = GrantsWorld(model, maker)
    oracle = Oracle(model.programs)
    oracle.observer = observer
    initial = oracle.simulator.state
    tables = FollowedGrantTables(
      world.tables, tap: world.tap, frames: world.frameTap, model: model,
      names: GrantNames(model, isOpen: false), oracle: oracle)
    initialContents = (0..<world.frames.owners.count * frameSize).map {
      UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 12)
    }
    contents = initialContents
  }

  func run(_ bytes: [UInt8]) -> TrialOutcome {
    outcome = TrialOutcome()
    let stepsBefore = oracle.stepCount
    choices = Choices(bytes)
    oracle.restore(initial)
    world.reset()
    if haveContentsChanged || isFresh {
      contents = initialContents
      world.frames.fill(contents)
    }
    (haveContentsChanged, isFresh) = (false, false)
    do throws(Divergence) {
      if choices.bit() { try settle() }
      while !choices.areExhausted { try move() }
      try tables.compareAll()
    } catch {
      outcome.divergence = error
    }
    outcome.steps = oracle.stepCount - stepsBefore
    return outcome
  }

  // MARK: Choosing

  private func domain() -> Int { choices.pick(model.domains) }
  private func id(_ domain: Int) -> DomainID { DomainID(UInt16(domain)) }
  private func frame() -> Int { choices.pick(model.frames) }
  private func reference() -> Int { choices.pick(model.references) }

  /// Any entry, most of them grants.
  private func randomEntry() -> GrantsEntry {
    let bits = choices.pick(64)
    return GrantsEntry(
      type: bits & 3 == 0 ? UInt64(choices.pick(4)) : bits & 3 == 3 ? 2 : 1, bit2: bits & 12 == 4,
      bit3: bits & 48 == 16, bit4: bits & 48 == 32, domain: UInt64(domain()), frame: UInt64(frame()))
  }

  // MARK: Moves

  /// All domains run, have tables and some frames.
  private func settle() throws(Divergence) {
    for d in 0..<model.domains {
      try call { $0.addDomain(id(d), maximumFrames: 1, maximumHandles: model.handles) }
      try call { $0.grow(id(d), entries: world.newTableFrame(d, 0)) }
    }
    for f in 0..<model.frames { assign(f, domain()) }
  }

  private func move() throws(Divergence) {
    switch choices.pick(24) {
    case 0: try come()
    case 1: try go()
    case 2: assign(frame(), domain())
    case 3: release(frame())
    case 4: grant()
    case 5: try revoke()
    case 6, 7, 8: try scribble()
    case 9...14: try map()
    case 15...18: try unmap()
    case 19...21: try copy()
    case 22: try transfer()
    default: try swap()
    }
  }

  private func come() throws(Divergence) {
    let d = domain()
    let isNew =
      try call {
        $0.addDomain(id(d), maximumFrames: 1, maximumHandles: model.handles)
      } == .okay
    if isNew || choices.bit() {
      // A frame that the tables refuse must not have been cleared: the model has the entries as they are.
      let entries = isNew ? world.newTableFrame(d, 0) : world.frames.pool
      try call { $0.grow(id(d), entries: entries) }
    }
    try call { $0.size(of: id(d)).status }
  }

  private func go() throws(Divergence) {
    let d = domain()
    let gone = try call { $0.removeDomain(id(d)) }
    if gone {
      world.frames.disown(id(d), upTo: model.frames)
    }
    try compare()
  }

  private func assign(_ f: Int, _ d: Int) {
    if oracle.attempt(model.assign, [UInt64(f), UInt64(d)]) { world.frames.assign(f, to: id(d)) }
  }

  private func release(_ f: Int) {
    if oracle.attempt(model.free, UInt64(f)) { world.frames.assign(f, to: nil) }
  }

  private func grant() {
    let (d, r, to, f, readOnly) = (domain(), reference(), domain(), frame(), choices.bit())
    let arguments = [UInt64(d), UInt64(r), UInt64(to), UInt64(f), readOnly ? 1 : 0]
    if oracle.attempt(model.grant, arguments) {
      world.guest(d).grantAccess(
        GrantReference(UInt32(r)), to: id(to), frame: UInt32(f), readOnly: readOnly)
    }
  }

  /// The guest's own code takes a grant back exactly where the protocol allows it.
  private func revoke() throws(Divergence) {
    let (d, r) = (domain(), reference())
    guard tables.covers(d, r), world.entry(d, r).type == 1 else { return }
    let allowed = oracle.attempt(model.revoke, [UInt64(d), UInt64(r)])
    let revoked = world.guest(d).endAccess(GrantReference(UInt32(r)))
    if allowed != revoked {
      throw oracle.divergence(
        at: "revoke(domain: domain\(d), reference: reference\(r))",
        "the guest's side \(revoked ? "revokes" : "does not revoke"), the specification does the opposite")
    }
    outcome.operations += 1
    try compare()
  }

  private func scribble() throws(Divergence) {
    let (d, r, entry) = (domain(), reference(), randomEntry())
    guard tables.covers(d, r) else { return }
    world.store(entry, d, r)
    try tables.store(UInt64(d), UInt64(r)) { $0 = entry }
  }

  private func map() throws(Divergence) {
    let bits = choices.pick(64)
    let request = GrantMapRequest(
      granter: id(domain()), reference: GrantReference(UInt32(reference())), readOnly: bits & 1 != 0,
      host: bits & 6 != 0, device: bits & 24 == 8,
      entryOffset: choices.oneIn(16) ? UInt8(choices.pick(8)) : 0)
    let mapper = domain()
    // Counts end only after many of the same: two such calls bring a pin to its end.
    let times = model.handles > 100 && bits & 48 == 48 ? 64 : 1
    for _ in 0..<times { try call { $0.map(request, by: id(mapper)) } }
  }

  private func unmap() throws(Divergence) {
    let (m, handle, parts) = (domain(), choices.pick(model.handles), choices.pick(8))
    try call {
      $0.unmap(
        GrantHandle(UInt32(handle)), host: parts & 3 != 0, device: parts & 4 != 0 || parts == 0, by: id(m))
    }
  }

  private func end() -> GrantCopyEnd {
    switch choices.pick(4) {
    case 0: .frame(MachineFrame(UInt64(frame())))
    case 1: .frame(world.ownFrame(of: domain()))
    default: .grant(id(domain()), GrantReference(UInt32(reference())))
    }
  }

  private func transfer() throws(Divergence) {
    let (f, d, r, c) = (frame(), domain(), reference(), domain())
    try call {
      $0.transfer(MachineFrame(UInt64(f)), to: id(d), GrantReference(UInt32(r)), by: id(c))
    }
  }

  private func swap() throws(Divergence) {
    let (a, b, c) = (reference(), reference(), domain())
    try call { $0.swap(GrantReference(UInt32(a)), GrantReference(UInt32(b)), by: id(c)) }
  }

  private func copy() throws(Divergence) {
    let (source, destination, caller) = (end(), end(), domain())
    let at = choices.pick(64) * 65
    let to = choices.pick(64) * 65
    let count = choices.pick(80) * 53
    let (from, into) = (resolve(source), resolve(destination))
    haveContentsChanged = true
    let status = try call {
      $0.copy(from: source, at: at, to: destination, at: to, count: count, by: id(caller))
    }
    if isMeddled {
      // Which frames were reached depends on when the entry was changed.
      contents.withUnsafeMutableBytes {
        $0.copyMemory(from: UnsafeRawBufferPointer(start: world.frames.pool, count: $0.count))
      }
    } else if status == .okay {
      let moved = contents[from * frameSize + at..<from * frameSize + at + count]
      contents.replaceSubrange(into * frameSize + to..<into * frameSize + to + count, with: moved)
    }
    if !world.frames.hold(contents) {
      throw oracle.divergence(at: "copy", "it has not moved just the bytes that it should")
    }
  }

  /// The frame that one end of a copy reaches, by the specification.
  private func resolve(_ end: GrantCopyEnd) -> Int {
    switch end {
    case .frame(let frame): Int(frame.rawValue)
    case .grant(let granter, let reference):
      Int(tables.reachedFrame(Int(granter.rawValue), Int(reference.rawValue)))
    }
  }

  // MARK: Calling

  /// Makes a call, one in eight times with a guest that stores in its midst; then compares.
  @discardableResult
  private func call<R>(_ body: (FollowedGrantTables) -> R) throws(Divergence) -> R {
    isMeddled = false
    if choices.oneIn(8) {
      stores = (0...choices.pick(5)).map { _ in (choices.pick(6), randomEntry()) }
      accesses = 0
      world.tap.meddle = { [unowned self] place in meddle(at: place) }
    }
    let result = body(tables)
    world.tap.meddle = nil
    outcome.operations += 1
    if let divergence = tables.divergence { throw divergence }
    if isMeddled {
      for d in 0..<model.domains {
        for r in 0..<model.references where tables.covers(d, r) {
          try tables.store(UInt64(d), UInt64(r)) { $0 = world.entry(d, r) }
        }
      }
    }
    try compare()
    return result
  }

  private func meddle(at place: GrantPlace) {
    for store in stores where store.at == accesses {
      world.store(store.entry, Int(place.granter.rawValue), Int(place.reference.rawValue))
      isMeddled = true
    }
    accesses += 1
  }

  /// Compares the state; where handles are many, all of them only now and then.
  private func compare() throws(Divergence) {
    try tables.compareSurroundings(world)
    if model.handles <= 16 || outcome.operations % 64 == 0 { try tables.compareAll() }
  }
}
