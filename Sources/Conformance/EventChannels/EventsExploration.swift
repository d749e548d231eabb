// SPDX-License-Identifier: Apache-2.0
//
// Every state of the event channels' specification at a small scope that lies between operations. The implementation is
// put into each, with the words around it, and each operation is made there: it must make the accesses that the
// specification has steps for, in their order, answer as it does, and leave the state that it is left in.
//
// States in the midst of the telling of an event are passed by the operations themselves. What guests do by the
// protocol are stores like others; that they do what they like, at any time, is explored. What of a vCPU only its guest
// knows, where its handler stands, is not: the implementation cannot see it.

import Interfaces
import Logic
import Machines
import Specs

/// Compares event channels with their specification, exhaustively at a small scope.
public struct EventsExploration {
  private let scope: EventsExplorationScope
  private let maker: EventsMaker

  public init(_ scope: EventsExplorationScope, _ maker: EventsMaker = .optimised) {
    self.scope = scope
    self.maker = maker
  }

  /// - Parameter progress: is told now and then how far it is.
  public func run(progress: ExhaustiveProgress.Observer? = nil) -> ExhaustiveReport {
    ExhaustiveReport(
      name: "EventChannels", scope: scope.name, of: EventsExplorationRun(scope, maker), progress: progress)
  }
}

private final class EventsExplorationRun: ExhaustiveRun {
  private typealias Call = (FollowedEventPorts) -> Void

  private let scope: EventsExplorationScope
  private let model: EventsModel
  private let world: EventsWorld
  private let oracle: Oracle
  private let ports: FollowedEventPorts
  let states: ExploredStates
  /// What the implementation was put into.
  private var compared = 0
  private(set) var transitions = 0
  var driven: Int { compared }
  var reachable: Int { states.count }
  private var registers: UnsafeMutablePointer<UInt64> { states.registers }

  init(_ scope: EventsExplorationScope, _ maker: EventsMaker) {
    self.scope = scope
    model = EventsModel(domains: scope.domains, ports: scope.ports, vcpus: scope.vcpus, interrupts: 1)
    let ids = (0..<scope.domains).map { DomainID(UInt16($0)) }
    world = EventsWorld(model, ids: ids, vcpus: scope.vcpus, maker)
    oracle = Oracle(model.programs)
    ports = FollowedEventPorts(
      world.ports, tap: world.tap, model: model, names: EventNames(model, known: ids), oracle: oracle)
    states = ExploredStates(of: oracle.simulator)
  }

  func explore(_ progress: ExhaustiveProgress.Observer?) throws(Divergence) {
    let (steps, calls) = (steps, calls)
    var next = 0
    states.visit()
    while next < states.count {
      states.go(to: next)
      for (action, arguments) in steps {
        states.enter()
        guard oracle.simulator.run(action, arguments) else { continue }
        oracle.simulator.commit()
        if action == model.create { furnish(arguments[0]) }
        states.visit()
      }
      if registers[model.deliveryStep] == 0 {
        try compare(calls)
        compared += 1
      }
      next += 1
      if next & 0xFFF == 0 { progress?(ExhaustiveProgress(states: compared, transitions: transitions)) }
      if states.isFull { return }
    }
  }

  /// A domain begins with room for all its ports, and a guest that has stored something.
  private func furnish(_ domain: UInt64) {
    for port in 1..<UInt64(model.ports) { take(model.grow, [domain, port]) }
    take(model.storePending, [domain, 0, 0])
  }

  private func take(_ action: Int, _ arguments: [UInt64]) {
    let isAllowed = oracle.simulator.run(action, arguments)
    precondition(isAllowed, "a step of a domain that begins")
    oracle.simulator.commit()
  }

  /// The steps by which states are found: the machine's, and the guests' stores.
  private var steps: [(action: Int, arguments: [UInt64])] {
    let layout = model.programs.layout
    let guests: Set<String> = [
      "clearUpcall", "takeSelector", "handle", "finishWord", "finish", "maskPort", "disable", "enable",
      "drain",
      "check", "block", "grow",
    ]
    return layout.specification.actions.indices.flatMap { action in
      let declared = layout.specification.actions[action]
      if guests.contains(declared.name) || scope.excluded.contains(declared.name) {
        return [] as [(Int, [UInt64])]
      }
      return layout.scope.arguments(of: layout.specification.actions[action]).filter { arguments in
        zip(declared.parameters, arguments).allSatisfy { parameter, value in
          // Port 0 is nobody's; no call that names it gets as far as the words.
          if declared.name.hasPrefix("store") || action == model.poll, parameter.name == "port", value == 0 {
            return false
          }
          if action == model.storeSelector, parameter.name == "first", value != 0 { return false }
          return scope.arguments["\(declared.name).\(parameter.name)"]?.contains(value) ?? true
        }
      }.map { (action, $0) }
    }
  }

  // MARK: One state

  private func compare(_ calls: [Call]) throws(Divergence) {
    var isThere = false
    for call in calls {
      if !isThere { restore() }
      call(ports)
      transitions += 1
      if let divergence = ports.divergence { throw divergence }
      try ports.compareRemembered()
      try ports.compareWords(world)
      // Where the call has changed nothing, the next is made without more ado.
      isThere = states.isUnchanged
    }
  }

  /// Puts the specification, the implementation and the words around it into the state explored.
  private func restore() {
    states.enter()
    for name in 0..<scope.domains {
      let d = UInt64(name)
      for p in 1..<model.ports {
        let place = model.port(d, UInt64(p))
        world.setPending(name, p, registers[model.pending + place] == 1)
        world.setMask(name, p, registers[model.mask + place] == 1)
      }
      for v in 0..<scope.vcpus {
        let place = model.vcpu(d, UInt64(v))
        world.setInfo(
          name, v,
          EventsWorld.Info(
            upcall: registers[model.upcall + place] == 1, isMasked: registers[model.isMasked + place] == 1,
            selector: registers[model.selector + model.vcpuPort(d, UInt64(v), 0)]))
      }
      ports.homes[name] = registers[model.isThere + name] == 1 ? home(name) : nil
    }
    world.ports.restore((0..<scope.domains).map(view))
  }

  private func home(_ name: Int) -> EventHome {
    EventHome(
      sharedInfo: world.sharedInfo(name), portCount: model.ports,
      infos: (0..<scope.vcpus).map { v in
        ports.isReady(UInt64(name), UInt64(v)) ? world.infoPlace(name, v) : nil
      })
  }

  private func view(_ name: Int) -> EventDomainView? {
    guard let home = ports.homes[name] else { return nil }
    let d = UInt64(name)
    return EventDomainView(
      sharedInfo: home.sharedInfo, recipient: TappedRecipient(world.recipient, world.ids[name], world.tap),
      ports: (0..<model.ports).map { port(d, UInt64($0)) }, infos: home.infos,
      polled: (0..<scope.vcpus).map { v in
        (1..<model.ports).filter { registers[model.polled + model.vcpuPort(d, UInt64(v), UInt64($0))] == 1 }
          .map { EventPort(UInt32($0)) }
      })
  }

  private func port(_ d: UInt64, _ p: UInt64) -> EventPortState {
    let place = model.port(d, p)
    let remote = DomainID(UInt16(registers[model.remote + place]))
    let binding: EventBinding =
      switch ports.kind(d, p) {
      case .closed: .closed
      case .unbound: .unbound(remote: remote)
      case .interdomain:
        .interdomain(remote: remote, port: EventPort(UInt32(registers[model.remotePort + place])))
      case .virtualInterrupt: .virtualInterrupt(UInt32(registers[model.interrupt + place]))
      case .interprocessor: .interprocessor
      }
    return EventPortState(binding: binding, vcpu: Int(registers[model.channelVCPU + place]))
  }

  // MARK: Calls

  /// Every operation, with every argument of the scope.
  private var calls: [Call] { world.ids.flatMap { bindings(of: $0) + operations(of: $0) + lives(of: $0) } }

  private var portNumbers: [EventPort] { (0..<model.ports).map { EventPort(UInt32($0)) } }

  private func bindings(of id: DomainID) -> [Call] {
    var calls: [Call] = []
    for remote in world.ids {
      calls.append { _ = $0.allocateUnbound(id, remote: remote) }
      for port in portNumbers {
        calls.append { _ = $0.bindInterdomain(id, remote: remote, remotePort: port) }
      }
    }
    for v in 0..<scope.vcpus {
      for number: UInt32 in [0, 24] { calls.append { _ = $0.bindVirtualInterrupt(number, on: v, of: id) } }
      calls.append { _ = $0.bindInterprocessor(on: v, of: id) }
      for port in portNumbers { calls.append { _ = $0.bindVirtualCPU(port, to: v, of: id) } }
    }
    return calls
  }

  private func operations(of id: DomainID) -> [Call] {
    var calls: [Call] = []
    for port in portNumbers {
      calls.append { _ = $0.send(port, by: id) }
      calls.append { _ = $0.unmask(port, of: id) }
      calls.append { _ = $0.status(of: port, in: id) }
      calls.append { _ = $0.close(port, of: id) }
      for v in 0..<scope.vcpus { calls.append { _ = $0.poll(port, by: v, of: id) } }
    }
    for v in 0..<scope.vcpus {
      calls.append { $0.raiseVirtualInterrupt(0, on: v, of: id) }
      calls.append { _ = $0.resume(v, of: id) }
    }
    return calls
  }

  private func lives(of id: DomainID) -> [Call] {
    let (world, name, vcpus) = (world, Int(id.rawValue), scope.vcpus)
    var calls: [Call] = [
      { [model] in
        _ = $0.addDomain(
          id, sharedInfo: world.sharedInfo(name), portCount: model.ports, virtualCPUCount: vcpus,
          recipient: world.recipient)
      },
      { $0.removeDomain(id) }, { _ = $0.reset(id) },
    ]
    for v in 0..<vcpus { calls.append { _ = $0.register(v, of: id, info: world.infoPlace(name, v)) } }
    return calls
  }
}
