// SPDX-License-Identifier: Apache-2.0
//
// What a guest does with its event channels: by the protocol, one store at a time; and otherwise.

import Interfaces
import Logic

extension EventChannels {
  /// Whether a vCPU runs its guest, whose handler stands there.
  private func runs(_ d: Domain, _ v: VirtualCPU, at step: HandlerStep) -> Bit {
    vcpus[d, v].isReady && vcpus[d, v].rest == .awake && vcpus[d, v].step == step
  }

  // MARK: The handler of up-calls

  /// evtchn_upcall_pending := 0.
  func clearUpcall(domain: Domain, vcpu: VirtualCPU) {
    require(runs(domain, vcpu, at: .entered), "R10")
    vcpus[domain, vcpu].upcall = false
    vcpus[domain, vcpu].step = Choice(.swapping)
  }

  /// Takes all words out of the selector, by one exchange.
  func takeSelector(domain: Domain, vcpu: VirtualCPU) {
    require(runs(domain, vcpu, at: .swapping), "R10")
    let taken = selector
    held.update { (d: Domain, v: VirtualCPU, p: Port, old) in
      old || (d == domain && v == vcpu && taken[d, v, p])
    }
    selector.update { (d: Domain, v: VirtualCPU, _: Port, old) in old && !(d == domain && v == vcpu) }
    vcpus[domain, vcpu].step = Choice(.scanning)
  }

  /// Takes one event: clears its port.
  func handle(domain: Domain, vcpu: VirtualCPU, port: Port) {
    require(runs(domain, vcpu, at: .scanning) && held[domain, vcpu, word(of: port)], "R10")
    require(pending[domain, port] && !mask[domain, port], "R10")
    pending[domain, port] = false
  }

  /// A word in which this vCPU has nothing to do any more.
  func finishWord(domain: Domain, vcpu: VirtualCPU, first: Port) {
    require(runs(domain, vcpu, at: .scanning) && held[domain, vcpu, first], "R10")
    requireAll("R10") { (port: Port) in
      !(self.word(of: port) == first && self.channels[domain, port].vcpu == vcpu
        && self.channels[domain, port].isOpen && self.pending[domain, port] && !self.mask[domain, port])
    }
    held[domain, vcpu, first] = false
  }

  /// All words are done: from the top if there is a new up-call, else back to what ran before.
  func finish(domain: Domain, vcpu: VirtualCPU) {
    require(runs(domain, vcpu, at: .scanning), "R10")
    requireAll("R10") { (first: Port) in !self.held[domain, vcpu, first] }
    vcpus[domain, vcpu].step = choose(vcpus[domain, vcpu].upcall, Choice(.entered), Choice(.idle))
  }

  // MARK: Masking

  func maskPort(domain: Domain, port: Port) {
    require(isThere[domain])
    mask[domain, port] = true
  }

  func disable(domain: Domain, vcpu: VirtualCPU) {
    require(runs(domain, vcpu, at: .idle) && !vcpus[domain, vcpu].isUnmasking, "R10")
    vcpus[domain, vcpu].isMasked = true
  }

  /// Stores 0 to evtchn_upcall_mask; the store waits in the processor's store buffer.
  func enable(domain: Domain, vcpu: VirtualCPU) {
    require(runs(domain, vcpu, at: .idle) && vcpus[domain, vcpu].isMasked, "R10")
    vcpus[domain, vcpu].isUnmasking = true
    vcpus[domain, vcpu].step = Choice(.enabling)
  }

  func drain(domain: Domain, vcpu: VirtualCPU) {
    require(vcpus[domain, vcpu].isUnmasking)
    vcpus[domain, vcpu].isUnmasking = false
    vcpus[domain, vcpu].isMasked = false
    promise(EventAnswer(.okay), domain, 0, !vcpus[domain, vcpu].isMasked)
  }

  /// Having enabled up-calls, calls the hypervisor if one is pending.
  func check(domain: Domain, vcpu: VirtualCPU) {
    require(runs(domain, vcpu, at: .enabling), "R10")
    when(vcpus[domain, vcpu].upcall) { vcpus[domain, vcpu].isKicked = true }
    vcpus[domain, vcpu].step = Choice(.idle)
  }

  // MARK: Sleep

  /// SCHEDOP_block: enables up-calls, and sleeps unless one is pending.
  func block(domain: Domain, vcpu: VirtualCPU) {
    require(runs(domain, vcpu, at: .idle), "R10")
    vcpus[domain, vcpu].isUnmasking = false
    vcpus[domain, vcpu].isMasked = false
    when(vcpus[domain, vcpu].upcall) {
      vcpus[domain, vcpu].isKicked = true
    } else: {
      vcpus[domain, vcpu].rest = Choice(.blocked)
    }
  }

  /// SCHEDOP_poll of one port: sleeps unless it is pending. A poll of several is each of them.
  func poll(domain: Domain, vcpu: VirtualCPU, port: Port) {
    lock()
    require(vcpus[domain, vcpu].isReady && vcpus[domain, vcpu].rest != .blocked, "R10")
    require(!vcpus[domain, vcpu].isUnmasking, "R10")
    when(!pending[domain, port]) {
      vcpus[domain, vcpu].rest = Choice(.polling)
      polled[domain, vcpu, port] = true
    } else: {
      vcpus[domain, vcpu].isKicked = true
    }
    promise(EventAnswer(.okay), domain, port, pending[domain, port] || polled[domain, vcpu, port])
  }

  // MARK: Stores outside the protocol

  func disturb(_ domain: Domain) {
    require(isThere[domain])
    disturbed[domain] = true
  }
  func storePending(domain: Domain, port: Port, value: Bit) {
    disturb(domain)
    pending[domain, port] = value
  }
  func storeMask(domain: Domain, port: Port, value: Bit) {
    disturb(domain)
    mask[domain, port] = value
  }
  func storeSelector(domain: Domain, vcpu: VirtualCPU, first: Port, value: Bit) {
    disturb(domain)
    require(vcpus[domain, vcpu].isReady)
    selector[domain, vcpu, first] = value
  }
  func storeUpcall(domain: Domain, vcpu: VirtualCPU, pending: Bit, isMasked: Bit) {
    disturb(domain)
    require(vcpus[domain, vcpu].isReady)
    vcpus[domain, vcpu].upcall = pending
    vcpus[domain, vcpu].isMasked = isMasked
  }

  var operations: [Action] {
    [
      action("allocateUnbound(domain:remote:port:)", allocateUnbound),
      action("bindInterdomain(domain:remote:remotePort:port:)", bindInterdomain),
      action("bindVirtualInterrupt(domain:interrupt:isKnown:vcpu:port:)", bindVirtualInterrupt),
      action("bindInterprocessor(domain:vcpu:port:)", bindInterprocessor),
      action("bindVirtualCPU(domain:port:vcpu:)", bindVirtualCPU),
      action("send(domain:port:)", send),
      action("raiseVirtualInterrupt(domain:interrupt:vcpu:)", raiseVirtualInterrupt),
      action("unmask(domain:port:)", unmask), action("close(domain:port:)", close),
      action("status(domain:port:)", status), action("reset(domain:)", reset),
      action("create(domain:)", create), action("grow(domain:port:)", grow),
      action("register(domain:vcpu:)", register), action("destroy(domain:)", destroy),
    ]
  }

  var steps: [Action] {
    [
      action("look()", look), action("select()", select), action("notify()", notify),
      action("wakePollers()", wakePollers), action("resume(domain:vcpu:)", resume),
      action("clearUpcall(domain:vcpu:)", clearUpcall), action("takeSelector(domain:vcpu:)", takeSelector),
      action("handle(domain:vcpu:port:)", handle), action("finishWord(domain:vcpu:first:)", finishWord),
      action("finish(domain:vcpu:)", finish), action("maskPort(domain:port:)", maskPort),
      action("disable(domain:vcpu:)", disable), action("enable(domain:vcpu:)", enable),
      action("drain(domain:vcpu:)", drain), action("check(domain:vcpu:)", check),
      action("block(domain:vcpu:)", block), action("poll(domain:vcpu:port:)", poll),
      action("storePending(domain:port:value:)", storePending),
      action("storeMask(domain:port:value:)", storeMask),
      action("storeSelector(domain:vcpu:first:value:)", storeSelector),
      action("storeUpcall(domain:vcpu:pending:isMasked:)", storeUpcall),
    ]
  }
}
