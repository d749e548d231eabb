// SPDX-License-Identifier: Apache-2.0

import Interfaces

extension GrantMachine {
  public func swap(_ a: GrantReference, _ b: GrantReference, by caller: DomainID) -> GrantStatus {
    guard let caller = living(caller) else { return .badDomain }
    guard let first = caller.place(of: a), let second = caller.place(of: b) else { return .badReference }
    guard caller.active[Int(a.rawValue)].pins.isEmpty, caller.active[Int(b.rawValue)].pins.isEmpty else {
      return .tryAgain
    }
    if a == b { return .okay }
    let (firstWord, firstFrame) = (entries.load(first), entries.loadFrame(first))
    let (secondWord, secondFrame) = (entries.load(second), entries.loadFrame(second))
    entries.replace(first, with: secondWord, frame: secondFrame)
    entries.replace(second, with: firstWord, frame: firstFrame)
    return .okay
  }
}
