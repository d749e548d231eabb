// SPDX-License-Identifier: Apache-2.0
//
// The abstraction: what each part of the optimised event channels, and of the words in memory, means in the
// specification's state.

import Interfaces
import Logic
import Machines
import Specs

extension FollowedEventPorts {
  /// Whether a port is what the specification says it is.
  func isSame(_ state: EventPortState?, _ d: UInt64, _ p: UInt64) -> Bool {
    guard let state else { return false }
    let place = model.port(d, p)
    guard UInt64(state.vcpu) == simulator[model.channelVCPU + place] else { return false }
    return switch (state.binding, kind(d, p)) {
    case (.closed, .closed), (.interprocessor, .interprocessor): true
    case (.unbound(let remote), .unbound): names.domain(remote) == simulator[model.remote + place]
    case (.interdomain(let remote, let port), .interdomain):
      names.domain(remote) == simulator[model.remote + place]
        && UInt64(port.rawValue) == simulator[model.remotePort + place]
    case (.virtualInterrupt(let number), .virtualInterrupt):
      UInt64(number) == simulator[model.interrupt + place]
    default: false
    }
  }

  func describe(_ d: UInt64, _ p: UInt64) -> String {
    let place = model.port(d, p)
    return "\(kind(d, p)) to domain \(simulator[model.remote + place]), "
      + "port \(simulator[model.remotePort + place]), vCPU \(simulator[model.channelVCPU + place])"
  }

  /// Compares a port, by the names of the model.
  func comparePort(_ d: UInt64, _ p: UInt64) throws(Divergence) {
    guard let domain = names.machineDomain(d), p != 0 else { return }
    let state = inner.port(EventPort(UInt32(p)), of: domain)
    guard isNumber(d, p) else {
      if state == nil { return }
      throw oracle.divergence(at: "port \(p) of domain \(domain)", "the domain has no such port")
    }
    if !isSame(state, d, p) {
      throw oracle.divergence(
        at: "port \(p) of domain \(domain)",
        "it is \(state.map { "\($0)" } ?? "none"), it should be \(describe(d, p))")
    }
  }

  /// Compares the port of a vCPU's virtual interrupt.
  func compareInterrupt(_ d: UInt64, _ v: UInt64, _ number: UInt64) throws(Divergence) {
    guard let domain = names.machineDomain(d) else { return }
    let expected = simulator[model.interruptPorts + model.vcpuInterrupt(d, v, number)]
    let found = inner.interruptPort(UInt32(number), on: Int(v), of: domain)?.rawValue ?? 0
    if UInt64(found) != expected {
      throw oracle.divergence(
        at: "virtual interrupt \(number) of vCPU \(v) of domain \(domain)",
        "its port is \(found), it should be \(expected)")
    }
  }

  func comparePoll(_ d: UInt64, _ v: UInt64, _ p: UInt64) throws(Divergence) {
    guard let domain = names.machineDomain(d) else { return }
    let expected = simulator[model.polled + model.vcpuPort(d, v, p)] == 1
    if inner.polls(EventPort(UInt32(p)), by: Int(v), of: domain) != expected {
      throw oracle.divergence(
        at: "vCPU \(v) of domain \(domain)", "it \(expected ? "does not poll" : "polls") port \(p)")
    }
  }

  /// Compares all that the implementation remembers.
  func compareRemembered() throws(Divergence) {
    for name in 0..<model.domains {
      guard let domain = names.machineDomain(UInt64(name)) else { continue }
      let d = UInt64(name)
      if inner.isThere(domain) != isThere(d) {
        throw oracle.divergence(at: "domain \(domain)", "it is\(isThere(d) ? " not" : "") there")
      }
      guard let home = homes[name] else { continue }
      try comparePorts(d, of: domain, count: home.portCount)
      for v in home.infos.indices { try compareVirtualCPU(d, UInt64(v), domain) }
    }
  }

  /// The words of a domain's ports, one after the other: a word's number, its first port, and how many it has.
  private func forEachWord(_ body: (_ word: Int, _ first: UInt64, _ count: Int) throws(Divergence) -> Void)
    throws(Divergence)
  {
    for first in stride(from: 0, to: model.ports, by: 64) {
      try body(first / 64, UInt64(first), min(64, model.ports - first))
    }
  }

  /// Compares all ports of a domain. Of those that are closed on both sides there is nothing to compare.
  private func comparePorts(_ d: UInt64, of domain: DomainID, count: Int) throws(Divergence) {
    try forEachWord { (word, first, size) throws(Divergence) in
      let place = model.port(d, first)
      let used =
        inner.usedPorts(word, of: domain) | simulator.bits(model.kind + place, count: size)
        | simulator.bits(model.channelVCPU + place, count: size)
      try forEachBit(used, below: size) { (bit) throws(Divergence) in try comparePort(d, first + bit) }
    }
    // How many there are.
    for p in count - 1...count where p < model.ports { try comparePort(d, UInt64(p)) }
  }

  private func forEachBit(_ bits: UInt64, below size: Int, _ body: (UInt64) throws(Divergence) -> Void)
    throws(Divergence)
  {
    var rest = bits & (UInt64.max >> UInt64(64 - size))
    while rest != 0 {
      try body(UInt64(rest.trailingZeroBitCount))
      rest &= rest - 1
    }
  }

  private func compareVirtualCPU(_ d: UInt64, _ v: UInt64, _ domain: DomainID) throws(Divergence) {
    if inner.isReady(Int(v), of: domain) != isReady(d, v) {
      throw oracle.divergence(
        at: "vCPU \(v) of domain \(domain)", "it is\(isReady(d, v) ? " not" : "") registered")
    }
    // Of those without a port on both sides there is nothing to compare.
    let ports = model.interruptPorts + model.vcpuInterrupt(d, v, 0)
    let bound =
      UInt64(inner.boundInterrupts(on: Int(v), of: domain)) | simulator.bits(ports, count: model.interrupts)
    try forEachBit(bound, below: model.interrupts) { (number) throws(Divergence) in
      try compareInterrupt(d, v, number)
    }
    // What a running host's vCPUs poll is compared when they do.
    guard model.ports <= 256 else { return }
    try forEachWord { (word, first, size) throws(Divergence) in
      let expected = simulator.bits(model.polled + model.vcpuPort(d, v, first), count: size)
      let differing = inner.polledPorts(word, by: Int(v), of: domain) ^ expected
      try forEachBit(differing, below: size) { (bit) throws(Divergence) in
        try comparePoll(d, v, first + bit)
      }
    }
  }

  /// Compares the words in memory.
  func compareWords(_ world: EventsWorld) throws(Divergence) {
    for name in world.ids.indices where homes[name] != nil {
      let d = UInt64(name)
      try forEachDifference(name, world) { (p, pending, masked) throws(Divergence) in
        let place = model.port(d, p)
        try compareBit(pending, simulator[model.pending + place], "pending", d, "port", p)
        try compareBit(masked, simulator[model.mask + place], "masked", d, "port", p)
      }
      for v in 0..<UInt64(world.vcpus) where isReady(d, v) {
        let place = model.vcpu(d, v)
        let info = world.info(name, Int(v))
        try compareBit(info.upcall, simulator[model.upcall + place], "told of an up-call", d, "vCPU", v)
        try compareBit(info.isMasked, simulator[model.isMasked + place], "masked", d, "vCPU", v)
        for p in stride(from: 0, to: model.ports, by: 64) {
          let isSelected = simulator[model.selector + model.vcpuPort(d, v, UInt64(p))]
          let found = info.selector >> UInt64(p / 64) & 1 != 0
          try compareBit(found, isSelected, "told of word \(p / 64)", d, "vCPU", v)
        }
      }
    }
  }

  /// The ports whose bits in memory are not the specification's, with those in memory.
  private func forEachDifference(
    _ name: Int, _ world: EventsWorld,
    _ body: (_ port: UInt64, _ isPending: Bool, _ isMasked: Bool) throws(Divergence) -> Void
  ) throws(Divergence) {
    try forEachWord { (word, first, size) throws(Divergence) in
      let place = model.port(UInt64(name), first)
      let (pending, masked) = (world.pending(name, word), world.masked(name, word))
      var differing =
        (pending ^ simulator.bits(model.pending + place, count: size))
        | (masked ^ simulator.bits(model.mask + place, count: size))
      // Port 0 is none.
      if first == 0 { differing &= ~1 }
      try forEachBit(differing, below: size) { (bit) throws(Divergence) in
        try body(first + bit, pending >> bit & 1 != 0, masked >> bit & 1 != 0)
      }
    }
  }

  private func compareBit(
    _ found: Bool, _ expected: UInt64, _ what: String, _ d: UInt64, _ kind: String, _ number: UInt64
  ) throws(Divergence) {
    if found != (expected == 1) {
      throw oracle.divergence(
        at: "\(kind) \(number) of domain \(d)", "it is\(found ? "" : " not") \(what)")
    }
  }

  /// Tells the specification what guests have stored meanwhile: all that lies in memory.
  func readWords(_ world: EventsWorld) throws(Divergence) {
    for name in world.ids.indices where homes[name] != nil {
      let d = UInt64(name)
      try forEachDifference(name, world) { (p, pending, masked) throws(Divergence) in
        try feedPending(d, p, pending ? 1 : 0)
        try feedMask(d, p, masked ? 1 : 0)
      }
      for v in 0..<UInt64(world.vcpus) where isReady(d, v) {
        let info = world.info(name, Int(v))
        try feedUpcall(d, v, pending: info.upcall ? 1 : 0, isMasked: info.isMasked ? 1 : 0)
        for p in stride(from: 0, to: UInt64(model.ports), by: 64) {
          let value = info.selector >> (p / 64) & 1
          if simulator[model.selector + model.vcpuPort(d, v, p)] != value {
            try oracle.take(model.storeSelector, [d, v, p, value])
          }
        }
      }
    }
  }
}
