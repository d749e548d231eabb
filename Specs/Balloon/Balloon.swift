// SPDX-License-Identifier: Apache-2.0
//
// The memory of a host, and how domains balloon in it.
//
// The host has a pool of frames. A domain asks for more (increase, populate) up to its maximum, gives some back
// (decrease), or exchanges frames for contiguous ones. Frames are handed out in extents of 2ᵒ, aligned, up to a limit;
// they are taken back one by one, as the calls that take them back do. The toolstack sets maxima, and targets that a
// domain's balloon driver is asked to reach; and it claims memory for a domain before that takes it, so that
// building one cannot fail half-way. An exchange takes frames out of a domain first (they are then *in flight*), replaces
// them, and in the end gives them to the host; where there is nothing to replace them by, it puts them back.
//
// Guests are hostile: they ask for anything. Which free extent is handed out is the implementation's choice.
//
// R1  Every frame of the host is free or one domain's; those handed out are counted exactly, in all and for each domain,
//     and are never more than the host has.
// R2  A frame is handed out only when nobody's data is in it.
// R3  A domain has at most its maximum, or what it had when that was set: exchanges included.
// R4  An extent is aligned, and no larger than the limit.
// R5  A host is never promised twice: what is claimed and not yet taken is free, and nobody else is given it.
// R6  Where a domain's physical memory has a frame, that frame is the domain's and says so: M2P ∘ P2M = id.
// R7  A frame in use stays where it is, and its uses are those that were begun.
// R8  A frame that the hypervisor works with stays as long as its domain.
// R9  An exchange takes no more frames than the largest extent has, and owes no more than it has taken, so it can always
//     be undone.
// R10 A domain is gone only when everything it had is the host's again.
// R11 A target is never above the maximum.
//
// What a domain asks for is refused for one reason, the first in the order of the checks.

import Interfaces
import Logic

/// The specification of a host's memory: read this file, then `BalloonState.swift` for what its words mean.
public class Balloon: BalloonState {
  // MARK: The toolstack

  func create(domain: PoolDomain) {
    require(life[domain] == .absent)
    life[domain] = Choice(.running)
    maximum[domain] = 0
    allowed[domain] = 0
  }

  func setMaximum(domain: PoolDomain, pages: Pages) -> Answer {
    let answer = Answer.first((life[domain] != .running, .noDomain), otherwise: .okay)
    when(answer == .okay) {
      maximum[domain] = pages
      when(!keepsTarget(domain, pages)) { target[domain] = pages }
      allowed[domain] = charged[domain]
    }
    return answer
  }
  func keepsTarget(_ domain: PoolDomain, _ pages: Pages) -> Bit { target[domain] <= pages }

  func setTarget(domain: PoolDomain, pages: Pages) -> Answer {
    let answer = Answer.first(
      (life[domain] != .running, .noDomain), (pages > maximum[domain], .overMaximum), otherwise: .okay)
    when(answer == .okay) { target[domain] = pages }
    return answer
  }

  /// Promises a domain that it may have `pages` in all; 0 takes a promise back.
  func claim(domain: PoolDomain, pages: Pages) -> Answer {
    let answer = Answer.first(
      (life[domain] != .running, .noDomain),
      (pages != 0 && claimed[domain] != 0, .busy),
      (pages != 0 && pages <= charged[domain], .invalid),
      (pages > maximum[domain], .overMaximum),
      (pages != 0 && promisesTwice(domain, pages - charged[domain]), .noMemory),
      otherwise: .okay)
    when(answer == .okay) {
      when(pages == 0) {
        require(isInSum(domain), "R5")
        promised -= claimed[domain]
        claimed[domain] = 0
      } else: {
        claimed[domain] = pages - charged[domain]
        promised += claimed[domain]
      }
    }
    return answer
  }
  func promisesTwice(_ domain: PoolDomain, _ pages: Pages) -> Bit {
    promised + pages < pages || promised + pages > free
  }

  func kill(domain: PoolDomain) {
    require(life[domain] == .running, "R10")
    require(isInSum(domain), "R5")
    life[domain] = Choice(.dying)
    promised -= claimed[domain]
    claimed[domain] = 0
    charged[domain] -= owed[domain]
    owed[domain] = 0
    settle(domain)
  }

  /// A frame of a dying domain is the host's again.
  func relinquish(domain: PoolDomain, frame: PoolFrame) {
    require(life[domain] == .dying && frames[frame].use != .free && frames[frame].owner == domain)
    require(frames[frame].uses == 0, "R7")
    require(isCounted(frame), "R1")
    unmap(domain, frame)
    when(frames[frame].use == .owned) {
      charged[domain] -= 1
    } else: {
      flying[domain] -= 1
    }
    discard(frame)
    entrusted[frame] = false
    settle(domain)
  }

  func forget(domain: PoolDomain) {
    require(life[domain] == .dying)
    require(charged[domain] == 0, "R10")
    requireAll("R10") { (f: PoolFrame) in !self.has(domain, f) }
    life[domain] = Choice(.absent)
    maximum[domain] = 0
    target[domain] = 0
    allowed[domain] = 0
  }
  /// Whether a frame is a domain's, in flight or not.
  func has(_ domain: PoolDomain, _ f: PoolFrame) -> Bit {
    frames[f].use != .free && frames[f].owner == domain
  }

  // MARK: A domain asks for frames

  func increase(domain: PoolDomain, extent: Extent, base: PoolFrame) -> Answer {
    allocate(domain, extent, base, at: nil)
  }

  func populate(domain: PoolDomain, first: GuestPage, extent: Extent, base: PoolFrame) -> Answer {
    allocate(domain, extent, base, at: first)
  }

  /// Where its physical memory has something already, nothing is put.
  func populateOccupied(domain: PoolDomain, first: GuestPage, extent: Extent, page: GuestPage) -> Answer {
    require(spans(first, extent, page) && physical[domain, page].isPresent && isExtent(extent), "R6")
    let answer = refusal(domain, extent, at: first)
    return choose(answer == .okay, Answer(.occupied), answer)
  }

  /// There may be enough free frames and no extent of them; single frames there always are.
  func findNoExtent(domain: PoolDomain, extent: Extent) -> Answer {
    require(extent != 0 && isExtent(extent), "R4")
    let answer = refusal(domain, extent, at: nil)
    return choose(answer == .okay, Answer(.noMemory), answer)
  }

  private func refusal(_ d: PoolDomain, _ extent: Extent, at first: GuestPage?) -> Answer {
    .first(
      (life[d] != .running, .noDomain),
      (isTooLarge(extent), .badOrder),
      (first.map { overruns($0, extent) } ?? false, .badFrame),
      (exceeds(d, pages(extent)), .overMaximum),
      (isShort(d, pages(extent)), .noMemory),
      otherwise: .okay)
  }

  private func allocate(_ d: PoolDomain, _ extent: Extent, _ base: PoolFrame, at first: GuestPage?) -> Answer
  {
    require(isExtent(extent), "R4")
    let answer = refusal(d, extent, at: first)
    when(answer == .okay) {
      if let first {
        requireAll("R6") { (page: GuestPage) in
          self.spans(first, extent, page).implies(!self.physical[d, page].isPresent)
        }
        physical.update { (owner: PoolDomain, page: GuestPage, old) in
          var new = GuestMapping()
          new.isPresent = true
          new.frame = base | PoolFrame(resizing: page - first)
          return choose(owner == d && self.spans(first, extent, page), new, old)
        }
      }
      let taken = taken(d, pages(extent))
      take(d, extent, base, at: first)
      charged[d] += pages(extent)
      claimed[d] -= taken
      promised -= taken
    }
    return answer
  }

  // MARK: A domain gives frames back

  /// One frame; `isUpdated` says whether the domain's physical memory could be told.
  func decrease(domain: PoolDomain, frame: PoolFrame, isUpdated: Bit) -> Answer {
    let answer = removal(of: frame, from: domain, isUpdated: isUpdated)
    when(answer == .okay) {
      require(isCounted(frame), "R1")
      when(isUpdated) { unmap(domain, frame) }
      charged[domain] -= 1
      discard(frame)
      settle(domain)
    }
    return answer
  }

  // MARK: An exchange

  func steal(domain: PoolDomain, frame: PoolFrame, isUpdated: Bit) -> Answer {
    require(flying[domain] <= Pages(resizing: limit), "R9")
    let answer = removal(of: frame, from: domain, isUpdated: isUpdated)
    when(answer == .okay) {
      require(isCounted(frame), "R1")
      when(isUpdated) { unmap(domain, frame) }
      flying[domain] += 1
      frames[frame].use = Choice(.inFlight)
      frames[frame].isMapped = false
      frames[frame].guest = 0
      owed[domain] += 1
    }
    return answer
  }

  /// An extent in the place of frames in flight. No claim is used up by it, and none is touched.
  func replace(domain: PoolDomain, extent: Extent, base: PoolFrame) {
    require(life[domain] == .running && isExtent(extent) && !isTooLarge(extent), "R4")
    require(pages(extent) <= owed[domain], "R9")
    require(pages(extent) <= free && promised <= free - pages(extent), "R5")
    take(domain, extent, base, at: nil)
    owed[domain] -= pages(extent)
  }

  func restore(domain: PoolDomain, frame: PoolFrame) {
    require(frames[frame].isInFlight(of: domain), "R9")
    require(owed[domain] != 0, "R9")
    flying[domain] -= 1
    frames[frame].use = Choice(.owned)
    owed[domain] -= 1
  }

  func surrender(domain: PoolDomain, frame: PoolFrame) {
    require(frames[frame].isInFlight(of: domain), "R9")
    require(owed[domain] < flying[domain], "R9")
    require(isCounted(frame), "R1")
    flying[domain] -= 1
    discard(frame)
  }

  // MARK: What else happens to frames

  func scrub(frame: PoolFrame) {
    require(frames[frame].use == .free && frames[frame].isDirty, "R2")
    frames[frame].isDirty = false
    holdsData[frame] = false
    author[frame] = 0
  }
  /// A domain stores to a frame of its own.
  func store(domain: PoolDomain, frame: PoolFrame) {
    require(frames[frame].isOwned(by: domain), "R2")
    frames[frame].isDirty = true
    holdsData[frame] = true
    author[frame] = domain
  }
  func retain(frame: PoolFrame) {
    require(frames[frame].use == .owned && frames[frame].uses != .max, "R7")
    frames[frame].uses += 1
    begun[frame] += 1
  }
  func release(frame: PoolFrame) {
    require(frames[frame].uses != 0, "R7")
    frames[frame].uses -= 1
    begun[frame] -= 1
  }
  func entrust(frame: PoolFrame) {
    require(frames[frame].use == .owned)
    frames[frame].isSpecial = true
    entrusted[frame] = true
  }

  public override var actions: [Action] {
    [
      action("create(domain:)", create),
      action("setMaximum(domain:pages:)", setMaximum),
      action("setTarget(domain:pages:)", setTarget),
      action("claim(domain:pages:)", claim),
      action("kill(domain:)", kill),
      action("relinquish(domain:frame:)", relinquish),
      action("forget(domain:)", forget),
      action("increase(domain:extent:base:)", increase),
      action("populate(domain:first:extent:base:)", populate),
      action("populateOccupied(domain:first:extent:page:)", populateOccupied),
      action("findNoExtent(domain:extent:)", findNoExtent),
      action("decrease(domain:frame:isUpdated:)", decrease),
      action("steal(domain:frame:isUpdated:)", steal),
      action("replace(domain:extent:base:)", replace),
      action("restore(domain:frame:)", restore),
      action("surrender(domain:frame:)", surrender),
      action("scrub(frame:)", scrub),
      action("store(domain:frame:)", store),
      action("retain(frame:)", retain),
      action("release(frame:)", release),
      action("entrust(frame:)", entrust),
    ]
  }
  public override var invariants: [Invariant] { claims + sums + lemmas }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
  public override var assumptions: [Invariant] {
    [
      assume("the host has frames, and numbers for them") {
        self.poolSize != 0 && self.poolSize - 1 <= Pages(resizing: PoolFrame.max)
      },
      assume("all frames are free") { self.free == self.poolSize },
      assume("the limit is an extent, and there are larger ones") {
        self.isExtent(self.limit) && self.limit < .max
      },
    ]
  }
}
