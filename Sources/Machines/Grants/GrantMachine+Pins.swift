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
  /// Begins a use of an entry, and takes a reference on its frame.
  ///
  /// The entry is read only when it must newly give leave: for its first use, and for its first use that writes.
  /// From the first use to the last, frame and grantee are those recorded; what the guest writes meanwhile does
  /// not matter (XSA-226).
  func pin(
    _ reference: GrantReference, of granter: GrantDomain, for grantee: DomainID, _ use: GrantUse
  ) -> PinOutcome {
    guard let place = granter.place(of: reference) else { return .failure(.badReference) }
    var active = granter.active[Int(reference.rawValue)]
    let before = active.pins
    guard before.isEmpty || active.domain == grantee else { return .failure(.generalError) }
    guard let after = before.adding(use) else { return .failure(.generalError) }

    if after.flags != before.flags {
      guard claim(place, for: grantee, flags: after.flags) else { return .failure(.generalError) }
    }
    if before.isEmpty {
      active.domain = grantee
      active.frame = MachineFrame(UInt64(entries.loadFrame(place)))
    }
    guard frames.retain(active.frame, ownedBy: granter.id) else {
      withdraw(from: place, keeping: before)
      return .failure(.generalError)
    }
    active.pins = after
    granter.active[Int(reference.rawValue)] = active
    return .success(active.frame)
  }

  /// Ends a use of an entry that `pin` began. The reference on the frame remains.
  func unpin(_ reference: GrantReference, of granter: GrantDomain, _ use: GrantUse) {
    let after = granter.active[Int(reference.rawValue)].pins.removing(use)
    granter.active[Int(reference.rawValue)].pins = after
    guard let place = granter.place(of: reference) else { return }
    withdraw(from: place, keeping: after)
  }

  /// Checks that an entry lets a domain do what `flags` say, and sets them, at one moment.
  ///
  /// A guest that keeps changing the entry only makes its own grant fail.
  private func claim(_ place: GrantPlace, for grantee: DomainID, flags: GrantFlags) -> Bool {
    exchange(place, adding: flags) { word in
      word.flags.intersection(.typeMask) == .permitAccess && word.domain == grantee
        && !(flags.contains(.writing) && word.flags.contains(.readOnly))
    }
  }

  /// Adds flags to an entry that satisfies a condition; false if it does not, or does not hold still.
  func exchange(
    _ place: GrantPlace, adding flags: GrantFlags, if condition: (GrantWord) -> Bool
  ) -> Bool {
    var word = entries.load(place)
    for _ in 0..<attemptsAtUnstableEntry {
      guard condition(word) else { return false }
      let outcome = entries.compareExchange(place, expected: word, desired: word.adding(flags))
      if outcome.exchanged { return true }
      word = outcome.original
    }
    return false
  }

  /// Clears the flags that the remaining pins do not call for.
  private func withdraw(from place: GrantPlace, keeping pins: GrantPins) {
    let idle = GrantFlags.inUse.subtracting(pins.flags)
    if !idle.isEmpty { entries.clear(idle, at: place) }
  }
}
