// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic

/// The state of a host's memory, and the definitions that the operations in `Balloon` are made of.
public class BalloonState: Machine {
  /// How many frames the host has: those numbered 0 ..< poolSize.
  @Var(anyOf: Pages.self) var poolSize: Pages
  /// Frames that nobody has.
  @Var(anyOf: Pages.self) var free: Pages
  /// The largest extent that is handed out, less one frame.
  @Var(anyOf: Extent.self) var limit: Extent

  @Var var life: Table<Choice<Life>, PoolDomain>
  @Var var frames: Table<PoolFrameState, PoolFrame>
  @Var var physical: Table<GuestMapping, Pair<PoolDomain, GuestPage>>
  /// The most frames that a domain may have (max_pages).
  @Var var maximum: Table<Pages, PoolDomain>
  /// How many frames it is asked to have.
  @Var var target: Table<Pages, PoolDomain>
  /// What it has been promised, and not yet taken.
  @Var var claimed: Table<Pages, PoolDomain>
  /// Frames that an exchange has taken out of it, and not yet replaced.
  @Var var owed: Table<Pages, PoolDomain>
  /// The frames that each domain owns (tot_pages).
  let owned = Census<PoolDomain, PoolFrame, PagesSort>()
  /// The frames of each domain that are in flight.
  let flying = Census<PoolDomain, PoolFrame, PagesSort>()
  /// All that is promised and not yet taken.
  let promised = Total<PoolDomainSort, PagesSort>()

  /// What a domain had when its maximum was set, or less, if it has had less since.
  @Ghost var allowed: Table<Pages, PoolDomain>
  /// The uses of each frame that were begun and have not ended.
  @Ghost var begun: Table<Word<FrameUsesSort>, PoolFrame>
  /// Which frames the hypervisor works with.
  @Ghost var entrusted: Table<Bit, PoolFrame>
  /// The largest extent handed out.
  @Ghost var largest: Extent

  // MARK: What the rules mean

  /// The frames that count against a domain's maximum: those it has, and those that an exchange owes it.
  func charge(_ d: PoolDomain) -> Pages { owned.count[d] + owed[d] }

  /// The frames that a domain may still be given, so that every claim of others stays covered.
  func available(to d: PoolDomain) -> Pages { free - (promised.sum - claimed[d]) }

  /// Not by a sum, which could wrap.
  func exceeds(_ d: PoolDomain, _ pages: Pages) -> Bit {
    charge(d) > maximum[d] || pages > maximum[d] - charge(d)
  }

  /// Whether a number is an extent's size less one.
  func isExtent(_ extent: Extent) -> Bit { extent & (extent + 1) == 0 }

  func pages(_ extent: Extent) -> Pages { Pages(resizing: extent) + 1 }

  func isTooLarge(_ extent: Extent) -> Bit { extent > limit }

  /// Whether a frame is in an aligned extent.
  func covers(_ base: PoolFrame, _ extent: Extent, _ f: PoolFrame) -> Bit {
    Pages(resizing: f) | Pages(resizing: extent) == Pages(resizing: base) | Pages(resizing: extent)
  }

  /// The number of a frame within its extent.
  func offset(_ f: PoolFrame, _ extent: Extent) -> Pages { Pages(resizing: f) & Pages(resizing: extent) }

  /// Whether a guest's page is in an extent.
  func spans(_ first: GuestPage, _ extent: Extent, _ page: GuestPage) -> Bit {
    Pages(resizing: page - first) <= Pages(resizing: extent)
  }

  /// Whether an extent goes beyond the last page that a guest can have.
  func overruns(_ first: GuestPage, _ extent: Extent) -> Bit {
    Pages(resizing: GuestPage.max - first) < Pages(resizing: extent)
  }

  /// Whether a frame can be handed out: nobody's, and nothing in it.
  func isReady(_ f: PoolFrame) -> Bit { frames[f].use == .free && !frames[f].isDirty }

  /// What keeps a frame from being taken out of its domain, or okay.
  func removal(of f: PoolFrame, from d: PoolDomain, isUpdated: Bit) -> Answer {
    .first(
      (life[d] != .running, .noDomain),
      (!frames[f].isOwned(by: d), .badFrame),
      (isKept(f), .busy),
      (isInUse(f), .busy),
      (frames[f].isMapped && failsWithout(isUpdated), .notUpdated),
      otherwise: .okay)
  }

  func isKept(_ f: PoolFrame) -> Bit { frames[f].isSpecial }
  func isInUse(_ f: PoolFrame) -> Bit { frames[f].uses != 0 }
  func failsWithout(_ isUpdated: Bit) -> Bit { !isUpdated }

  /// An extent of free frames becomes a domain's.
  func take(_ d: PoolDomain, _ extent: Extent, _ base: PoolFrame, at first: GuestPage?) {
    require(Pages(resizing: base) & Pages(resizing: extent) == 0, "R4")
    require(Pages(resizing: base) + Pages(resizing: extent) < poolSize, "R1")
    requireAll("R2") { (f: PoolFrame) in self.covers(base, extent, f).implies(self.isReady(f)) }
    frames.update { (f: PoolFrame, old) in
      var new = PoolFrameState()
      new.use = Choice(.owned)
      new.owner = d
      // What is in it stays in it: nothing, as it was ready.
      new.isDirty = old.isDirty
      new.author = old.author
      if let first {
        new.isMapped = true
        new.guest = first + GuestPage(resizing: self.offset(f, extent))
      }
      return choose(self.covers(base, extent, f), new, old)
    }
    free -= pages(extent)
    owned.join(
      pages(extent), d, index: { self.offset($0, extent) },
      isJoining: { self.covers(base, extent, $0) }, member: { base | PoolFrame(resizing: $0) })
    largest = choose(extent > largest, extent, largest)
  }

  /// A page of a domain's physical memory has nothing any more.
  func unmap(_ d: PoolDomain, _ f: PoolFrame) {
    when(frames[f].isMapped) { physical[d, frames[f].guest] = GuestMapping() }
  }

  /// A frame is nobody's; what it holds it keeps until it is scrubbed.
  func discard(_ f: PoolFrame) {
    let old = frames[f]
    frames[f] = PoolFrameState()
    frames[f].isDirty = old.isDirty
    frames[f].author = old.author
    free += 1
  }

  /// What a domain may have beside its maximum goes down with what it has.
  func settle(_ d: PoolDomain) { allowed[d] = choose(charge(d) < allowed[d], charge(d), allowed[d]) }
}
