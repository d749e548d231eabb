// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension FollowedGrantTables {
  public func copy(
    from source: GrantCopyEnd, at sourceOffset: Int, to destination: GrantCopyEnd, at destinationOffset: Int,
    count: Int, by caller: DomainID
  ) -> GrantStatus {
    begin()
    let status = inner.copy(
      from: source, at: sourceOffset, to: destination, at: destinationOffset, count: count, by: caller)
    check([caller] + [source, destination].compactMap(\.granter)) { () throws(Divergence) in
      let fits = { (offset: Int) in
        (0...frameSize).contains(count) && (0...frameSize - count).contains(offset)
      }
      let c = names.domain(caller)
      if simulator[model.life + Int(c)] == running, !(fits(sourceOffset) && fits(destinationOffset)) {
        return try expect(status, .badCopyArgument, at: "copy")
      }
      // A copy is its source, then its destination; both may ask the same entry, each once.
      var claims = tap.claims[...]
      if case .grant(let granter, let reference) = source {
        heldByCopy = reachedFrame(Int(names.domain(granter)), Int(names.reference(reference)))
      }
      if try end(source, writes: false, by: c, status, isLast: false, &claims) {
        if destination == source { for index in claims.indices { claims[index].isAgain = true } }
        _ = try end(destination, writes: true, by: c, status, isLast: true, &claims)
      }
      if let claim = claims.first {
        throw oracle.divergence(at: "copy", "it reads entry \(claim.place.reference) without need")
      }
    }
    return status
  }

  /// Follows one end of a copy.
  /// - Returns: whether the copy goes on after it.
  private func end(
    _ end: GrantCopyEnd, writes: Bool, by c: UInt64, _ status: GrantStatus, isLast: Bool,
    _ claims: inout ArraySlice<GrantTap.Claim>
  ) throws(Divergence) -> Bool {
    let action: Int
    let arguments: [UInt64]
    var claim: GrantTap.Claim?
    switch end {
    case .frame(let frame) where frame.rawValue >= UInt64(names.own(model.frames)):
      // The model does not have the frame; the rule is the same.
      let isOwn = frames.takeOwner(of: frame).map(names.domain) == c
      let answer: GrantStatus =
        simulator[model.life + Int(c)] != running ? .badDomain : isOwn ? .okay : .badPage
      if answer != .okay || isLast { try expect(status, answer, at: "copy") }
      return answer == .okay && !isLast
    case .frame(let frame):
      try sync(frame)
      (action, arguments) = (model.copyThroughFrame, [c, names.frame(frame)])
    case .grant(let granter, let reference):
      let (d, r) = (names.domain(granter), names.reference(reference))
      if let next = claims.first, next.place.granter == granter, next.place.reference == reference,
        consults(d, r, writes: writes)
      {
        claim = claims.removeFirst()
      }
      try feed(claim, d, r)
      (action, arguments) = (model.copyThroughGrant, [c, d, r, writes ? 1 : 0])
    }
    let goesOn = !isLast && peek(action, arguments) == .okay
    try take(action, arguments, goesOn ? .okay : status, claim)
    return goesOn
  }

  /// Whether the last reference that the destination of a copy could have had is held by its source. In the
  /// specification each end of a copy is over before the next.
  func isHeldByCopy(_ arguments: [UInt64]) -> Bool {
    guard let heldByCopy, arguments.count == 4, arguments[3] == 1 else { return false }
    return reachedFrame(Int(arguments[1]), Int(arguments[2])) == heldByCopy
      && useCount(Int(heldByCopy)) + 1 == model.largestUse
  }
}

extension GrantCopyEnd {
  /// The domain whose grant it is.
  fileprivate var granter: DomainID? {
    if case .grant(let granter, _) = self { granter } else { nil }
  }
}
