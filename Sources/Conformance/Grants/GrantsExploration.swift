// SPDX-License-Identifier: Apache-2.0
//
// Every state of the grant tables' specification at a small scope. The implementation is put into each, with the shared
// entries and the frames around it, and each call is made there: it must answer as the specification does, and leave
// the state that the specification is left in.
//
// The specification leaves it open which free handle a mapping gets. An implementation makes one choice, by an order
// in which it keeps the free ones; that order is no part of the abstract state. It is tried ascending in every other
// state, and descending in those between.

import Interfaces
import Logic
import Machines
import Specs

/// Compares grant tables with their specification, exhaustively at a small scope.
public struct GrantsExploration {
  private let maker: GrantsMaker

  public init(_ maker: GrantsMaker = .optimised) { self.maker = maker }

  /// - Parameter progress: is told now and then how far it is.
  public func run(progress: ExhaustiveProgress.Observer? = nil) -> ExhaustiveReport {
    ExhaustiveReport(
      name: "Grants",
      scope: "domain 1 grants, domain 0 maps with two handles, two frames, guests that store anything",
      of: GrantsExplorationRun(maker), progress: progress)
  }
}

/// A call on grant tables, or a guest's own operation.
private struct ExploredCall {
  let make: (FollowedGrantTables) throws(Divergence) -> Void
  init(_ make: @escaping (FollowedGrantTables) throws(Divergence) -> Void) { self.make = make }
}

private final class GrantsExplorationRun: ExhaustiveRun {
  /// Counts go further than two handles and a copy can: that they end is a matter of the random trials.
  private static let model = GrantsModel(
    domains: 2, references: 1, handles: 2, frames: 2, pinBits: 2, useBits: 3)

  private let model = GrantsExplorationRun.model
  private let world: GrantsWorld
  private let oracle: Oracle
  private let tables: FollowedGrantTables
  let states: ExploredStates
  private var compared = 0
  private(set) var transitions = 0
  var driven: Int { compared }
  var reachable: Int { compared }
  private var registers: UnsafeMutablePointer<UInt64> { states.registers }

  init(_ maker: GrantsMaker) {
    world = GrantsWorld(model, maker)
    oracle = Oracle(model.programs)
    tables = FollowedGrantTables(
      world.tables, tap: world.tap, frames: world.frameTap, model: model,
      names: GrantNames(model, isOpen: false), oracle: oracle)
    states = ExploredStates(of: oracle.simulator)
  }

  func explore(_ progress: ExhaustiveProgress.Observer?) throws(Divergence) {
    let steps = steps
    let calls = calls
    states.visit()
    while compared < states.count {
      states.go(to: compared)
      for (action, arguments) in steps {
        states.enter()
        if oracle.simulator.run(action, arguments) {
          oracle.simulator.commit()
          states.visit()
        }
      }
      try compare(calls)
      compared += 1
      if compared & 0xFFF == 0 { progress?(ExhaustiveProgress(states: compared, transitions: transitions)) }
      if states.isFull { return }
    }
  }

  /// The steps by which states are found: those of the scope.
  private var steps: [(action: Int, arguments: [UInt64])] {
    let layout = model.programs.layout
    return layout.specification.actions.indices.flatMap { action in
      layout.scope.arguments(of: layout.specification.actions[action]).filter { arguments in
        switch action {
        case model.map, model.mapIntoEntry: arguments[0] == 0
        case model.grow: arguments[0] == 1
        default: true
        }
      }.map { (action, $0) }
    }
  }

  // MARK: One state

  private func compare(_ calls: [ExploredCall]) throws(Divergence) {
    var isThere = false
    for call in calls {
      if !isThere { restore() }
      try call.make(tables)
      transitions += 1
      if let divergence = tables.divergence { throw divergence }
      try tables.compareAll()
      try tables.compareSurroundings(world)
      // Where the call has changed nothing, the next is made without more ado.
      isThere = states.isUnchanged
    }
  }

  /// Puts the specification, the implementation and the world around it into the state explored.
  private func restore() {
    states.enter()
    for d in 0..<model.domains { world.store(tables.entry(d, 0), d, 0) }
    for f in 0..<model.frames {
      let isOwned = registers[model.isOwned + f] == 1
      world.restore(
        f, owner: isOwned ? DomainID(UInt16(registers[model.owner + f])) : nil,
        references: registers[model.useCount + f])
    }
    world.tables.restore((0..<model.domains).map(view))
  }

  private func view(_ d: Int) -> GrantDomainView? {
    let life = GrantsModel.lives[registers[model.life + d]]
    if life == .absent { return nil }
    let place = model.entry(d, 0)
    let pins = (0..<4).map { Int(registers[model.pinCount + 4 * place + $0]) }
    let active = GrantActiveView(
      frame: MachineFrame(registers[model.activeFrame + place]),
      domain: DomainID(UInt16(registers[model.activeDomain + place])), hostRead: pins[0], hostWrite: pins[1],
      deviceRead: pins[2], deviceWrite: pins[3])
    let mappings = (0..<model.handles).map { mapping(model.mapping(d, $0)) }
    let free = mappings.indices.filter { mappings[$0] == nil }.map { GrantHandle(UInt32($0)) }
    return GrantDomainView(
      isDying: life == .dying, maximumFrames: 1,
      tableFrames: registers[model.covers + place] == 1 ? [world.tableMemory(d)] : [], active: [active],
      mappings: mappings, freeHandles: compared % 2 == 0 ? free : free.reversed())
  }

  private func mapping(_ place: Int) -> GrantHandleView? {
    let (host, device) = (registers[model.mappingHost + place], registers[model.mappingDevice + place])
    if host + device == 0 { return nil }
    return GrantHandleView(
      granter: DomainID(UInt16(registers[model.mappingGranter + place])),
      reference: GrantReference(UInt32(registers[model.mappingReference + place])),
      readOnly: registers[model.mappingReadOnly + place] == 1, host: host == 1, device: device == 1)
  }

  // MARK: Calls

  private var calls: [ExploredCall] {
    let ids = (0..<model.domains).map { DomainID(UInt16($0)) }
    let handles = (0..<model.handles).map { GrantHandle(UInt32($0)) }
    let frames = (0..<model.frames).map { MachineFrame(UInt64($0)) }
    let reference = GrantReference(0)
    let bits = [false, true]
    var calls: [ExploredCall] = []
    func add(_ make: @escaping (FollowedGrantTables) throws(Divergence) -> Void) {
      calls.append(ExploredCall(make))
    }
    for caller in ids {
      for (granter, readOnly, host, device) in product(ids, bits, bits, bits) {
        for offset: UInt8 in host ? [0, 4] : [0] {
          let request = GrantMapRequest(
            granter: granter, reference: reference, readOnly: readOnly, host: host, device: device,
            entryOffset: offset)
          add { _ = $0.map(request, by: caller) }
        }
      }
      for (handle, host, device, _) in product(handles, bits, bits, [()]) {
        add { _ = $0.unmap(handle, host: host, device: device, by: caller) }
      }
      let ends = frames.map(GrantCopyEnd.frame) + ids.map { .grant($0, reference) }
      for (source, destination, _, _) in product(ends, ends, [()], [()]) {
        add { _ = $0.copy(from: source, at: 0, to: destination, at: 8, count: 8, by: caller) }
      }
      for (frame, receiver, _, _) in product(frames, ids, [()], [()]) {
        add { _ = $0.transfer(frame, to: receiver, reference, by: caller) }
      }
      add { _ = $0.swap(reference, reference, by: caller) }
      add { _ = $0.size(of: caller) }
    }
    return calls + ids.flatMap(lives) + ids.flatMap(guestCalls)
  }

  /// A domain comes, grows and goes.
  private func lives(_ id: DomainID) -> [ExploredCall] {
    let (world, handles) = (world, model.handles)
    let d = Int(id.rawValue)
    return [
      ExploredCall { (tables) throws(Divergence) in
        _ = tables.addDomain(id, maximumFrames: 1, maximumHandles: handles)
      },
      ExploredCall { (tables) throws(Divergence) in
        // A frame that the tables refuse must not have been cleared: the model has the entries as they are.
        let isFull = world.tables.tableFrames(of: id) != 0 || world.tables.life(of: id) != .running
        _ = tables.grow(id, entries: isFull ? world.frames.pool : world.newTableFrame(d, 0))
      },
      ExploredCall { (tables) throws(Divergence) in
        if tables.removeDomain(id) { world.frames.disown(id, upTo: tables.model.frames) }
      },
    ]
  }

  /// What a guest does with its own table by the protocol.
  private func guestCalls(_ id: DomainID) -> [ExploredCall] {
    let (world, oracle, model) = (world, oracle, model)
    let d = Int(id.rawValue)
    let reference = GrantReference(0)
    return [
      ExploredCall { (tables) throws(Divergence) in
        guard tables.covers(d, 0), tables.entry(d, 0).type == 1 else { return }
        let allowed = oracle.attempt(model.revoke, [UInt64(d), 0])
        if allowed != world.guest(d).endAccess(reference) {
          throw oracle.divergence(at: "revoke", "the guest's side does not do what the specification does")
        }
      },
      ExploredCall { (tables) throws(Divergence) in
        guard tables.covers(d, 0), oracle.attempt(model.grant, [UInt64(d), 0, 0, 1, 1]) else { return }
        world.guest(d).grantAccess(reference, to: DomainID(0), frame: 1, readOnly: true)
      },
    ]
  }
}

/// All combinations.
private func product<A, B, C, D>(_ a: [A], _ b: [B], _ c: [C], _ d: [D]) -> [(A, B, C, D)] {
  a.flatMap { a in b.flatMap { b in c.flatMap { c in d.map { (a, b, c, $0) } } } }
}
