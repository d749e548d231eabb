// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// One access to words that event channels share with guests, or a kick.
struct EventAccess {
  enum Kind {
    case raise, clear, clearWord, unmask, isPending, isMasked
    case select, notify, isUpcallPending, isUpcallMasked, maskUpcalls
    case kick
  }

  var kind: Kind
  var domain: DomainID
  /// The port, or the vCPU.
  var number: Int
  /// What it found, 0 or 1; the words that it selects.
  var value: UInt64 = 0
  /// The domain's `shared_info`, or the vCPU's `vcpu_info`; nil for a kick.
  var memory: UnsafeMutableRawPointer?

  var description: String {
    switch kind {
    case .raise, .clear, .clearWord, .unmask, .isPending, .isMasked:
      "\(kind) of port \(number) of domain \(domain)"
    default: "\(kind) of vCPU \(number) of domain \(domain)"
    }
  }
}

/// Makes the real accesses to event words, and remembers those of the operation under way, and its kicks.
public final class EventTap {
  private(set) var accesses: [EventAccess] = []
  /// Called before each access: a guest may store here.
  var meddle: (() -> Void)?
  private let words = SharedEventWords()

  public init() {}

  /// A new operation begins.
  func begin() { accesses.removeAll(keepingCapacity: true) }

  fileprivate func note(_ kind: EventAccess.Kind, _ place: EventPlace, found: Bool = false) {
    accesses.append(
      EventAccess(
        kind: kind, domain: place.domain, number: Int(place.port.rawValue), value: found ? 1 : 0,
        memory: place.sharedInfo))
  }

  fileprivate func note(_ kind: EventAccess.Kind, _ place: UpcallPlace, _ value: UInt64 = 0) {
    accesses.append(
      EventAccess(
        kind: kind, domain: place.domain, number: place.vcpu, value: value, memory: place.info))
  }

  fileprivate func noteKick(_ vcpu: Int, of domain: DomainID) {
    accesses.append(EventAccess(kind: .kick, domain: domain, number: vcpu))
  }

  fileprivate func access<Result>(_ body: (SharedEventWords) -> Result) -> Result {
    meddle?()
    return body(words)
  }
}

/// Accesses to event words by way of a tap.
public struct TappedEventWords: EventWordAccess {
  public let tap: EventTap

  public init(_ tap: EventTap) { self.tap = tap }

  private func note(_ kind: EventAccess.Kind, _ place: EventPlace, _ body: (SharedEventWords) -> Bool) -> Bool
  {
    let found = tap.access(body)
    tap.note(kind, place, found: found)
    return found
  }

  private func note(_ kind: EventAccess.Kind, _ place: UpcallPlace, _ body: (SharedEventWords) -> Bool)
    -> Bool
  {
    let found = tap.access(body)
    tap.note(kind, place, found ? 1 : 0)
    return found
  }

  public func raise(_ place: EventPlace) -> Bool { note(.raise, place) { $0.raise(place) } }
  public func clear(_ place: EventPlace) {
    tap.access { $0.clear(place) }
    tap.note(.clear, place)
  }
  public func clearWord(_ place: EventPlace) {
    tap.access { $0.clearWord(place) }
    tap.note(.clearWord, place)
  }
  public func unmask(_ place: EventPlace) -> Bool { note(.unmask, place) { $0.unmask(place) } }
  public func isPending(_ place: EventPlace) -> Bool { note(.isPending, place) { $0.isPending(place) } }
  public func isMasked(_ place: EventPlace) -> Bool { note(.isMasked, place) { $0.isMasked(place) } }

  public func select(_ words: UInt64, _ place: UpcallPlace) {
    tap.access { $0.select(words, place) }
    tap.note(.select, place, words)
  }
  public func notify(_ place: UpcallPlace) -> Bool { note(.notify, place) { $0.notify(place) } }
  public func isUpcallPending(_ place: UpcallPlace) -> Bool {
    note(.isUpcallPending, place) { $0.isUpcallPending(place) }
  }
  public func isUpcallMasked(_ place: UpcallPlace) -> Bool {
    note(.isUpcallMasked, place) { $0.isUpcallMasked(place) }
  }
  public func maskUpcalls(_ place: UpcallPlace) {
    tap.access { $0.maskUpcalls(place) }
    tap.note(.maskUpcalls, place)
  }
}

/// A domain's recipient, whose kicks are remembered.
final class TappedRecipient: EventRecipient {
  private let inner: any EventRecipient
  private let domain: DomainID
  private let tap: EventTap

  init(_ inner: any EventRecipient, _ domain: DomainID, _ tap: EventTap) {
    self.inner = inner
    self.domain = domain
    self.tap = tap
  }

  func kick(_ vcpu: Int) {
    tap.noteKick(vcpu, of: domain)
    inner.kick(vcpu)
  }
  func stir() { inner.stir() }
}

/// How event channels that are followed are made: the optimised ones, or ones with a bug planted in them.
public struct EventsMaker: Sendable {
  let make: @Sendable (TappedEventWords) -> any InspectableEventPorts

  public init(_ make: @escaping @Sendable (TappedEventWords) -> any InspectableEventPorts) {
    self.make = make
  }

  public static let optimised = EventsMaker { EventMachine(words: $0) }
}
