// SPDX-License-Identifier: Apache-2.0

import Interfaces

@testable import Devices

/// A guest's one open port, 5.
final class FakePort: @unchecked Sendable {
  private(set) var isBound = false

  func bind(_ port: EventPort, _ witness: BlockWitness) -> DeviceBus.Channel? {
    guard port == EventPort(5), !isBound else { return nil }
    isBound = true
    return DeviceBus.Channel(
      notify: { [self] in
        if !isBound { witness.complain("an event is sent over a channel that was let go of") }
        witness.ring?.owesEvent = false
      },
      close: { [self] in isBound = false })
  }
}
