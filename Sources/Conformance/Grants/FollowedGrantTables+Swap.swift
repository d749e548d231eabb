// SPDX-License-Identifier: Apache-2.0

import Interfaces

extension FollowedGrantTables {
  public func swap(_ a: GrantReference, _ b: GrantReference, by caller: DomainID) -> GrantStatus {
    begin()
    let status = inner.swap(a, b, by: caller)
    check([caller]) { () throws(Divergence) in
      let c = names.domain(caller)
      for claim in tap.claims {
        guard claim.place.granter == caller, [a, b].contains(claim.place.reference) else {
          throw oracle.divergence(at: "swap", "it reads another entry than the call names")
        }
        try feed(claim, c, names.reference(claim.place.reference))
      }
      try oracle.take(
        model.swap, [c, names.reference(a), names.reference(b)], expecting: [GrantsModel.result(status)])
    }
    return status
  }
}
