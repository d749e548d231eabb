// SPDX-License-Identifier: Apache-2.0
//
// Event channels that carry the specification along. Each operation is made on the implementation, whose accesses to
// shared words, and kicks, are remembered in their order. Then the specification takes the same step, told first what
// the implementation read, for guests may have stored to the words at any time; and goes on to tell of the event, step
// by step: each step of it must be the access that comes next. Nothing may be left over.
//
// Room for ports is made in the specification when they are named first, and all of it before an operation may answer
// that there is none.

import Interfaces
import Logic
import Machines
import Specs

private let kinds = Cases<ChannelKind>()

/// Where a domain's words lie.
struct EventHome {
  var sharedInfo: UnsafeMutableRawPointer
  var portCount: Int
  /// What each vCPU shares; nil for one that is not registered.
  var infos: [UnsafeMutableRawPointer?]
}

/// Event channels followed by their specification.
public final class FollowedEventPorts: EventPorts {
  let inner: any InspectableEventPorts
  let tap: EventTap
  let model: EventsModel
  let oracle: Oracle
  var names: EventNames
  /// By name.
  var homes: [EventHome?]

  /// The first difference; from then on nothing is compared any more.
  public private(set) var divergence: Divergence?
  /// Told of the first difference.
  var onDivergence: (Divergence) -> Void = { _ in }
  /// Told of every operation made until then: whether it was compared.
  var onCall: (Bool) -> Void = { _ in }

  /// Whether there was more than the model has: from then on nothing is compared.
  var isOutgrown = false
  /// How many of the accesses of the operation under way have been followed.
  private var followed = 0

  /// - Parameter tap: the one through which `inner` makes its accesses.
  init(
    _ inner: any InspectableEventPorts, tap: EventTap, model: EventsModel, names: EventNames, oracle: Oracle
  ) {
    self.inner = inner
    self.tap = tap
    self.model = model
    self.names = names
    self.oracle = oracle
    homes = Array(repeating: nil, count: model.domains)
  }

  var simulator: Simulator { oracle.simulator }

  /// Compares an operation that has been made.
  func check(_ body: () throws(Divergence) -> Void) {
    guard divergence == nil else { return }
    if isOutgrown { return onCall(false) }
    do throws(Divergence) {
      followed = 0
      try body()
      if followed < tap.accesses.count { throw surplus }
      onCall(true)
    } catch {
      divergence = error
      onDivergence(error)
    }
  }

  private var surplus: Divergence {
    let access = tap.accesses[followed]
    return oracle.divergence(at: access.description, "the specification does no such thing here")
  }

  // MARK: Following accesses

  /// The access that comes next, if it is the one.
  private func next(_ kind: EventAccess.Kind, _ d: UInt64, _ number: UInt64) -> EventAccess? {
    guard followed < tap.accesses.count else { return nil }
    let access = tap.accesses[followed]
    guard access.kind == kind, access.number == Int(number), access.domain == names.machineDomain(d) else {
      return nil
    }
    return access
  }

  /// Follows an access that must come next.
  /// - Returns: its value.
  @discardableResult
  func expect(_ kind: EventAccess.Kind, _ d: UInt64, _ number: UInt64) throws(Divergence) -> UInt64 {
    guard let access = next(kind, d, number) else {
      let wanted = EventAccess(
        kind: kind, domain: names.machineDomain(d) ?? DomainID(.max), number: Int(number))
      if followed < tap.accesses.count {
        throw oracle.divergence(
          at: wanted.description, "it does \(tap.accesses[followed].description) instead")
      }
      throw oracle.divergence(at: wanted.description, "it does nothing more")
    }
    let home = homes[Int(d)]
    let memory =
      switch kind {
      case .raise, .clear, .clearWord, .unmask, .isPending, .isMasked: home?.sharedInfo
      case .select, .notify, .isUpcallPending, .isUpcallMasked, .maskUpcalls: home?.infos[Int(number)]
      case .kick: nil as UnsafeMutableRawPointer?
      }
    guard access.memory == memory else {
      throw oracle.divergence(at: access.description, "it is made where the domain has no such thing")
    }
    followed += 1
    return access.value
  }

  /// The vCPUs of a domain that are kicked, a bit each.
  func kicked(_ d: UInt64) -> UInt64 {
    var bits: UInt64 = 0
    let first = model.isKicked + model.vcpu(d, 0)
    for v in 0..<model.vcpus where simulator.registers[first + v] != 0 { bits |= 1 &<< UInt64(v) }
    return bits
  }

  /// Follows kicks of a domain's vCPUs: of each that is kicked since `before`, and of none that is not kicked.
  func followKicks(_ d: UInt64, before: UInt64) throws(Divergence) {
    let after = kicked(d)
    var made: UInt64 = 0
    while followed < tap.accesses.count, tap.accesses[followed].kind == .kick,
      tap.accesses[followed].domain == names.machineDomain(d), tap.accesses[followed].number < model.vcpus,
      after & 1 &<< UInt64(tap.accesses[followed].number) != 0
    {
      made |= 1 &<< UInt64(tap.accesses[followed].number)
      followed += 1
    }
    let missing = after & ~before & ~made
    if missing != 0 { try expect(.kick, d, UInt64(missing.trailingZeroBitCount)) }
  }

  /// Follows the clearing of all words of a domain's ports, in any order.
  func followClearing(_ d: UInt64) throws(Divergence) {
    let count = ((homes[Int(d)]?.portCount ?? 0) + 63) / 64
    var missing: UInt64 = count == 64 ? .max : 1 &<< UInt64(count) &- 1
    while followed < tap.accesses.count, tap.accesses[followed].kind == .clearWord {
      let port = tap.accesses[followed].number
      try expect(.clearWord, d, UInt64(port))
      missing &= ~(1 &<< UInt64(port / 64))
    }
    if missing != 0 { try expect(.clearWord, d, UInt64(missing.trailingZeroBitCount * 64)) }
  }

  // MARK: The specification's side

  func take(_ action: Int, _ arguments: [UInt64], _ status: EventStatus) throws(Divergence) {
    try oracle.take(action, arguments, expecting: [EventsModel.result(status)])
  }

  func expect<T: Equatable>(_ found: T, _ expected: T, at step: String) throws(Divergence) {
    if found != expected {
      throw oracle.divergence(at: step, "it answers \(found), it should be \(expected)")
    }
  }

  func isThere(_ d: UInt64) -> Bool { simulator[model.isThere + Int(d)] == 1 }
  func isReady(_ d: UInt64, _ v: UInt64) -> Bool { simulator[model.isReady + model.vcpu(d, v)] == 1 }
  func kind(_ d: UInt64, _ p: UInt64) -> ChannelKind {
    kinds[simulator[model.kind + model.port(d, p)]]
  }
  func isNumber(_ d: UInt64, _ p: UInt64) -> Bool { p != 0 && Int(p) < homes[Int(d)]?.portCount ?? 0 }

  /// Tells the specification what was read: its domain may have stored it at any time before.
  func feedPending(_ d: UInt64, _ p: UInt64, _ value: UInt64) throws(Divergence) {
    if simulator[model.pending + model.port(d, p)] != value {
      try oracle.take(model.storePending, [d, p, value])
    }
  }

  func feedMask(_ d: UInt64, _ p: UInt64, _ value: UInt64) throws(Divergence) {
    if simulator[model.mask + model.port(d, p)] != value { try oracle.take(model.storeMask, [d, p, value]) }
  }

  func feedUpcall(_ d: UInt64, _ v: UInt64, pending: UInt64? = nil, isMasked: UInt64? = nil)
    throws(Divergence)
  {
    let place = model.vcpu(d, v)
    let old = (simulator[model.upcall + place], simulator[model.isMasked + place])
    let new = (pending ?? old.0, isMasked ?? old.1)
    if old != new { try oracle.take(model.storeUpcall, [d, v, new.0, new.1]) }
  }

  /// Makes room for a port that the domain has, before it is named.
  func grow(_ d: UInt64, _ p: UInt64) throws(Divergence) {
    guard isThere(d), isNumber(d, p), simulator[model.exists + model.port(d, p)] == 0 else { return }
    try oracle.take(model.grow, [d, p])
  }

  /// The port that the specification is to choose for a binding.
  func chosenPort(_ bound: EventBound, _ d: UInt64) throws(Divergence) -> UInt64 {
    let count = UInt64(homes[Int(d)]?.portCount ?? 1)
    if bound.status == .okay {
      try grow(d, names.port(bound.port))
      return names.port(bound.port)
    }
    try expect(bound.port, EventPort(0), at: "a binding that fails")
    if bound.status == .noSpace {
      for p in 1..<max(count, 1) { try grow(d, p) }
      return 0
    }
    guard isThere(d), let free = (1..<count).first(where: { kind(d, $0) == .closed }) else { return 0 }
    try grow(d, free)
    return free
  }
}
