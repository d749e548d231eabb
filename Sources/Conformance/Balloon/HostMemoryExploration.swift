// SPDX-License-Identifier: Apache-2.0
//
// Every state between operations that a host's memory can be in at a small scope, beside its specification. The
// implementation is brought into each by its own operations, and each call is made there: it must answer as the
// specification does, and leave the state that the specification is left in. That state is then one more to explore.
//
// The specification leaves it open which free extent is handed out. An implementation makes one choice, by an order in
// which it keeps the free ones; that order is no part of the abstract state. Free frames are given back ascending in
// every other state, and descending in those between.

import Interfaces
import Logic
import Machines
import Specs

/// Compares a host's memory with its specification, exhaustively at a small scope.
public struct HostMemoryExploration: Sendable {
  private let scope: HostMemoryScope
  private let maker: HostMemoryMaker

  public init(_ scope: HostMemoryScope, _ maker: @escaping HostMemoryMaker = HostMemories.optimised) {
    self.scope = scope
    self.maker = maker
  }

  /// - Parameter progress: is told now and then how far it is.
  public func run(progress: ExhaustiveProgress.Observer? = nil) -> ExhaustiveReport {
    ExhaustiveReport(
      name: "Balloon", scope: scope.name, of: HostMemoryExplorationRun(scope, maker), progress: progress)
  }
}

private final class HostMemoryExplorationRun: ExhaustiveRun {
  private let scope: HostMemoryScope
  private let model: HostMemoryModel
  private let oracle: Oracle
  private let host: FollowedHostMemory
  let states: ExploredStates
  private var compared = 0
  private(set) var transitions = 0
  var driven: Int { compared }
  var reachable: Int { compared }

  init(_ scope: HostMemoryScope, _ maker: HostMemoryMaker) {
    self.scope = scope
    model = scope.model
    oracle = Oracle(model.programs)
    host = FollowedHostMemory(model, oracle, frames: model.frames, limit: scope.limit, maker)
    states = ExploredStates(of: oracle.simulator)
  }

  func explore(_ progress: ExhaustiveProgress.Observer?) throws(Divergence) {
    host.begin()
    states.visit()
    while compared < states.count {
      states.go(to: compared)
      var isThere = false
      for call in scope.calls {
        if !isThere {
          try restore()
          try host.compare()
        }
        host.world.isStuck = false
        try call.make(host)
        transitions += 1
        try host.compare()
        states.visit()
        // Where the call has changed nothing, the next is made without more ado.
        isThere = states.isUnchanged
      }
      compared += 1
      if compared & 0x3FF == 0 { progress?(ExhaustiveProgress(states: compared, transitions: transitions)) }
      if states.isFull { return }
    }
  }

  // MARK: Bringing the implementation into a state

  private var memory: any HostMemory { host.memory }
  /// A domain that the model does not know has what is to be free.
  private var nobody: DomainID { host.id(UInt64(model.domains)) }

  private func state(_ register: Int, _ key: Int = 0) -> UInt64 { states.registers[register + key] }

  private func restore() throws(Divergence) {
    clear()
    states.enter()
    let everything = UInt64(model.frames)
    _ = memory.addDomain(nobody)
    _ = memory.setMaximum(everything, of: nobody)
    for d in 0..<model.domains where state(model.life, d) != 0 {
      _ = memory.addDomain(host.id(UInt64(d)))
      _ = memory.setMaximum(everything, of: host.id(UInt64(d)))
    }
    try deal()
    for f in 0..<model.frames where state(model.use, f) != 0 {
      if state(model.isSpecial, f) == 1 { _ = memory.entrust(MachineFrame(UInt64(f))) }
      for _ in 0..<state(model.useCount, f) { _ = memory.retain(MachineFrame(UInt64(f))) }
    }
    for d in 0..<model.domains where state(model.life, d) != 0 { number(d) }
    host.world.scrubbed.removeAll(keepingCapacity: true)
  }

  /// Gives everything back, from the state in which the specification is.
  private func clear() {
    host.world.isStuck = false
    for f in 0..<UInt64(model.frames) {
      for _ in 0..<host.state(model.useCount, f) { memory.release(MachineFrame(f)) }
    }
    for d in 0...UInt64(model.domains) {
      memory.retire(host.id(d))
      // Once more for each frame that was in use.
      for _ in 0...model.frames where memory.account(of: host.id(d)) != nil {
        _ = memory.relinquish(host.id(d), limit: model.frames)
      }
    }
    host.world.reset()
  }

  /// Each frame comes to its owner. Which is handed out next is the implementation's choice: so it is taken by nobody,
  /// given back, and taken by the owner.
  private func deal() throws(Divergence) {
    var free: [UInt64] = []
    for _ in 0..<model.frames {
      let answer = memory.increase(nobody, .frame)
      let f = Int(truncatingIfNeeded: answer.base.rawValue)
      guard answer.status == .okay, f < model.frames else { throw cannotBe("no frame is handed out") }
      if state(model.use, f) == 0 {
        free.append(answer.base.rawValue)
        continue
      }
      _ = memory.decrease(nobody, answer.base)
      let owner = host.id(state(model.owner, f))
      let again =
        state(model.isMapped, f) == 1
        ? memory.populate(owner, at: GuestFrame(state(model.guest, f)), .frame)
        : memory.increase(owner, .frame)
      guard again == answer else { throw cannotBe("another frame is handed out when one is given back") }
    }
    let ascending = free.sorted()
    for f in compared % 2 == 0 ? ascending : ascending.reversed() {
      _ = memory.decrease(nobody, MachineFrame(f))
    }
    memory.retire(nobody)
    _ = memory.relinquish(nobody, limit: 1)
  }

  private func cannotBe(_ reason: String) -> Divergence {
    oracle.divergence(at: "bringing the memory into a state that it was in", reason)
  }

  /// A domain's claim, maximum and target, and whether it dies.
  private func number(_ d: Int) {
    let id = host.id(UInt64(d))
    if state(model.claimed, d) != 0 {
      _ = memory.claim(state(model.charged, d) - state(model.owed, d) + state(model.claimed, d), for: id)
    }
    _ = memory.setMaximum(state(model.maximum, d), of: id)
    _ = memory.setTarget(state(model.target, d), of: id)
    if state(model.life, d) == 2 { memory.retire(id) }
  }
}
