// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension FollowedGrantTables {
  public func transfer(
    _ frame: MachineFrame, to receiver: DomainID, _ reference: GrantReference, by caller: DomainID
  ) -> GrantStatus {
    begin()
    let status = inner.transfer(frame, to: receiver, reference, by: caller)
    check([caller, receiver]) { () throws(Divergence) in
      let (c, d) = (names.domain(caller), names.domain(receiver))
      let (f, r) = (names.frame(frame), names.reference(reference))
      try sync(frame)
      if frames.isHeld, simulator[model.useCount + Int(f)] == 0, simulator[model.life + Int(c)] == running {
        // Somebody else holds it, of whom the grant tables know nothing.
        return try expect(status, .badPage, at: "transfer")
      }
      let claim = try onlyClaim(of: receiver, reference)
      try feed(claim, d, r)
      try take(model.transfer, [c, f, d, r], status, claim)
      try compareOwner(frame, frames.lastOwner(of: frame))
    }
    return status
  }
}
