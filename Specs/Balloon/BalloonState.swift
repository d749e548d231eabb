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
  /// The frames that count against a domain's maximum: those it owns (tot_pages), and those that an exchange owes it.
  @Var var charged: Table<Pages, PoolDomain>
  /// The frames of each domain that are in flight.
  @Var var flying: Table<Pages, PoolDomain>
  /// All that is promised and not yet taken.
  @Var var promised: Pages

  /// Which frames hold data, and whose.
  @Ghost var holdsData: Table<Bit, PoolFrame>
  @Ghost var author: Table<PoolDomain, PoolFrame>
  /// What a domain had when its maximum was set, or less, if it has had less since.
  @Ghost var allowed: Table<Pages, PoolDomain>
  /// The uses of each frame that were begun and have not ended.
  @Ghost var begun: Table<Word<FrameUsesSort>, PoolFrame>
  /// Which frames the hypervisor works with.
  @Ghost var entrusted: Table<Bit, PoolFrame>
  /// The largest extent handed out.
  @Ghost var largest: Extent
  /// Which frames were handed out while somebody had them.
  @Ghost var wasHandedTwice: Table<Bit, PoolFrame>

  // MARK: What the rules mean

  // Checks look at what there would be after a step, as a sum or difference is easily compared and not easily moved to
  // the other side: that would be an adder for the solvers to see through.

  /// The frames that a domain owns.
  func owned(_ d: PoolDomain) -> Pages { charged[d] - owed[d] }

  /// What of a domain's claim is used up by giving it frames.
  func taken(_ d: PoolDomain, _ pages: Pages) -> Pages { choose(claimed[d] < pages, claimed[d], pages) }

  /// Whether there would be too few free frames for what is promised, were a domain given some.
  func isShort(_ d: PoolDomain, _ pages: Pages) -> Bit {
    pages > free || promised - taken(d, pages) > free - pages
  }

  /// Whether a domain would have too many frames, or a number that wraps.
  func exceeds(_ d: PoolDomain, _ pages: Pages) -> Bit {
    charged[d] + pages < pages || charged[d] + pages > maximum[d]
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

  /// Whether what is handed out, of the host's and of its domain's, has a frame in it.
  ///
  /// The counts are sums over all frames, and those a proof at real size cannot write down. So this is a guard of what
  /// takes a frame out of them: the proofs rest on it, and explorations show that it never stands in the way.
  func isCounted(_ f: PoolFrame) -> Bit {
    let frame = frames[f]
    return free < poolSize && (frame.use == .owned).implies(owed[frame.owner] < charged[frame.owner])
      && (frame.use == .inFlight).implies(flying[frame.owner] != 0)
  }

  /// Whether all that is promised has a domain's part in it: a guard, as `isCounted`.
  func isInSum(_ d: PoolDomain) -> Bit { claimed[d] <= promised }

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
    wasHandedTwice.update { (f: PoolFrame, old) in
      old || (self.covers(base, extent, f) && self.frames[f].use != .free)
    }
    frames.update { (f: PoolFrame, old) in
      var new = PoolFrameState()
      new.use = Choice(.owned)
      new.owner = d
      // What is in it stays in it: nothing, as it was ready.
      new.isDirty = old.isDirty
      if let first {
        new.isMapped = true
        new.guest = first + GuestPage(resizing: self.offset(f, extent))
      }
      return choose(self.covers(base, extent, f), new, old)
    }
    free -= pages(extent)
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
    free += 1
  }

  /// What a domain may have beside its maximum goes down with what it has.
  func settle(_ d: PoolDomain) { allowed[d] = choose(charged[d] < allowed[d], charged[d], allowed[d]) }
}
