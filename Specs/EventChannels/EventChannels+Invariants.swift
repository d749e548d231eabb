// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic

extension EventChannels {
  var claims: [Invariant] { structure + wakeUps }

  private var structure: [Invariant] {
    [
      invariant("interdomain ends are symmetric", "R1") { (d: Domain, p: Port) in
        let channel = self.channels[d, p]
        let other = self.channels[channel.remote, channel.remotePort]
        return (channel.kind == .interdomain).implies(
          other.kind == .interdomain && other.remote == d && other.remotePort == p)
      },
      invariant("an open port exists", "R2") { (d: Domain, p: Port) in
        self.channels[d, p].isOpen.implies(self.exists[d, p])
      },
      invariant("ports are bounded, and their domain is there", "R2") { (d: Domain, p: Port) in
        self.exists[d, p].implies(self.isThere[d] && self.isNumber(p))
      },
      invariant("a virtual interrupt's port is known", "R3") { (d: Domain, p: Port) in
        let channel = self.channels[d, p]
        return (channel.kind == .virtualInterrupt).implies(
          self.interruptPorts[d, channel.vcpu, channel.interrupt] == p)
      },
      invariant("a known port is the virtual interrupt's", "R3") {
        (d: Domain, v: VirtualCPU, n: VirtualInterrupt) in
        let port = self.interruptPorts[d, v, n]
        let channel = self.channels[d, port]
        return (port != 0).implies(
          channel.kind == .virtualInterrupt && channel.vcpu == v && channel.interrupt == n)
      },
      invariant("only what is there is written", "R7") { !self.breached },
      invariant("what is answered is done", "R11") { (d: Domain, p: Port) in !self.unkept[d, p] },
      invariant("a vCPU is there only if its domain is", "R7") { (d: Domain, v: VirtualCPU) in
        self.vcpus[d, v].isReady.implies(self.isThere[d])
      },
      invariant("a vCPU that is being told is there", "R7") {
        let vcpu = self.channels[self.delivery.domain, self.delivery.port].vcpu
        return self.delivery.step.isOne(of: .selecting, .notifying).implies(
          self.vcpus[self.delivery.domain, vcpu].isReady)
      },
      invariant("a closed port is not pending", "R8") { (d: Domain, p: Port) in
        (!self.channels[d, p].isOpen && !self.disturbed[d]).implies(!self.pending[d, p])
      },
    ]
  }

  private var wakeUps: [Invariant] {
    [
      invariant("no event is lost", "R4") { (d: Domain, p: Port) in
        let channel = self.channels[d, p]
        let isDue = channel.isOpen && self.pending[d, p] && !self.mask[d, p]
        return (isDue && self.vcpus[d, channel.vcpu].isReady && !self.disturbed[d]).implies(
          self.isBeingTold(d, p) || self.willBeSeen(d, p))
      },
      invariant("no up-call is lost", "R5") { (d: Domain, v: VirtualCPU) in
        let vcpu = self.vcpus[d, v]
        let canTake = vcpu.step == .idle && (!vcpu.isMasked || vcpu.isUnmasking)
        return (vcpu.isReady && vcpu.upcall && canTake && !self.disturbed[d]).implies(vcpu.isKicked)
      },
      invariant("no poll sleeps on an event", "R6") { (d: Domain, v: VirtualCPU, p: Port) in
        let sleeps = self.vcpus[d, v].rest == .polling && self.polled[d, v, p]
        let isBeingDelivered =
          self.delivery.step != .none && self.delivery.domain == d && self.delivery.port == p
        return (sleeps && self.pending[d, p] && !self.disturbed[d]).implies(
          self.vcpus[d, v].isKicked || isBeingDelivered)
      },
      invariant("only who polls waits for a port", "R6") { (d: Domain, v: VirtualCPU, p: Port) in
        self.polled[d, v, p].implies(self.vcpus[d, v].rest == .polling)
      },
      invariant("a handler that runs is not interrupted", "R5") { (d: Domain, v: VirtualCPU) in
        let vcpu = self.vcpus[d, v]
        let isInHandler = vcpu.step.isOne(of: .entered, .swapping, .scanning)
        return (isInHandler && !self.disturbed[d]).implies(vcpu.isMasked && !vcpu.isUnmasking)
      },
      invariant("a vCPU that is blocked takes up-calls", "R5") { (d: Domain, v: VirtualCPU) in
        let vcpu = self.vcpus[d, v]
        let takes = !vcpu.isMasked && !vcpu.isUnmasking
        return (vcpu.rest == .blocked).implies(vcpu.step == .idle && (takes || self.disturbed[d]))
      },
      invariant("words are held only while they are looked at", "R4") { (d: Domain, v: VirtualCPU, p: Port) in
        self.held[d, v, p].implies(self.vcpus[d, v].isReady)
      },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "R1", "The two ends of an interdomain channel name each other.", by: "interdomain ends are symmetric"),
      Rule(
        "R2", "Only a domain that is there has ports, of bounded numbers.", by: "an open port exists",
        "ports are bounded, and their domain is there"),
      Rule(
        "R3", "A vCPU has at most one port for a virtual interrupt.",
        by: "a virtual interrupt's port is known", "a known port is the virtual interrupt's"),
      Rule("R4", "No event is lost.", by: "no event is lost"),
      Rule(
        "R5", "No up-call is lost.", by: "no up-call is lost", "a vCPU that is blocked takes up-calls"),
      Rule("R6", "No vCPU sleeps in a poll on a port that is pending.", by: "no poll sleeps on an event"),
      Rule(
        "R7",
        "Nothing is written to what a vCPU shares before it is there; then everything counts as pending.",
        by: "only what is there is written", "no event is lost"),
      Rule(
        "R8", "A port that is opened has no event of its past, or one in case the other end sent before.",
        by: "a closed port is not pending", "what is answered is done"),
      Rule(
        "R9", "Operations exclude one another; telling of an event is part of one.", by: "no event is lost",
        "no poll sleeps on an event"),
      Rule(
        "R10", "A guest that keeps to the protocol takes the steps of its handler in their order.",
        by: "no event is lost", "a handler that runs is not interrupted"),
      Rule("R11", "What an operation answers to have done is done.", by: "what is answered is done"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("two domains are connected") { (d: Domain, p: Port) in
        self.channels[d, p].kind == .interdomain && self.channels[d, p].remote != d
      },
      sometimes("a port is bound again after its other end closed") { (d: Domain, p: Port) in
        self.channels[d, p].kind == .unbound && self.channels[d, p].remotePort != 0
      },
      sometimes("a handler runs") { (d: Domain, v: VirtualCPU) in self.vcpus[d, v].step == .scanning },
      sometimes("an up-call comes while up-calls are being enabled") { (d: Domain, v: VirtualCPU) in
        self.vcpus[d, v].upcall && self.vcpus[d, v].isUnmasking && self.vcpus[d, v].step == .idle
      },
      sometimes("a vCPU that polls is woken") { (d: Domain, v: VirtualCPU) in
        self.vcpus[d, v].rest == .polling && self.vcpus[d, v].isKicked
      },
      sometimes("an event has been told of") { (d: Domain, p: Port) in
        self.delivery.step == .waking && self.delivery.domain == d && self.delivery.port == p
          && self.pending[d, p] && !self.mask[d, p] && self.vcpus[d, self.channels[d, p].vcpu].isReady
      },
      sometimes("a guest has seen all") { (d: Domain, v: VirtualCPU) in
        self.vcpus[d, v].isReady && self.vcpus[d, v].step == .idle && !self.vcpus[d, v].upcall
      },
      sometimes("a vCPU is blocked") { (d: Domain, v: VirtualCPU) in self.vcpus[d, v].rest == .blocked },
      sometimes("a masked port is pending") { (d: Domain, p: Port) in
        self.pending[d, p] && self.mask[d, p]
      },
    ]
  }
}
