// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Specs

private let statuses = Cases<EventStatus>()

/// The names of the event channels' specification, as numbers, at one scope.
final class EventsModel: Sendable {
  let programs: ProgramSet
  let domains, ports, vcpus, interrupts: Int
  let allocateUnbound, bindInterdomain, bindVirtualInterrupt, bindInterprocessor, bindVirtualCPU: Int
  let send, raiseVirtualInterrupt, unmask, close, status, reset, poll, resume: Int
  let create, grow, register, destroy: Int
  let look, select, notify, wakePollers: Int
  let storePending, storeMask, storeSelector, storeUpcall: Int

  /// The first register of each table; entries follow by key, the last running fastest.
  let isThere, exists: Int
  let kind, remote, remotePort, interrupt, channelVCPU: Int
  let interruptPorts: Int
  let pending, mask, selector, polled: Int
  let isReady, upcall, isMasked, isKicked: Int
  let deliveryStep, deliveryDomain, deliveryPort: Int

  /// - Parameters:
  ///   - domains, vcpus, interrupts: how many there are.
  ///   - ports: 2ⁿ, port 0 among them.
  init(domains: Int, ports: Int, vcpus: Int, interrupts: Int) {
    (self.domains, self.ports, self.vcpus, self.interrupts) = (domains, ports, vcpus, interrupts)
    let scope = Scope(
      name: "\(domains) domains, \(ports) ports, \(vcpus) vcpus, \(interrupts) virtual interrupts",
      counts: [
        "Domain": UInt64(domains), "Port": UInt64(ports), "VCPU": UInt64(vcpus), "VIRQ": UInt64(interrupts),
      ])
    programs = .compiled(try EventChannels().trace(), at: scope)
    let (s, layout) = (programs.layout.specification, programs.layout)
    allocateUnbound = s.action("allocateUnbound")
    bindInterdomain = s.action("bindInterdomain")
    bindVirtualInterrupt = s.action("bindVirtualInterrupt")
    bindInterprocessor = s.action("bindInterprocessor")
    bindVirtualCPU = s.action("bindVirtualCPU")
    send = s.action("send")
    raiseVirtualInterrupt = s.action("raiseVirtualInterrupt")
    unmask = s.action("unmask")
    close = s.action("close")
    status = s.action("status")
    reset = s.action("reset")
    poll = s.action("poll")
    resume = s.action("resume")
    create = s.action("create")
    grow = s.action("grow")
    register = s.action("register")
    destroy = s.action("destroy")
    look = s.action("look")
    select = s.action("select")
    notify = s.action("notify")
    wakePollers = s.action("wakePollers")
    storePending = s.action("storePending")
    storeMask = s.action("storeMask")
    storeSelector = s.action("storeSelector")
    storeUpcall = s.action("storeUpcall")
    func table(_ component: String, keys: Int) -> Int {
      layout.require(component, Array(repeating: 0, count: keys))
    }
    isThere = table("isThere", keys: 1)
    exists = table("exists", keys: 2)
    kind = table("channels.kind", keys: 2)
    remote = table("channels.remote", keys: 2)
    remotePort = table("channels.remotePort", keys: 2)
    interrupt = table("channels.interrupt", keys: 2)
    channelVCPU = table("channels.vcpu", keys: 2)
    interruptPorts = table("interruptPorts", keys: 3)
    pending = table("pending", keys: 2)
    mask = table("mask", keys: 2)
    selector = table("selector", keys: 3)
    polled = table("polled", keys: 3)
    isReady = table("vcpus.isReady", keys: 2)
    upcall = table("vcpus.upcall", keys: 2)
    isMasked = table("vcpus.isMasked", keys: 2)
    isKicked = table("vcpus.isKicked", keys: 2)
    deliveryStep = table("delivery.step", keys: 0)
    deliveryDomain = table("delivery.domain", keys: 0)
    deliveryPort = table("delivery.port", keys: 0)
  }

  func port(_ domain: UInt64, _ port: UInt64) -> Int { Int(domain) * ports + Int(port) }
  func vcpu(_ domain: UInt64, _ vcpu: UInt64) -> Int { Int(domain) * vcpus + Int(vcpu) }
  func vcpuPort(_ domain: UInt64, _ v: UInt64, _ port: UInt64) -> Int {
    vcpu(domain, v) * ports + Int(port)
  }
  func vcpuInterrupt(_ domain: UInt64, _ v: UInt64, _ number: UInt64) -> Int {
    vcpu(domain, v) * interrupts + Int(number)
  }

  /// What an action answers where the machine answers a status.
  static func result(_ status: EventStatus) -> UInt64 {
    statuses.number(of: status)
  }
}

/// What things are called in the model: domains have names as they come. The last domain and the last vCPU of a model
/// stand for all that it does not have, and are never there; so does port 0, which is never open.
struct EventNames {
  private let model: EventsModel
  /// By name.
  private var named: [DomainID?]
  /// Domains that were named before they were there, and have no name.
  private var strangers: Set<DomainID> = []

  /// - Parameter known: domains that have names from the beginning.
  init(_ model: EventsModel, known: [DomainID] = []) {
    self.model = model
    named = known + Array(repeating: nil, count: model.domains - known.count)
  }

  func number(_ domain: DomainID) -> Int? { named.firstIndex(of: domain) }

  func domain(_ domain: DomainID) -> UInt64 { UInt64(number(domain) ?? model.domains - 1) }

  /// The domain that has a name of the model; nil if none has.
  func machineDomain(_ name: UInt64) -> DomainID? { named[Int(name)] }

  func port(_ port: EventPort) -> UInt64 { Int(port.rawValue) < model.ports ? UInt64(port.rawValue) : 0 }

  /// A vCPU that may not be there.
  func vcpu(_ vcpu: Int) -> UInt64 { UInt64(0..<model.vcpus ~= vcpu ? vcpu : model.vcpus - 1) }

  /// A domain that a port is to wait for.
  mutating func mention(_ domain: DomainID) {
    if number(domain) == nil, domain < .firstReserved { strangers.insert(domain) }
  }

  /// Gives a domain that comes a name.
  /// - Parameter isFree: whether a name that some domain had can be given to another.
  /// - Returns: false if there is none left, or the domain was named before it came.
  mutating func adopt(_ domain: DomainID, isFree: (Int) -> Bool) -> Bool {
    if number(domain) != nil { return true }
    guard !strangers.contains(domain),
      let name = (0..<model.domains - 1).first(where: { named[$0] == nil || isFree($0) })
    else { return false }
    named[name] = domain
    return true
  }
}
