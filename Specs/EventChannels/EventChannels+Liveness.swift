// SPDX-License-Identifier: Apache-2.0
//
// What must come about in the end. The invariants say that the next step towards it is always there; here it is said
// that the steps lead there, if the hypervisor and the guest take them.

import Interfaces
import Logic

extension EventChannels {
  /// The hypervisor finishes the operation that it has begun.
  private var delivering: [Fairness] { ["look", "select", "notify", "wakePollers"] }
  /// The guest's handler goes on, and so does a guest that is about to see whether an up-call came.
  private var handling: [Fairness] {
    ["clearUpcall", "takeSelector", "handle", "finishWord", "finish", "check"]
  }
  /// A vCPU that is kicked passes the hypervisor. One that is not may do so, and need not.
  private var passing: [Fairness] {
    [fair("resume") { (d: Domain, v: VirtualCPU) in self.vcpus[d, v].isKicked }]
  }

  /// Whether there is an event that a guest by the protocol should see.
  private func isDue(_ d: Domain, _ p: Port) -> Bit {
    channels[d, p].isOpen && pending[d, p] && !mask[d, p] && vcpus[d, channels[d, p].vcpu].isReady
      && !disturbed[d]
  }

  /// Whether the guest itself keeps a vCPU from looking: it has up-calls disabled outside its handler, or sleeps in a
  /// poll inside it.
  private func holdsBack(_ vcpu: VirtualCPUState) -> Bit {
    let isOutside = vcpu.step.isOne(of: .idle, .enabling)
    return (isOutside && vcpu.isMasked) || (!isOutside && vcpu.rest == .polling)
  }

  var eventualities: [LeadsTo] {
    [
      leadsTo("an event is told of", "R4", fair: delivering) { (d: Domain, p: Port) in
        (from: self.isDue(d, p), to: !self.isDue(d, p) || self.willBeSeen(d, p))
      },
      leadsTo("an up-call that can be taken is made", "R5", fair: passing) { (d: Domain, v: VirtualCPU) in
        let vcpu = self.vcpus[d, v]
        let canTake =
          vcpu.isReady && vcpu.upcall && !vcpu.isMasked && vcpu.step == .idle && !self.disturbed[d]
        return (from: canTake, to: !canTake)
      },
      leadsTo("who is blocked wakes for an event", "R5", fair: delivering + passing) {
        (d: Domain, p: Port) in
        let sleeps = self.vcpus[d, self.channels[d, p].vcpu].rest == .blocked
        return (from: self.isDue(d, p) && sleeps, to: !self.isDue(d, p) || !sleeps)
      },
      leadsTo("who polls a port is woken for it", "R6", fair: delivering) {
        (d: Domain, v: VirtualCPU, p: Port) in
        let sleeps = self.vcpus[d, v].rest == .polling && self.polled[d, v, p] && !self.vcpus[d, v].isKicked
        let isSeen = self.pending[d, p] && !self.disturbed[d]
        return (from: sleeps && isSeen, to: !sleeps || !isSeen)
      },
      leadsTo("an event is handled", "R4", fair: delivering + handling + passing) {
        (d: Domain, v: VirtualCPU, p: Port) in
        let isDue = self.isDue(d, p) && self.channels[d, p].vcpu == v
        let isHeldBack = self.holdsBack(self.vcpus[d, v])
        return (from: isDue && !isHeldBack, to: !isDue || isHeldBack)
      },
    ]
  }
}
