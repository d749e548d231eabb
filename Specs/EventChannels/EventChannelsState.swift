// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic

/// The event channels of a host, and the definitions that the operations in `EventChannels` are made of.
public class EventChannelsState: Machine {
  @Var var isThere: Table<Bit, Domain>
  /// Which ports a domain has room for.
  @Var var exists: Table<Bit, Pair<Domain, Port>>
  @Var var channels: Table<Channel, Pair<Domain, Port>>
  /// The port of a virtual interrupt; 0 for none.
  @Var var interruptPorts: Table<Port, Triple<Domain, VirtualCPU, VirtualInterrupt>>
  @Var var delivery: Delivery

  // In memory shared with the guest, which stores what it likes there:
  @Var var pending: Table<Bit, Pair<Domain, Port>>
  @Var var mask: Table<Bit, Pair<Domain, Port>>
  /// evtchn_pending_sel: which words of ports to look at, each named by its first port.
  @Var var selector: Table<Bit, Triple<Domain, VirtualCPU, Port>>
  @Var var vcpus: Table<VirtualCPUState, Pair<Domain, VirtualCPU>>
  /// The words that a vCPU's handler took out of the selector and is not done with.
  @Var var held: Table<Bit, Triple<Domain, VirtualCPU, Port>>
  /// What a polling vCPU waits for.
  @Var var polled: Table<Bit, Triple<Domain, VirtualCPU, Port>>

  /// Whether a domain's guest stored otherwise than the protocol says.
  @Ghost var disturbed: Table<Bit, Domain>
  /// Whether something was done that no rule allows.
  @Ghost var breached: Bit
  /// Ports with which something else was done than an operation answered.
  @Ghost var unkept: Table<Bit, Pair<Domain, Port>>

  // MARK: What the rules mean

  /// The first port of a port's word: 64 ports share a word. Fewer ports than that, when explored, share one.
  func word(of port: Port) -> Port { port & 0xffff_ffc0 }

  /// Whether a number is that of a port: 1 … 4095.
  func isNumber(_ port: Port) -> Bit { port != 0 && port & 0xffff_f000 == 0 }

  /// Whether an operation may look at a port.
  func isValid(_ d: Domain, _ p: Port) -> Bit { exists[d, p] && channels[d, p].isOpen }

  /// Whether a port can be bound.
  func isFree(_ d: Domain, _ p: Port) -> Bit { exists[d, p] && !channels[d, p].isOpen }

  /// The hypervisor's lock: no operation begins while an event is being delivered.
  func lock() { require(delivery.step == .none, "R9") }

  /// What holds once an operation has answered that it is done.
  func promise(_ status: EventAnswer, _ d: Domain, _ p: Port, _ condition: Bit) {
    unkept[d, p] = unkept[d, p] || (status == .okay && !condition)
  }

  /// Opens a port.
  func open(_ d: Domain, _ p: Port, _ channel: Channel) {
    channels[d, p] = channel
    pending[d, p] = false
  }

  /// Marks a port pending, and begins to tell of it if it was not.
  func raise(_ d: Domain, _ p: Port) {
    when(!pending[d, p]) { announce(d, p) }
    pending[d, p] = true
  }

  /// Begins to tell of a port, if there is something to tell.
  func announce(_ d: Domain, _ p: Port) {
    delivery.step = Choice(.looking)
    delivery.domain = d
    delivery.port = p
  }

  /// Closes one port; the other end waits for its domain to bind again.
  func shut(_ d: Domain, _ p: Port) {
    let channel = channels[d, p]
    when(channel.kind == .interdomain) { release(channel.remote, channel.remotePort, from: d) }
    when(channel.kind == .virtualInterrupt) {
      interruptPorts[d, channel.vcpu, channel.interrupt] = 0
    }
    channels[d, p] = Channel()
    pending[d, p] = false
  }

  /// The other end of a port that closes.
  func release(_ d: Domain, _ p: Port, from other: Domain) {
    channels[d, p].kind = Choice(.unbound)
    channels[d, p].remote = other
  }

  /// Closes all ports of a domain, together with what others have bound to them, at once.
  func shutAll(of domain: Domain) {
    channels.update { (d: Domain, _: Port, old: Channel) in
      var released = old
      released.kind = Choice(.unbound)
      let mine = self.isReleased(old, by: domain)
      return choose(d == domain, Channel(), choose(mine, released, old))
    }
    interruptPorts.update { (d: Domain, _: VirtualCPU, _: VirtualInterrupt, old) in
      choose(d == domain, 0, old)
    }
    pending.update { (d: Domain, _: Port, old) in old && d != domain }
  }

  /// Whether a port is bound to a domain that closes all of its own.
  func isReleased(_ channel: Channel, by domain: Domain) -> Bit {
    channel.kind == .interdomain && channel.remote == domain
  }

  /// The vCPU's `vcpu_info` is written to.
  func write(_ d: Domain, _ v: VirtualCPU) { breached = breached || !vcpus[d, v].isReady }

  /// Whether a vCPU can be told: what it shares with the hypervisor is there.
  func canBeTold(_ d: Domain, _ v: VirtualCPU) -> Bit { vcpus[d, v].isReady }

  /// Whether the vCPU is kicked when its up-call becomes pending. It is, whether it is masked or not: the guest's
  /// store that unmasks it may not have reached memory when its look for a pending up-call has been made.
  func kicks(_ vcpu: VirtualCPUState) -> Bit { !vcpu.upcall }

  // MARK: Wake-ups, as safety

  /// Whether the event being delivered is this port's, and not announced yet.
  func isBeingTold(_ d: Domain, _ p: Port) -> Bit {
    delivery.step.isOne(of: .looking, .selecting) && delivery.domain == d && delivery.port == p
  }

  /// Whether the vCPU's up-call is about to be made pending.
  func isBeingNotified(_ d: Domain, _ v: VirtualCPU) -> Bit {
    delivery.step == .notifying && delivery.domain == d && channels[d, delivery.port].vcpu == v
  }

  /// Whether the guest will look at the port: its word is selected and an up-call will make the guest look at the
  /// selector, or the guest is about to look at the word.
  func willBeSeen(_ d: Domain, _ p: Port) -> Bit {
    let v = channels[d, p].vcpu
    let vcpu = vcpus[d, v]
    let looks = vcpu.upcall || vcpu.step == .swapping || isBeingNotified(d, v)
    return (selector[d, v, word(of: p)] && looks) || held[d, v, word(of: p)]
  }
}
