// SPDX-License-Identifier: Apache-2.0
//
// Isolation: what the machines come to, together.
//
// Every domain's memory is a slot of the one pool, so nothing but the hypervisor's own bookkeeping keeps domains apart.
// Five machines share that bookkeeping: Balloon says whose a frame is, Grants what others may do with it, back ends
// hold pointers into what is mapped, Shadow decides what each domain's page tables may map, and processors go on
// using a translation until they are flushed. Each is specified and proved alone; here only what one relies on of
// another appears. Its steps are theirs, and its guards are their guarantees, by name and rule: of Shadow, that what a
// processor can use is within its domain's `reach` and that a frame leaves when none can use it (R11); of Grants, that
// a mapping is made only of an entry that permits it (R1), keeps its frame where it is (R5), and that a domain is
// gone only when nothing of its is mapped (R10); of Balloon, that a frame is handed out wiped (R2).
//
// What a processor uses is not followed from table to table here. It is *anything* that Shadow's guarantee allows, at
// any time: so the theorem holds of every implementation of Shadow that keeps the guarantee, whatever its policy.
//
// R1  No translation that any processor can use leads to a frame that its domain neither owns nor maps by a grant, nor
//     lets it write where that grant does not; and it loses the frame only when no processor can use it.
// R2  What a domain's shadows may map rests on ownership or on a mapping of that access, and goes before that.
// R3  A back end reaches a frame only through a mapping of its domain's that is in use, at that access.
// R4  A mapped frame stays its granter's: a frame changes hands only when no shadow, processor, mapping or back end
//     leads to it.
// R5  A frame comes to a new owner wiped, or by a transfer, whose contents the old owner chose to give; so a domain's
//     data lie only in frames of its own, or of domains that permitted it to write there.
// R6  A domain's death returns everything: when it is gone, no frame, mapping, window, reach or translation is its.

import Logic

/// The composition of the machines: read this file, then `IsolationState.swift` for what its words mean.
public class Isolation: IsolationState {
  // MARK: Domains and frames (Balloon, Grants)

  func create(domain: Domain) {
    require(life[domain] == .absent)
    become(domain, .running)
  }
  func kill(domain: Domain) {
    require(life[domain] == .running)
    become(domain, .dying)
  }
  func forget(domain: Domain) {
    require(life[domain] == .dying)
    requireEmpty(domain)
    become(domain, .absent)
    // Its grant table goes. Entries of others that name it stay, for a domain of the same number.
    permits.update { entry, old in choose(entry.granter == domain, false, old) }
    permitted.update { entry, old in choose(entry.granter == domain, false, old) }
    holds.update { (_: Frame, d: Domain, old) in choose(d == domain, false, old) }
  }

  func assign(frame: Frame, domain: Domain) {
    require(!frames[frame].isOwned && life[domain] == .running)
    require(isPresentable(frame), "R5")
    frames[frame].isOwned = true
    frames[frame].owner = domain
    frames[frame].isClean = false
    rightful[frame] = domain
  }
  func release(frame: Frame) {
    requireUnmapped(frame)
    requireUnreached(frame)
    frames[frame].isOwned = false
  }
  func scrub(frame: Frame) {
    require(!frames[frame].isOwned && !frames[frame].isClean)
    frames[frame].isClean = true
    past[frame].isWiped = true
    erase(frame)
  }
  /// The owner gives a frame away with what is in it.
  func transfer(frame: Frame, receiver: Domain) {
    require(frames[frame].isOwned && life[receiver] == .running)
    requireUnmapped(frame)
    requireUnreached(frame)
    frames[frame].owner = receiver
    rightful[frame] = receiver
    erase(frame)
  }

  // MARK: Grants

  func permit(granter: Domain, grantee: Domain, frame: Frame, writes: Bit, permits isPermitted: Bit) {
    require(life[granter] == .running)
    let entry = Permission(granter, grantee, frame, writes: writes)
    permits[entry] = isPermitted
    when(isPermitted) { permitted[entry] = true }
  }
  func map(mapper: Domain, handle: Handle, granter: Domain, frame: Frame, writes: Bit) {
    require(life[mapper] == .running && life[granter] == .running && !mappings[mapper, handle].isUsed)
    require(isPermitted(granter, mapper, frame, writes: writes), "R1")
    mappings[mapper, handle].isUsed = true
    mappings[mapper, handle].writes = writes
    mappings[mapper, handle].granter = granter
    mappings[mapper, handle].frame = frame
    past[frame].isMapped = true
  }
  func unmap(mapper: Domain, handle: Handle) {
    require(!rests(mapper, on: handle), "R2")
    require(!windows[mapper, handle].isOpen, "R3")
    mappings[mapper, handle] = MappedGrant()
  }

  // MARK: Back ends

  func open(backend: Domain, handle: Handle, writes: Bit) {
    let mapping = mappings[backend, handle]
    require(mapping.reaches(mapping.frame, writes: writes), "R3")
    windows[backend, handle].isOpen = true
    windows[backend, handle].writes = writes
    windows[backend, handle].frame = mapping.frame
    past[mapping.frame].isServed = true
  }
  func close(backend: Domain, handle: Handle) {
    windows[backend, handle] = Window()
  }
  /// A back end stores to a frame, such as a block that it read.
  func storeByBackend(backend: Domain, handle: Handle) {
    let window = windows[backend, handle]
    require(window.isOpen && window.writes)
    holds[window.frame, backend] = true
  }

  // MARK: Shadow, and the processors

  func acquire(domain: Domain, frame: Frame, writes: Bit, owns: Bit, handle: Handle) {
    require(life[domain] == .running && !reach[domain, frame].maps)
    let reason = reason(owns, handle)
    require(carries(reason, domain, frame, writes: writes), "R2")
    reach[domain, frame].maps = true
    reach[domain, frame].writes = writes
    reasons[domain, frame] = reason
    began[domain, frame] = reason
  }
  /// The reach rests on something else from now on: of two mappings of a frame, one goes.
  func rest(domain: Domain, frame: Frame, owns: Bit, handle: Handle) {
    require(reach[domain, frame].maps)
    let reason = reason(owns, handle)
    require(carries(reason, domain, frame, writes: reach[domain, frame].writes), "R2")
    reasons[domain, frame] = reason
  }
  func reason(_ owns: Bit, _ handle: Handle) -> Reason {
    var reason = Reason()
    reason.isOwnership = owns
    reason.handle = choose(owns, Handle(0), handle)
    return reason
  }
  func surrender(domain: Domain, frame: Frame) {
    requireUnusable(domain, frame)
    reach[domain, frame] = Reach()
  }
  /// A processor comes to use a translation: any that Shadow's guarantee allows.
  func use(domain: Domain, processor: Processor, page: VirtualPage, target: Frame, writes: Bit) {
    var translation = Translation()
    translation.present = true
    translation.writable = writes
    translation.target = target
    require(isWithinReach(domain, translation), "R1")
    usable[Triple(domain, processor, page)] = translation
    past[target].isUsed = true
  }
  /// A processor is flushed, or a translation evicted.
  func flush(domain: Domain, processor: Processor, page: VirtualPage) {
    usable[Triple(domain, processor, page)] = Translation()
  }
  /// A guest stores through a translation that its processor can use, flushed or not.
  func storeByGuest(domain: Domain, processor: Processor, page: VirtualPage) {
    let translation = usable[Triple(domain, processor, page)]
    require(translation.present && translation.writable)
    holds[translation.target, domain] = true
  }

  public override var actions: [Action] {
    [
      action("create(domain:)", create), action("kill(domain:)", kill), action("forget(domain:)", forget),
      action("assign(frame:domain:)", assign), action("release(frame:)", release),
      action("scrub(frame:)", scrub), action("transfer(frame:receiver:)", transfer),
      action("permit(granter:grantee:frame:writes:permits:)", permit),
      action("map(mapper:handle:granter:frame:writes:)", map), action("unmap(mapper:handle:)", unmap),
      action("open(backend:handle:writes:)", open), action("close(backend:handle:)", close),
      action("storeByBackend(backend:handle:)", storeByBackend),
      action("acquire(domain:frame:writes:owns:handle:)", acquire),
      action("rest(domain:frame:owns:handle:)", rest),
      action("surrender(domain:frame:)", surrender),
      action("use(domain:processor:page:target:writes:)", use),
      action("flush(domain:processor:page:)", flush),
      action("storeByGuest(domain:processor:page:)", storeByGuest),
    ]
  }
  public override var invariants: [Invariant] { claims + lemmas }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
}
