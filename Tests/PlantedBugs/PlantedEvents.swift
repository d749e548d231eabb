// SPDX-License-Identifier: Apache-2.0
//
// Event channels with bugs planted in them, for the drivers to find: the optimised ones, behind words, recipients or
// calls that do one thing wrong.

import Conformance
import Interfaces
import Machines

/// What planted event channels do wrong.
public enum EventBug: Int, CaseIterable, Sendable {
  /// The up-call is made pending before the word is selected: a guest that is quick finds nothing.
  case notifyBeforeSelect
  /// A vCPU that masks up-calls is not kicked.
  case kickDroppedWhileMasked
  /// No vCPU is ever kicked.
  case kickDropped
  /// A port that is opened or closed keeps an event of its past.
  case pendingKept
  /// So do the ports that a reset closes.
  case pendingKeptByReset
  /// A port that is pending already is told of again.
  case toldAgain
  /// A port is told of although it is masked.
  case maskIgnored
  /// The word beside the port's is selected.
  case wrongWord
  /// A virtual interrupt's port can be sent to.
  case interruptSent
  /// A poll sleeps although the port is pending.
  case pollSleeps
  /// Up-calls are not masked while one is made.
  case upcallsUnmasked

  /// The optimised event channels with the bug.
  public var maker: EventsMaker {
    EventsMaker { words in
      PlantedEventPorts(EventMachine(words: PlantedWords(words, self)), self)
    }
  }
}

private final class PlantedWords: EventWordAccess {
  private let inner: TappedEventWords
  private let bug: EventBug
  /// What an up-call that was made pending too early was.
  private var wasPending = false

  init(_ inner: TappedEventWords, _ bug: EventBug) {
    self.inner = inner
    self.bug = bug
  }

  func raise(_ place: EventPlace) -> Bool {
    let wasPending = inner.raise(place)
    return bug == .toldAgain ? false : wasPending
  }
  func clear(_ place: EventPlace) { if bug != .pendingKept { inner.clear(place) } }
  func clearWord(_ place: EventPlace) { if bug != .pendingKeptByReset { inner.clearWord(place) } }
  func unmask(_ place: EventPlace) -> Bool { inner.unmask(place) }
  func isPending(_ place: EventPlace) -> Bool { inner.isPending(place) }
  func isMasked(_ place: EventPlace) -> Bool {
    let isMasked = inner.isMasked(place)
    return bug == .maskIgnored ? false : isMasked
  }
  func select(_ words: UInt64, _ place: UpcallPlace) {
    if bug == .notifyBeforeSelect { wasPending = inner.notify(place) }
    inner.select(bug == .wrongWord && words != .max ? words << 1 : words, place)
  }
  func notify(_ place: UpcallPlace) -> Bool {
    if bug == .notifyBeforeSelect { return wasPending }
    let isMasked = bug == .kickDroppedWhileMasked && SharedEventWords().isUpcallMasked(place)
    return inner.notify(place) || isMasked
  }
  func isUpcallPending(_ place: UpcallPlace) -> Bool { inner.isUpcallPending(place) }
  func isUpcallMasked(_ place: UpcallPlace) -> Bool { inner.isUpcallMasked(place) }
  func maskUpcalls(_ place: UpcallPlace) { if bug != .upcallsUnmasked { inner.maskUpcalls(place) } }
}

private final class SilentRecipient: EventRecipient {
  private let inner: any EventRecipient

  init(_ inner: any EventRecipient) { self.inner = inner }

  func kick(_ vcpu: Int) {}
  func stir() { inner.stir() }
}

private final class PlantedEventPorts: InspectableEventPorts {
  private let inner: any InspectableEventPorts
  private let bug: EventBug

  init(_ inner: any InspectableEventPorts, _ bug: EventBug) {
    self.inner = inner
    self.bug = bug
  }

  private func planted(_ recipient: any EventRecipient) -> any EventRecipient {
    bug == .kickDropped ? SilentRecipient(recipient) : recipient
  }

  func addDomain(
    _ domain: DomainID, sharedInfo: UnsafeMutableRawPointer, portCount: Int, virtualCPUCount: Int,
    recipient: any EventRecipient
  ) -> EventStatus {
    inner.addDomain(
      domain, sharedInfo: sharedInfo, portCount: portCount, virtualCPUCount: virtualCPUCount,
      recipient: planted(recipient))
  }
  func restore(_ views: [EventDomainView?]) {
    inner.restore(
      views.map { view in
        guard var view else { return nil }
        view.recipient = planted(view.recipient)
        return view
      })
  }
  func send(_ port: EventPort, by domain: DomainID) -> EventStatus {
    if bug == .interruptSent, case .virtualInterrupt = inner.port(port, of: domain)?.binding { return .okay }
    return inner.send(port, by: domain)
  }
  func poll(_ port: EventPort, by vcpu: Int, of domain: DomainID) -> Bool {
    let isAwake = inner.poll(port, by: vcpu, of: domain)
    return bug == .pollSleeps ? false : isAwake
  }

  func removeDomain(_ domain: DomainID) { inner.removeDomain(domain) }
  func register(_ vcpu: Int, of domain: DomainID, info: UnsafeMutableRawPointer) -> EventStatus {
    inner.register(vcpu, of: domain, info: info)
  }
  func allocateUnbound(_ domain: DomainID, remote: DomainID) -> EventBound {
    inner.allocateUnbound(domain, remote: remote)
  }
  func bindInterdomain(_ domain: DomainID, remote: DomainID, remotePort: EventPort) -> EventBound {
    inner.bindInterdomain(domain, remote: remote, remotePort: remotePort)
  }
  func bindVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID) -> EventBound {
    inner.bindVirtualInterrupt(number, on: vcpu, of: domain)
  }
  func bindInterprocessor(on vcpu: Int, of domain: DomainID) -> EventBound {
    inner.bindInterprocessor(on: vcpu, of: domain)
  }
  func bindVirtualCPU(_ port: EventPort, to vcpu: Int, of domain: DomainID) -> EventStatus {
    inner.bindVirtualCPU(port, to: vcpu, of: domain)
  }
  func raiseVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID) {
    inner.raiseVirtualInterrupt(number, on: vcpu, of: domain)
  }
  func unmask(_ port: EventPort, of domain: DomainID) -> EventStatus { inner.unmask(port, of: domain) }
  func close(_ port: EventPort, of domain: DomainID) -> EventStatus { inner.close(port, of: domain) }
  func status(of port: EventPort, in domain: DomainID) -> (status: EventStatus, state: EventPortState) {
    inner.status(of: port, in: domain)
  }
  func reset(_ domain: DomainID) -> EventStatus { inner.reset(domain) }
  func resume(_ vcpu: Int, of domain: DomainID) -> Bool { inner.resume(vcpu, of: domain) }

  func isThere(_ domain: DomainID) -> Bool { inner.isThere(domain) }
  func port(_ port: EventPort, of domain: DomainID) -> EventPortState? { inner.port(port, of: domain) }
  func interruptPort(_ number: UInt32, on vcpu: Int, of domain: DomainID) -> EventPort? {
    inner.interruptPort(number, on: vcpu, of: domain)
  }
  func boundInterrupts(on vcpu: Int, of domain: DomainID) -> UInt32 {
    inner.boundInterrupts(on: vcpu, of: domain)
  }
  func isReady(_ vcpu: Int, of domain: DomainID) -> Bool { inner.isReady(vcpu, of: domain) }
  func polledPorts(_ word: Int, by vcpu: Int, of domain: DomainID) -> UInt64 {
    inner.polledPorts(word, by: vcpu, of: domain)
  }
  func usedPorts(_ word: Int, of domain: DomainID) -> UInt64 { inner.usedPorts(word, of: domain) }
}
