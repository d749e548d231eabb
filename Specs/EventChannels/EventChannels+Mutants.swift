// SPDX-License-Identifier: Apache-2.0
//
// Bugs that were real, as one-place changes of the specification. Each must be caught.

import Interfaces
import Logic

/// XSA-107, 358: a vCPU is told before what it shares with the hypervisor is there.
final class EventChannelsXSA107: EventChannels {
  override func canBeTold(_ d: Domain, _ v: VirtualCPU) -> Bit { true }
}

/// XSA-107, 358, from the other side: what was pending before the vCPU was there is not counted when it is.
final class EventChannelsXSA358: EventChannels {
  override func countEverything(_ domain: Domain, _ vcpu: VirtualCPU) {}
}

/// XSA-47, 188: a binding that fails leaves the other end pointing to a port that is none.
final class EventChannelsXSA188: EventChannels {
  override func failBinding(_ status: EventAnswer, _ remote: Domain, _ remotePort: Port) {
    when(status == .invalid) { channels[remote, remotePort].kind = Choice(.interdomain) }
  }
}

/// XSA-221, 317, 340: a port number is believed before the port is there.
final class EventChannelsXSA317: EventChannels {
  override func beginBinding(_ domain: Domain, _ port: Port) {
    lock()
    require(!channels[domain, port].isOpen, "R2")
    requireAll("R2") { (other: Port) in port != 0 || !self.isFree(domain, other) }
  }
}

/// XSA-343, 344, 505: a reset passes by a port that is being bound to one of its own.
final class EventChannelsXSA343: EventChannels {
  override func isReleased(_ channel: Channel, by domain: Domain) -> Bit { false }
}

/// XSA-496: a binding that fails takes back what it never did.
final class EventChannelsXSA496: EventChannels {
  override func failBinding(_ status: EventAnswer, _ remote: Domain, _ remotePort: Port) {
    when(status == .invalid && channels[remote, remotePort].kind == .interdomain) {
      channels[remote, remotePort].kind = Choice(.unbound)
    }
  }
}

/// Classic: a vCPU with masked up-calls is not kicked, and its unmasking store is still on its way.
final class EventChannelsMaskedKick: EventChannels {
  override func kicks(_ vcpu: VirtualCPUState) -> Bit { !vcpu.upcall && !vcpu.isMasked }
}

/// Classic: a port that moves leaves its pending event behind.
final class EventChannelsLeftBehind: EventChannels {
  override func announceMoved(_ domain: Domain, _ port: Port) {}
}

/// Classic: the up-call is made pending before the selector says where to look.
final class EventChannelsUpcallFirst: EventChannels {
  override func select() {
    require(delivery.step == .selecting)
    let vcpu = channels[delivery.domain, delivery.port].vcpu
    write(delivery.domain, vcpu)
    when(kicks(vcpus[delivery.domain, vcpu])) { vcpus[delivery.domain, vcpu].isKicked = true }
    vcpus[delivery.domain, vcpu].upcall = true
    delivery.step = Choice(.notifying)
  }
  override func notify() {
    require(delivery.step == .notifying)
    let (d, p) = (delivery.domain, delivery.port)
    selector[d, channels[d, p].vcpu, word(of: p)] = true
    delivery.step = Choice(.waking)
  }
}

extension Scope {
  private static let scribbles: Set<String> = ["storePending", "storeMask", "storeSelector", "storeUpcall"]

  /// Two domains with a port each; the guest of domain 1 runs on one vCPU and keeps to the protocol.
  static let oneChannel = Scope(
    name: "one channel", counts: ["Port": 2, "VCPU": 1],
    arguments: [
      "register.domain": [1], "maskPort.domain": [1], "unmask.domain": [1], "poll.domain": [1],
      "poll.port": [1],
      "maskPort.port": [1], "reset.domain": [1],
    ],
    excluding: scribbles)

  /// One domain with one port, whose guest stores what it likes.
  static let hostile = Scope(
    name: "hostile", counts: ["Domain": 1, "Port": 2, "VCPU": 1], excluding: masking.union(sleeping))
  /// One domain whose port may wait on either of two vCPUs.
  static let twoProcessors = Scope(
    name: "two processors", counts: ["Port": 4, "VCPU": 2],
    arguments: [
      "create.domain": [1], "grow.port": [1, 2], "send.port": [1], "send.domain": [1],
      "allocateUnbound.domain": [1], "allocateUnbound.remote": [1], "bindInterdomain.domain": [1],
      "bindInterdomain.remote": [1],
    ],
    excluding: scribbles.union(masking).union(sleeping).union(interrupts).union(["reset", "destroy", "close"])
  )
  /// Two domains, each with a guest that sends events to itself.
  static let twoGuests = Scope(
    name: "two guests", counts: ["Port": 2, "VCPU": 1],
    excluding: scribbles.union(masking).union(sleeping).union(virtual).union([
      "allocateUnbound", "bindInterdomain", "bindVirtualCPU", "reset", "close",
    ]))
  /// One domain that connects its ports with one another; nobody is told of it.
  static let threePorts = Scope(
    name: "three ports", counts: ["Domain": 1, "Port": 4, "VCPU": 1],
    excluding: scribbles.union(masking).union(["register"]))

  private static let masking: Set<String> = ["maskPort", "unmask", "disable", "enable", "drain", "check"]
  private static let sleeping: Set<String> = ["block", "poll"]
  private static let virtual: Set<String> = ["bindVirtualInterrupt", "raiseVirtualInterrupt"]
  private static let interrupts = virtual.union(["bindInterprocessor"])
}

/// Event channels for the engines.
public let eventChannelsSubject = Subject(
  "EventChannels", scopes: [.oneChannel, .hostile, .twoProcessors, .twoGuests, .threePorts],
  mutants: [
    HandMutant(
      "XSA-107", advisory: "XSA-107, 358",
      mechanism: "pending is set before the receiver's control block is ready",
      killer: "only what is there is written"
    ) { EventChannelsXSA107() },
    HandMutant(
      "XSA-358", advisory: "XSA-107, 358",
      mechanism: "what became pending before the control block was ready is not counted when it is",
      killer: "no event is lost"
    ) { EventChannelsXSA358() },
    HandMutant(
      "XSA-188", advisory: "XSA-47, 188",
      mechanism: "a failed initialisation leaves the other end pointing to what is none",
      killer: "interdomain ends are symmetric"
    ) { EventChannelsXSA188() },
    HandMutant(
      "XSA-317", advisory: "XSA-221, 317, 340",
      mechanism: "a port number is believed before the port is there",
      killer: "an open port exists"
    ) { EventChannelsXSA317() },
    HandMutant(
      "XSA-343", advisory: "XSA-343, 344, 505", mechanism: "reset races with bind: the other end stays bound",
      killer: "interdomain ends are symmetric"
    ) { EventChannelsXSA343() },
    HandMutant(
      "XSA-496", advisory: "XSA-496", mechanism: "an error path undoes a step that never ran",
      killer: "interdomain ends are symmetric"
    ) { EventChannelsXSA496() },
    HandMutant(
      "masked kick", advisory: "classic",
      mechanism: "no kick for a vCPU that is masked, while its unmasking store waits in the store buffer",
      killer: "no up-call is lost"
    ) { EventChannelsMaskedKick() },
    HandMutant(
      "left behind", advisory: "classic",
      mechanism: "a port moves to another vCPU, its pending event does not",
      killer: "no event is lost"
    ) { EventChannelsLeftBehind() },
    HandMutant(
      "up-call first", advisory: "classic", mechanism: "the up-call is pending before the selector says why",
      killer: "no event is lost"
    ) { EventChannelsUpcallFirst() },
  ],
  equivalents: eventChannelsEquivalents
) { EventChannels() }

/// Mechanical mutants of EventChannels that are no bugs.
private let eventChannelsEquivalents: [EquivalentMutant] = {
  let nothing = "a domain that is there is made again, or one that is not is destroyed: nothing changes"
  let fresh = "register selects everything of a vCPU that is made, and kicks it; a new guest finds any mask"
  let unasked = "a vCPU that wakes, or is kicked, unasked looks, and sleeps again"
  let again =
    "a guest that looks at a word once more, or handles an event once more, or stores again what is visible"
  let later = "a guest that returns looks for an up-call when it enables up-calls again"
  let taken = "a guest that does not disable up-calls takes them"
  let goesOn = "a vCPU that does not go to sleep goes on by itself"
  let gone = "what is shared with a domain or a vCPU that is not there is nobody's"
  let milder = "a hostile guest that stores less"
  return [
    EquivalentMutant("create: guard 2 dropped", because: nothing),
    EquivalentMutant("destroy: guard 2 dropped", because: nothing),
    EquivalentMutant("destroy: assignment 8 dropped", because: fresh),
    EquivalentMutant("destroy: assignment 11 dropped", because: fresh),
    EquivalentMutant("destroy: check 4 dropped", because: fresh),
    EquivalentMutant("resume: guard 1 dropped", because: unasked),
    EquivalentMutant("resume: assignment 3 dropped", because: unasked),
    EquivalentMutant("resume: equality 1 turned round", because: unasked),
    EquivalentMutant("takeSelector: assignment 2 dropped", because: again),
    EquivalentMutant("handle: assignment 1 dropped", because: again),
    EquivalentMutant("drain: assignment 1 dropped", because: again),
    EquivalentMutant("finish: check 1 dropped", because: later),
    EquivalentMutant("disable: assignment 1 dropped", because: taken),
    EquivalentMutant("poll: assignment 3 dropped", because: goesOn),
    EquivalentMutant("maskPort: guard 1 dropped", because: gone),
    EquivalentMutant("storePending: guard 1 dropped", because: gone),
    EquivalentMutant("storeMask: guard 1 dropped", because: gone),
    EquivalentMutant("storeSelector: guard 2 dropped", because: gone),
    EquivalentMutant("storeUpcall: guard 2 dropped", because: gone),
    EquivalentMutant("storePending: assignment 2 dropped", because: milder),
    EquivalentMutant("storeMask: assignment 2 dropped", because: milder),
    EquivalentMutant("storeSelector: assignment 2 dropped", because: milder),
    EquivalentMutant("storeUpcall: assignment 2 dropped", because: milder),
    EquivalentMutant("storeUpcall: assignment 3 dropped", because: milder),
  ]
}()
