// SPDX-License-Identifier: Apache-2.0
//
// Event channels, two-level.
//
// A port is a domain's end of a channel. An event marks the port pending in memory shared with the guest, and, unless
// the guest has masked the port, tells the vCPU that the port is bound to: the port's word is set in the vCPU's
// selector, then the vCPU's up-call is made pending, and the vCPU is kicked: made to leave the guest, or to wake. On
// its way back into the guest an up-call that is pending and not masked is made. The guest's handler clears the
// up-call, takes the selector, and looks at the words that it names.
//
// All of that lies in shared memory. The hypervisor's operations exclude one another; the guest's loads and stores
// exclude nothing. Each action below is one store or one atomic read-modify-write of a shared word, or work that
// nobody else sees. A hostile guest stores what it likes, at any time; what it loses then are its own events.
//
// R1  The two ends of an interdomain channel name each other.
// R2  Only a domain that is there has ports; a port's number is 1 … 4095; no operation touches one that is not there.
// R3  A vCPU has at most one port for a virtual interrupt, and it is known without a search.
// R4  No event is lost: a port that is pending and not masked is being told of, or will be seen by its vCPU: through
//     send, unmask, close, reset, and migration to another vCPU.
// R5  No up-call is lost: a vCPU that could take a pending up-call will pass the hypervisor.
// R6  No vCPU sleeps in a poll on a port that is pending.
// R7  Nothing is written to what a vCPU shares before it is there; once it is there, or elsewhere, everything counts
//     as pending.
// R8  A port that is opened has no event of its past; one that is bound to another domain's has one, in case that
//     domain sent before.
// R9  Operations exclude one another; telling of an event is part of one: look, select, notify, wake who polls.
// R10 A guest that keeps to the protocol takes the steps of its handler in their order.
// R11 What an operation answers to have done is done.
//
// Which domain DOMID_SELF is, and whether the caller may act for another, is settled before.

import Interfaces
import Logic

/// The specification of event channels: read this file, then `EventChannelsState.swift` for what its words mean.
public class EventChannels: EventChannelsState {
  // MARK: Operations

  func allocateUnbound(domain: Domain, remote: Domain, port: Port) -> EventAnswer {
    beginBinding(domain, port)
    let status = EventAnswer.first(
      (!isThere[domain], .noSuchDomain), (port == 0, .noSpace), otherwise: .okay)
    var channel = Channel()
    channel.kind = Choice(.unbound)
    channel.remote = remote
    when(status == .okay) { open(domain, port, channel) }
    promise(status, domain, port, channels[domain, port].kind == .unbound && !pending[domain, port])
    return status
  }

  func bindInterdomain(domain: Domain, remote: Domain, remotePort: Port, port: Port) -> EventAnswer {
    beginBinding(domain, port)
    let other = channels[remote, remotePort]
    let status = EventAnswer.first(
      (!isThere[domain] || !isThere[remote], .noSuchDomain),
      (port == 0, .noSpace),
      (!isValid(remote, remotePort) || !awaits(other, domain), .invalid),
      otherwise: .okay)
    when(status == .okay) {
      var channel = Channel()
      channel.kind = Choice(.interdomain)
      channel.remote = remote
      channel.remotePort = remotePort
      open(domain, port, channel)
      channels[remote, remotePort].kind = Choice(.interdomain)
      channels[remote, remotePort].remotePort = port
      raise(domain, port)
    }
    promise(status, domain, port, channels[domain, port].kind == .interdomain && pending[domain, port])
    failBinding(status, remote, remotePort)
    return status
  }

  func bindVirtualInterrupt(
    domain: Domain, interrupt: VirtualInterrupt, isKnown: Bit, vcpu: VirtualCPU, port: Port
  ) -> EventAnswer {
    beginBinding(domain, port)
    let status = EventAnswer.first(
      (!isThere[domain], .noSuchDomain),
      (!isKnown, .invalid),
      (!vcpus[domain, vcpu].isReady, .noEntry),
      (interruptPorts[domain, vcpu, interrupt] != 0, .exists),
      (port == 0, .noSpace),
      otherwise: .okay)
    when(status == .okay) {
      var channel = Channel()
      channel.kind = Choice(.virtualInterrupt)
      channel.interrupt = interrupt
      channel.vcpu = vcpu
      open(domain, port, channel)
      interruptPorts[domain, vcpu, interrupt] = port
    }
    promise(status, domain, port, channels[domain, port].kind == .virtualInterrupt && !pending[domain, port])
    return status
  }

  func bindInterprocessor(domain: Domain, vcpu: VirtualCPU, port: Port) -> EventAnswer {
    beginBinding(domain, port)
    let status = EventAnswer.first(
      (!isThere[domain], .noSuchDomain), (!vcpus[domain, vcpu].isReady, .noEntry), (port == 0, .noSpace),
      otherwise: .okay)
    var channel = Channel()
    channel.kind = Choice(.interprocessor)
    channel.vcpu = vcpu
    when(status == .okay) { open(domain, port, channel) }
    promise(status, domain, port, channels[domain, port].kind == .interprocessor && !pending[domain, port])
    return status
  }

  /// EVTCHNOP_bind_vcpu: what is pending moves with the port.
  func bindVirtualCPU(domain: Domain, port: Port, vcpu: VirtualCPU) -> EventAnswer {
    lock()
    let kind = channels[domain, port].kind
    let status = EventAnswer.first(
      (!isThere[domain], .noSuchDomain),
      (!vcpus[domain, vcpu].isReady, .noEntry),
      (!isValid(domain, port), .invalid),
      (!kind.isOne(of: .unbound, .interdomain), .invalid),
      otherwise: .okay)
    when(status == .okay) {
      channels[domain, port].vcpu = vcpu
      announceMoved(domain, port)
    }
    promise(status, domain, port, channels[domain, port].vcpu == vcpu)
    return status
  }

  func send(domain: Domain, port: Port) -> EventAnswer {
    lock()
    let channel = channels[domain, port]
    let status = EventAnswer.first(
      (!isThere[domain], .noSuchDomain),
      (!isValid(domain, port), .invalid),
      (channel.kind == .virtualInterrupt, .invalid),
      otherwise: .okay)
    when(status == .okay && channel.kind == .interdomain) { raise(channel.remote, channel.remotePort) }
    when(status == .okay && channel.kind == .interprocessor) { raise(domain, port) }
    let (d, p) = (channel.remote, channel.remotePort)
    promise(status, d, p, channel.kind != .interdomain || pending[d, p])
    promise(status, domain, port, channel.kind != .interprocessor || pending[domain, port])
    return status
  }

  /// The hypervisor raises a virtual interrupt, if the guest has a port for it.
  func raiseVirtualInterrupt(domain: Domain, interrupt: VirtualInterrupt, vcpu: VirtualCPU) {
    lock()
    let port = interruptPorts[domain, vcpu, interrupt]
    when(port != 0) { raise(domain, port) }
    promise(EventAnswer(.okay), domain, port, port == 0 || pending[domain, port])
  }

  func unmask(domain: Domain, port: Port) -> EventAnswer {
    lock()
    let status = EventAnswer.first(
      (!isThere[domain], .noSuchDomain), (!exists[domain, port], .invalid), otherwise: .okay)
    when(status == .okay) {
      when(mask[domain, port]) { announce(domain, port) }
      mask[domain, port] = false
    }
    promise(status, domain, port, !mask[domain, port])
    return status
  }

  func close(domain: Domain, port: Port) -> EventAnswer {
    lock()
    let status = EventAnswer.first(
      (!isThere[domain], .noSuchDomain), (!isValid(domain, port), .invalid), otherwise: .okay)
    when(status == .okay) { shut(domain, port) }
    promise(status, domain, port, !channels[domain, port].isOpen && !pending[domain, port])
    return status
  }

  /// EVTCHNOP_status, of a port that may be closed: what it is bound to.
  func status(domain: Domain, port: Port) -> EventAnswer {
    lock()
    return .first((!isThere[domain], .noSuchDomain), (!exists[domain, port], .invalid), otherwise: .okay)
  }

  func reset(domain: Domain) -> EventAnswer {
    lock()
    let status = EventAnswer.first((!isThere[domain], .noSuchDomain), otherwise: .okay)
    when(status == .okay) { shutAll(of: domain) }
    unkept.update { (d: Domain, p: Port, old) in
      old || (status == .okay && d == domain && (self.channels[d, p].isOpen || self.pending[d, p]))
    }
    return status
  }

  // MARK: Parts that bugs live in

  /// The free port is the implementation's choice; it is 0 only if none is free.
  func beginBinding(_ domain: Domain, _ port: Port) {
    lock()
    require(port == 0 || isFree(domain, port), "R2")
    requireAll("R2") { (other: Port) in port != 0 || !self.isFree(domain, other) }
  }

  /// Whether a port waits for a domain to bind to it.
  func awaits(_ channel: Channel, _ domain: Domain) -> Bit {
    channel.kind == .unbound && channel.remote == domain
  }

  /// What a binding that fails leaves behind: nothing.
  func failBinding(_ status: EventAnswer, _ remote: Domain, _ remotePort: Port) {}

  func announceMoved(_ domain: Domain, _ port: Port) { announce(domain, port) }

  // MARK: An event is delivered

  func look() {
    require(delivery.step == .looking, "R9")
    let (d, p) = (delivery.domain, delivery.port)
    let vcpu = channels[d, p].vcpu
    let tells = pending[d, p] && !mask[d, p] && canBeTold(d, vcpu)
    delivery.step = choose(tells, Choice(.selecting), Choice(.waking))
  }

  func select() {
    require(delivery.step == .selecting, "R9")
    let (d, p) = (delivery.domain, delivery.port)
    let vcpu = channels[d, p].vcpu
    write(d, vcpu)
    selector[d, vcpu, word(of: p)] = true
    delivery.step = Choice(.notifying)
  }

  func notify() {
    require(delivery.step == .notifying, "R9")
    let (d, p) = (delivery.domain, delivery.port)
    let vcpu = channels[d, p].vcpu
    write(d, vcpu)
    when(kicks(vcpus[d, vcpu])) { vcpus[d, vcpu].isKicked = true }
    vcpus[d, vcpu].upcall = true
    delivery.step = Choice(.waking)
  }

  func wakePollers() {
    require(delivery.step == .waking, "R9")
    let (domain, port) = (delivery.domain, delivery.port)
    vcpus.update { (d: Domain, v: VirtualCPU, old: VirtualCPUState) in
      var woken = old
      woken.isKicked = old.isKicked || (d == domain && old.rest == .polling && self.polled[d, v, port])
      return woken
    }
    delivery = Delivery()
  }

  /// A vCPU that is awake, or woken, goes on; so does one whose poll times out. The up-call that is due is made. What
  /// the vCPU had stored is in memory.
  func resume(domain: Domain, vcpu: VirtualCPU) -> Bit {
    let state = vcpus[domain, vcpu]
    require(state.isReady && (state.rest != .blocked || state.isKicked))
    let isMasked = state.isMasked && !state.isUnmasking
    let isDue = state.upcall && !isMasked
    vcpus[domain, vcpu].isUnmasking = false
    vcpus[domain, vcpu].isMasked = isMasked || isDue
    vcpus[domain, vcpu].isKicked = false
    vcpus[domain, vcpu].rest = Choice(.awake)
    when(isDue) { vcpus[domain, vcpu].step = Choice(.entered) }
    polled.update { (d: Domain, v: VirtualCPU, _: Port, old) in old && !(d == domain && v == vcpu) }
    return isDue
  }

  // MARK: Domains and vCPUs come and go

  func create(domain: Domain) {
    lock()
    require(!isThere[domain])
    isThere[domain] = true
  }

  /// Room for one more port.
  func grow(domain: Domain, port: Port) {
    lock()
    require(isThere[domain] && !exists[domain, port])
    require(isNumber(port), "R2")
    exists[domain, port] = true
  }

  /// A vCPU is made, or what it shares moves elsewhere (VCPUOP_register_vcpu_info).
  func register(domain: Domain, vcpu: VirtualCPU) {
    lock()
    require(isThere[domain])
    vcpus[domain, vcpu].isReady = true
    countEverything(domain, vcpu)
  }

  /// Everything counts as pending once.
  func countEverything(_ domain: Domain, _ vcpu: VirtualCPU) {
    selector.update { (d: Domain, v: VirtualCPU, p: Port, old) in
      old || (d == domain && v == vcpu && self.word(of: p) == p)
    }
    vcpus[domain, vcpu].upcall = true
    vcpus[domain, vcpu].isKicked = true
  }

  func destroy(domain: Domain) {
    lock()
    require(isThere[domain])
    shutAll(of: domain)
    isThere[domain] = false
    unkept.update { (d: Domain, p: Port, old) in old || (d == domain && self.isThere[d]) }
    exists.update { (d: Domain, _: Port, old) in old && d != domain }
    vcpus.update { (d: Domain, _: VirtualCPU, old: VirtualCPUState) in
      choose(d == domain, VirtualCPUState(), old)
    }
    selector.update { (d: Domain, _: VirtualCPU, _: Port, old) in old && d != domain }
    held.update { (d: Domain, _: VirtualCPU, _: Port, old) in old && d != domain }
    polled.update { (d: Domain, _: VirtualCPU, _: Port, old) in old && d != domain }
    mask.update { (d: Domain, _: Port, old) in old && d != domain }
    disturbed[domain] = false
  }

  public override var actions: [Action] { operations + steps }
  public override var invariants: [Invariant] { claims }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
  public override var liveness: [LeadsTo] { eventualities }
}
