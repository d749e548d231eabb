// SPDX-License-Identifier: Apache-2.0

import Interfaces

extension GrantMachine {
  public func transfer(
    _ frame: MachineFrame, to receiver: DomainID, _ reference: GrantReference, by caller: DomainID
  ) -> GrantStatus {
    guard living(caller) != nil else { return .badDomain }
    guard frames.owner(of: frame) == caller, frames.isUnused(frame) else { return .badPage }
    guard receiver != caller, let receiver = living(receiver) else { return .badDomain }
    guard let place = receiver.place(of: reference) else { return .badReference }
    // An entry's frame field is 32 bits wide.
    guard let number = UInt32(exactly: frame.rawValue) else { return .addressTooBig }

    let committed = exchange(place, adding: .transferCommitted) { word in
      word.flags.intersection(.transferState) == .acceptTransfer
        && word.domain == caller
    }
    guard committed != nil else { return .generalError }
    guard frames.transfer(frame, from: caller, to: receiver.id) else {
      entries.clear(.transferCommitted, at: place)
      return .badPage
    }
    // In this order: whoever sees the transfer completed sees the frame.
    entries.storeFrame(number, at: place)
    entries.set(.transferCompleted, at: place)
    return .okay
  }
}
