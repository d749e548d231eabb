// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines

extension Trial {
  /// Event channels of a few domains against their specification: calls good and bad, guests that store what they
  /// like, also in the midst of calls, domains that come and go. The whole state is compared after every call.
  public static func eventChannels(_ maker: EventsMaker = .optimised) -> Trial {
    Trial("EventChannels", makeRunner: { EventsPlay(.small, maker, $0).run })
  }

  /// Event channels with ports in two words, and all of them taken now and then. The whole state is compared every 64
  /// calls, and at the end of a sequence; after the others what the call named.
  public static func crowdedEventChannels(_ maker: EventsMaker = .optimised) -> Trial {
    Trial("EventChannels, crowded", makeRunner: { EventsPlay(.crowded, maker, $0).run })
  }
}

/// What a trial has. Its model is made once: a sequence that fails is tried thousands of times until it is short.
private struct EventsSetting {
  /// Domains that come and go. One more is named, and never there.
  let domains: Int
  let vcpus: Int
  let ports: Int
  let interrupts: Int
  /// Whether most calls bind, and few end anything.
  let isCrowded: Bool
  let model: EventsModel

  static let small = EventsSetting(domains: 2, vcpus: 2, ports: 4, interrupts: 2, isCrowded: false)
  static let crowded = EventsSetting(domains: 2, vcpus: 1, ports: 128, interrupts: 24, isCrowded: true)

  private init(domains: Int, vcpus: Int, ports: Int, interrupts: Int, isCrowded: Bool) {
    self.domains = domains
    self.vcpus = vcpus
    self.ports = ports
    self.interrupts = interrupts
    self.isCrowded = isCrowded
    model = EventsModel(domains: domains + 2, ports: ports, vcpus: vcpus + 1, interrupts: interrupts)
  }
}

/// One sequence of calls and stores.
private final class EventsPlay {
  private let setting: EventsSetting
  private let model: EventsModel
  private let world: EventsWorld
  private let ports: FollowedEventPorts
  private let oracle: Oracle
  private var choices = Choices([])
  private var outcome = TrialOutcome()
  /// The specification's state at the beginning.
  private let initial: [UInt64]
  /// What guests store in the midst of the call under way: before which access, and what.
  private var stores: [(at: Int, store: Store)] = []
  private var accesses = 0
  /// A domain that is named, and never there.
  private var stranger: DomainID { DomainID(UInt16(setting.domains)) }

  init(_ setting: EventsSetting, _ maker: EventsMaker, _ observer: (any StepObserver)?) {
    self.setting = setting
    model = setting.model
    let ids = (0..<setting.domains).map { DomainID(UInt16($0)) }
    world = EventsWorld(model, ids: ids, vcpus: setting.vcpus, maker)
    oracle = Oracle(model.programs)
    oracle.observer = observer
    initial = oracle.simulator.state
    ports = FollowedEventPorts(
      world.ports, tap: world.tap, model: model,
      names: EventNames(model, known: ids + [DomainID(UInt16(setting.domains))]), oracle: oracle)
  }

  func run(_ bytes: [UInt8]) -> TrialOutcome {
    outcome = TrialOutcome()
    let stepsBefore = oracle.stepCount
    choices = Choices(bytes)
    oracle.restore(initial)
    world.reset()
    for name in ports.homes.indices { ports.homes[name] = nil }
    do throws(Divergence) {
      if choices.bit() { try settle() }
      while !choices.areExhausted { try move() }
      try compareAll()
    } catch {
      outcome.divergence = error
    }
    outcome.steps = oracle.stepCount - stepsBefore
    return outcome
  }

  // MARK: Choosing

  private func name() -> Int { choices.pick(setting.domains) }

  /// A domain, seldom one that is not there.
  private func domain() -> DomainID {
    let choice = choices.pick(16 * setting.domains)
    if choice < 16 * setting.domains - 2 { return DomainID(UInt16(choice % setting.domains)) }
    return choice % 2 == 0 ? stranger : DomainID(0x7ff1)
  }

  /// A port, seldom a number that is none.
  private func port() -> EventPort {
    let choice = choices.pick(256)
    switch choice {
    case 255: return EventPort(UInt32(EventLimits.portCount))
    case 254: return EventPort(.max)
    default: return EventPort(UInt32(choice % setting.ports))
    }
  }

  /// A vCPU, seldom one that is not there.
  private func vcpu() -> Int {
    let choice = choices.pick(32)
    return choice == 31 ? 100 : choice % setting.vcpus
  }

  private func interrupt() -> UInt32 {
    let choice = choices.pick(128)
    return choice == 127 ? 24 : UInt32(choice % setting.interrupts)
  }

  private func info() -> EventsWorld.Info {
    let bits = choices.pick(16)
    return EventsWorld.Info(
      upcall: bits & 1 != 0, isMasked: bits & 2 != 0, selector: bits & 4 != 0 ? UInt64(bits >> 2) : 0)
  }

  // MARK: Moves

  /// All domains, with all vCPUs.
  private func settle() throws(Divergence) {
    for name in 0..<setting.domains {
      try come(name, portCount: setting.ports)
      for v in 0..<setting.vcpus { try register(name, v) }
    }
  }

  private func move() throws(Divergence) {
    switch choices.pick(32) {
    case 0: try end()
    case 1: try register(name(), vcpu())
    case 2, 3, 4: try scribble()
    case 5, 6:
      let (d, remote) = (domain(), domain())
      try call { _ = $0.allocateUnbound(d, remote: remote) }
    case 7, 8, 9:
      let (d, remote, p) = (domain(), domain(), port())
      try call { _ = $0.bindInterdomain(d, remote: remote, remotePort: p) }
    case 10:
      let (n, v, d) = (interrupt(), vcpu(), domain())
      try call { _ = $0.bindVirtualInterrupt(n, on: v, of: d) }
    case 11:
      let (v, d) = (vcpu(), domain())
      try call { _ = $0.bindInterprocessor(on: v, of: d) }
    case 12:
      let (p, v, d) = (port(), vcpu(), domain())
      try call { _ = $0.bindVirtualCPU(p, to: v, of: d) }
    case 13...18:
      let (p, d) = (port(), domain())
      try call { _ = $0.send(p, by: d) }
    case 19, 20:
      let (n, v, d) = (interrupt(), vcpu(), domain())
      try call { $0.raiseVirtualInterrupt(n, on: v, of: d) }
    case 21, 22:
      let (p, d) = (port(), domain())
      try call { _ = $0.unmask(p, of: d) }
    case 23:
      let (p, d) = (port(), domain())
      try call { _ = setting.isCrowded ? $0.status(of: p, in: d).status : $0.close(p, of: d) }
    case 24:
      let (p, d) = (port(), domain())
      try call { _ = $0.status(of: p, in: d) }
    case 25, 26:
      let (p, v, d) = (port(), vcpu(), domain())
      try call { _ = $0.poll(p, by: v, of: d) }
    case 27, 28, 29:
      let (v, d) = (vcpu(), domain())
      try call { _ = $0.resume(v, of: d) }
    default: try bindMany()
    }
  }

  /// Ports are taken one after the other.
  private func bindMany() throws(Divergence) {
    let (d, remote, v) = (domain(), domain(), vcpu())
    for _ in 0..<(setting.isCrowded ? choices.pick(64) : 1) {
      try call { _ = $0.allocateUnbound(d, remote: remote) }
      try call { _ = $0.bindInterprocessor(on: v, of: d) }
    }
  }

  /// A domain comes or goes, or loses its ports.
  private func end() throws(Divergence) {
    let (name, kind) = (name(), choices.pick(8))
    let id = world.ids[name]
    if setting.isCrowded, kind < 6 {
      let p = port()
      return try call { _ = $0.close(p, of: id) }
    }
    switch kind {
    case 0...3: try come(name, portCount: [2, setting.ports - 1, setting.ports][choices.pick(3)])
    case 4, 5: try call { _ = $0.reset(id) }
    case 6 where !setting.isCrowded:
      // A number that no domain can have.
      try call { [world] in
        _ = $0.addDomain(
          DomainID(0x7ff1), sharedInfo: world.sharedInfo(0), portCount: 2, virtualCPUCount: 1,
          recipient: world.recipient)
      }
    case 6: try call { _ = $0.reset(id) }
    default:
      try call(endsWith: { [world] in
        world.forget(name)
        return false
      }) { $0.removeDomain(id) }
    }
  }

  private func come(_ name: Int, portCount: Int) throws(Divergence) {
    try call { [world, setting] in
      _ = $0.addDomain(
        world.ids[name], sharedInfo: world.sharedInfo(name), portCount: portCount,
        virtualCPUCount: setting.vcpus, recipient: world.recipient)
    }
  }

  /// A vCPU comes, or its words move. What lies there already counts from now on.
  private func register(_ name: Int, _ vcpu: Int) throws(Divergence) {
    guard vcpu < setting.vcpus else {
      return try call { [world] in _ = $0.register(vcpu, of: world.ids[name], info: world.infoPlace(name, 0))
      }
    }
    let isMoving = choices.bit()
    let place = isMoving ? world.otherInfoPlace(name, vcpu) : world.infoPlace(name, vcpu)
    var isRegistered = false
    try call(endsWith: { [world] in
      if isRegistered, isMoving { world.moveInfo(name, vcpu) }
      return isRegistered
    }) { [world] in
      isRegistered = $0.register(vcpu, of: world.ids[name], info: place) == .okay
    }
  }

  /// A guest stores what it likes; to a domain that is not there the memory does not belong.
  private func scribble() throws(Divergence) {
    store(storeChoice())
    try ports.readWords(world)
  }

  private struct Store {
    var name: Int
    var kind: Int
    var port: Int
    var vcpu: Int
    var value: Bool
    var info: EventsWorld.Info
  }

  private func storeChoice() -> Store {
    Store(
      name: name(), kind: choices.pick(3), port: 1 + choices.pick(setting.ports - 1),
      vcpu: choices.pick(setting.vcpus), value: choices.bit(), info: info())
  }

  private func store(_ store: Store) {
    guard ports.homes[store.name] != nil else { return }
    switch store.kind {
    case 0: world.setPending(store.name, store.port, store.value)
    case 1: world.setMask(store.name, store.port, store.value)
    default: world.setInfo(store.name, store.vcpu, store.info)
    }
  }

  // MARK: Calling

  /// Makes a call, one in eight times with a guest that stores in its midst; then compares.
  /// - Parameter ending: what else happens, before the comparison; it answers whether other words count from now on,
  ///   with what already lies there.
  private func call(endsWith ending: () -> Bool = { false }, _ body: (FollowedEventPorts) -> Void)
    throws(Divergence)
  {
    let isMeddled = choices.oneIn(8)
    if isMeddled {
      stores = (0...choices.pick(3)).map { _ in (choices.pick(6), storeChoice()) }
      accesses = 0
      world.tap.meddle = { [unowned self] in
        for store in stores where store.at == accesses { self.store(store.store) }
        accesses += 1
      }
    }
    body(ports)
    world.tap.meddle = nil
    let haveMoved = ending()
    outcome.operations += 1
    if let divergence = ports.divergence { throw divergence }
    if isMeddled || haveMoved { try ports.readWords(world) }
    if setting.isCrowded, outcome.operations % 64 != 0 { return }
    try compareAll()
  }

  private func compareAll() throws(Divergence) {
    try ports.compareRemembered()
    try ports.compareWords(world)
  }
}
