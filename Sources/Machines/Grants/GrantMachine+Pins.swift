// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Either a frame that may now be used, or the status that says why not.
enum PinOutcome {
  case success(MachineFrame)
  case failure(GrantStatus)
}

/// How often an entry may change between our load and our exchange before we give up on it.
private let attemptsAtUnstableEntry = 4

extension GrantMachine {
  /// Begins a lasting use of an entry, and takes a reference on its frame.
  func pin(
    _ reference: GrantReference, of granter: GrantDomain, for grantee: DomainID, _ use: GrantUse
  ) -> PinOutcome {
    guard let place = granter.place(of: reference) else { return .failure(.badReference) }
    let index = Int(reference.rawValue)
    guard let pins = granter.active[index].pins.adding(use) else { return .failure(.generalError) }
    let outcome = reach(place, granter.active[index], for: grantee, writing: !use.readOnly)
    if case .success(let frame) = outcome {
      // Neither changes if the entry was pinned before.
      granter.active[index] = ActiveGrant(frame: frame, domain: grantee, pins: pins)
    }
    return outcome
  }

  /// Finds the frame that a grantee reaches through an entry, sets the flags that say so, and takes a reference.
  ///
  /// The entry is read only when it must newly give leave: for its first use, and for its first use that writes.
  /// From the first use to the last, frame and grantee are those recorded; what the guest writes meanwhile does
  /// not matter (XSA-226).
  func reach(
    _ place: GrantPlace, _ active: ActiveGrant, for grantee: DomainID, writing: Bool
  ) -> PinOutcome {
    let pins = active.pins
    guard pins.isEmpty || active.domain == grantee else { return .failure(.generalError) }
    var added: GrantFlags = []
    if pins.isEmpty || (writing && !pins.hasWrite) {
      guard let claimed = claim(place, for: grantee, flags: writing ? .inUse : .reading) else {
        return .failure(.generalError)
      }
      added = claimed
    }
    let frame = pins.isEmpty ? MachineFrame(UInt64(entries.loadFrame(place))) : active.frame
    guard frames.retain(frame, ownedBy: place.granter) else {
      if !added.isEmpty { entries.clear(added, at: place) }
      return .failure(.generalError)
    }
    return .success(frame)
  }

  /// Ends a use of an entry that `pin` began. The reference on the frame remains.
  func unpin(_ reference: GrantReference, of granter: GrantDomain, _ use: GrantUse) {
    let pins = granter.active[Int(reference.rawValue)].pins.removing(use)
    granter.active[Int(reference.rawValue)].pins = pins
    if let place = granter.place(of: reference) { withdraw(from: place, keeping: pins) }
  }

  /// Checks that an entry lets a domain do what `flags` say, and sets them, at one moment.
  /// - Returns: the flags that were not set before; nil if the entry does not let it.
  private func claim(_ place: GrantPlace, for grantee: DomainID, flags: GrantFlags) -> GrantFlags? {
    exchange(place, adding: flags) { word in
      word.flags.intersection(.typeMask) == .permitAccess && word.domain == grantee
        && !(flags.contains(.writing) && word.flags.contains(.readOnly))
    }
  }

  /// Adds flags to an entry that satisfies a condition.
  ///
  /// A guest that keeps changing the entry only makes its own grant fail.
  /// - Returns: the flags that were not set before; nil if the entry does not satisfy it, or does not hold still.
  func exchange(
    _ place: GrantPlace, adding flags: GrantFlags, if condition: (GrantWord) -> Bool
  ) -> GrantFlags? {
    var word = entries.load(place)
    for _ in 0..<attemptsAtUnstableEntry {
      guard condition(word) else { return nil }
      let outcome = entries.compareExchange(place, expected: word, desired: word.adding(flags))
      if outcome.exchanged { return flags.subtracting(word.flags) }
      word = outcome.original
    }
    return nil
  }

  /// Clears the flags that the remaining pins do not call for.
  func withdraw(from place: GrantPlace, keeping pins: GrantPins) {
    let idle = GrantFlags.inUse.subtracting(pins.flags)
    if !idle.isEmpty { entries.clear(idle, at: place) }
  }
}
