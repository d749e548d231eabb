// SPDX-License-Identifier: Apache-2.0
//
// Grant tables, version 1.
//
// A domain lets another reach one of its frames by writing an entry of its grant table: type, flags, who, which
// frame. The table lies in the domain's own memory: it is hostile, and may write any field at any time, one store
// after another. The hypervisor therefore reads an entry once, when it first pins it, and keeps what it read where
// no domain can write: the *active* entry. While pins last, domain and frame are those of the active entry, whatever
// the shared one says. Each mapping has a handle of its mapper's and up to two parts, for processors (host) and for
// devices; each part holds one of the entry's four pin counts. Each mapping also holds one reference on its frame.
//
// R1  A mapping is made only of an entry that permits it then, to that domain, at that access.
// R2  Domain and frame are fixed while pinned: nobody but the active entry's domain maps or copies through it.
// R3  Pins are exact: each part of a mapping holds one pin of its kind, and no pin is held otherwise.
// R4  References are exact: each mapping holds one reference on its frame, and no reference is held otherwise.
// R5  A frame that is mapped belongs to the granter, and neither changes hands nor is freed.
// R6  While its domain keeps to the protocol, an entry says reading exactly when it is pinned, and writing exactly
//     when it is pinned for writing; so an entry that its domain could revoke has no mapping.
// R7  Unmapping is all or nothing, and only the mapper's own handle counts.
// R8  A copy reaches only what an entry permits then, or what the caller owns, and leaves no pin.
// R9  A transfer moves a frame that its owner alone uses, to a domain whose entry accepts it from that owner.
// R10 A domain is gone only when nobody maps its grants, it maps nobody's, and its frames are another's or free.
// R11 A mapping lies in one whole page-table entry.
// R12 Two entries change places only if both are the caller's, are there, and are not pinned.
//
// Each action is one operation's effect at the moment when it reads the shared entry: the reads of flags-and-domain
// and of the frame are two, but a store between them that changes the frame could as well have come before both.

import Interfaces
import Logic

/// The specification of grant tables: read this file, then `GrantsState.swift` for what its words mean.
public class Grants: GrantsState {
  // MARK: The hypervisor's operations

  func map(
    mapper: Domain, granter: Domain, reference: Reference, readOnly: Bit, host: Bit, device: Bit,
    handle: Handle
  ) -> Status {
    makeMapping(mapper, granter, reference, readOnly, host, device, handle, offset: 0)
  }

  /// A map for processors into a page-table entry that the mapper names by its address (`GNTMAP_contains_pte`), which
  /// lies at an offset from the beginning of an entry.
  func mapIntoEntry(
    mapper: Domain, granter: Domain, reference: Reference, readOnly: Bit, device: Bit, offset: EntryOffset,
    handle: Handle
  ) -> Status {
    makeMapping(mapper, granter, reference, readOnly, true, device, handle, offset: offset)
  }

  private func makeMapping(
    _ mapper: Domain, _ granter: Domain, _ reference: Reference, _ readOnly: Bit, _ host: Bit, _ device: Bit,
    _ handle: Handle, offset: EntryOffset
  ) -> Status {
    require(isFree(mapper, handle), "R3")
    let allowed = access(by: mapper, granter, reference, writes: !readOnly)
    let status = Status.first(
      (life[mapper] != .running, .badDomain),
      (!host && !device, .badReference),
      (life[granter] != .running, .badDomain),
      (!isWhole(offset), .generalError),
      (host && overflows(granter, reference, .host, readOnly) && covers[granter, reference], .generalError),
      (
        device && overflows(granter, reference, .device, readOnly) && covers[granter, reference],
        .generalError
      ),
      otherwise: .okay)
    let answer = choose(status == .okay, allowed, status)
    when(answer == .okay) {
      let reached = frame(granter, reference)
      let permitted = permits(mapper, granter, reference, writes: !readOnly)
      pin(granter, reference, writes: !readOnly)
      mappings[mapper, handle].host = host
      mappings[mapper, handle].device = device
      mappings[mapper, handle].readOnly = readOnly
      mappings[mapper, handle].granter = granter
      mappings[mapper, handle].reference = reference
      mappings[mapper, handle].frame = reached
      when(host) { joinPin(mapper, handle, .host, granter, reference, readOnly) }
      when(device) { joinPin(mapper, handle, .device, granter, reference, readOnly) }
      uses.join(Pair(mapper, handle), reached)
      breached = breached || !permitted
      straddling = straddling || offset != 0
    }
    return answer
  }

  /// A map for which the mapper has no handle left.
  func mapWithoutHandle(mapper: Domain, granter: Domain, host: Bit, device: Bit) -> Status {
    requireAll("R3") { (handle: Handle) in self.mappings[mapper, handle].isUsed }
    return .first(
      (life[mapper] != .running, .badDomain),
      (!host && !device, .badReference),
      (life[granter] != .running, .badDomain),
      otherwise: .noDeviceSpace)
  }

  func unmap(mapper: Domain, handle: Handle, host: Bit, device: Bit) -> Status {
    let mapping = mappings[mapper, handle]
    let status = Status.first(
      (!host && !device, .badVirtualAddress),
      (life[mapper] == .absent || !mapping.isUsed, .badHandle),
      (host && !mapping.host, .badVirtualAddress),
      (device && !mapping.device, .badDeviceAddress),
      otherwise: .okay)
    when(status == .okay) {
      let (d, r) = (mapping.granter, mapping.reference)
      when(host) { leavePin(mapper, handle, .host, d, r, mapping.readOnly) }
      when(device) { leavePin(mapper, handle, .device, d, r, mapping.readOnly) }
      mappings[mapper, handle].host = mapping.host && !host
      mappings[mapper, handle].device = mapping.device && !device
      when(dropsReference(mapping, host: host, device: device)) {
        uses.leave(Pair(mapper, handle), mapping.frame)
      }
      when(ends(mapping, host: host, device: device)) { mappings[mapper, handle] = Mapping() }
      unflag(d, r)
    }
    return status
  }

  /// One end of a copy that is a grant: pinned and let go at once. A copy is its source, then its destination.
  func copyThroughGrant(caller: Domain, granter: Domain, reference: Reference, writes: Bit) -> Status {
    let allowed = access(by: caller, granter, reference, writes: writes)
    let status = choose(life[caller] != .running, Status(.badDomain), allowed)
    when(status == .okay) {
      breached = breached || !permits(caller, granter, reference, writes: writes)
      when(consults(granter, reference, writes: writes)) { shared[granter, reference].bit3 = true }
      unflag(granter, reference)
    }
    return status
  }

  /// One end of a copy that is the caller's own frame.
  func copyThroughFrame(caller: Domain, frame: Frame) -> Status {
    let status = Status.first(
      (life[caller] != .running, .badDomain), (!frames[frame].belongs(to: caller), .badPage), otherwise: .okay
    )
    breached = breached || (status == .okay && !(frames[frame].isOwned && frames[frame].owner == caller))
    return status
  }

  func transfer(caller: Domain, frame: Frame, receiver: Domain, reference: Reference) -> Status {
    let entry = shared[receiver, reference]
    let status = Status.first(
      (life[caller] != .running, .badDomain),
      (!frames[frame].belongs(to: caller), .badPage),
      (!isUnused(frame), .badPage),
      (receiver == caller, .badDomain),
      (life[receiver] != .running, .badDomain),
      (!covers[receiver, reference], .badReference),
      (entry.type != .acceptTransfer || entry.domain != caller, .generalError),
      (entry.bit2 || entry.bit3, .generalError),
      otherwise: .okay)
    when(status == .okay) {
      let accepted = entry.type == .acceptTransfer && entry.domain == caller
      breached = breached || !accepted || !frames[frame].belongs(to: caller) || receiver == caller
      frames[frame].owner = receiver
      shared[receiver, reference].bit2 = true
      shared[receiver, reference].bit3 = true
      shared[receiver, reference].frame = frame
      let entry = shared[receiver, reference]
      let completed = entry.bit2 && entry.bit3 && entry.frame == frame && frames[frame].belongs(to: receiver)
      breached = breached || !completed
    }
    return status
  }

  /// Two entries of the caller's own table change places (`GNTTABOP_swap_grant_ref`).
  func swap(caller: Domain, a: Reference, b: Reference) -> Status {
    let (first, second) = (shared[caller, a], shared[caller, b])
    let wasTampered = (tampered[caller, a], tampered[caller, b])
    let status = Status.first(
      (life[caller] != .running, .badDomain),
      (!covers(caller, a, b), .badReference),
      (isBusy(caller, a) || isBusy(caller, b), .tryAgain),
      otherwise: .okay)
    when(status == .okay) {
      breached =
        breached || !covers[caller, a] || !covers[caller, b] || isPinned(caller, a) || isPinned(caller, b)
      shared[caller, a] = second
      shared[caller, b] = first
      // With one entry named twice, nothing moves.
      breached = breached || shared[caller, a] != second || shared[caller, b] != first
      tampered[caller, a] = wasTampered.1
      tampered[caller, b] = wasTampered.0
    }
    return status
  }

  // MARK: Domains and frames come and go

  func create(domain: Domain) {
    require(life[domain] == .absent)
    become(domain, .running)
  }
  func grow(domain: Domain, reference: Reference) {
    require(life[domain] == .running && !covers[domain, reference])
    covers[domain, reference] = true
    shared[domain, reference] = SharedEntry()
    tampered[domain, reference] = false
  }
  func retire(domain: Domain) {
    require(life[domain] == .running)
    become(domain, .dying)
  }
  func forget(domain: Domain) {
    require(life[domain] == .dying)
    requireUnmapped(domain)
    requireFrameless(domain)
    become(domain, .absent)
    covers.update { (d: Domain, _: Reference, old) in choose(d == domain, false, old) }
  }
  func requireFrameless(_ domain: Domain) {
    requireAll("R10") { (f: Frame) in !self.frames[f].belongs(to: domain) }
  }
  func requireUnmapped(_ domain: Domain) {
    requireAll("R10") { (m: Domain, h: Handle) in
      !(self.mappings[m, h].isUsed && (m == domain || self.mappings[m, h].granter == domain))
    }
  }
  func assign(frame: Frame, domain: Domain) {
    require(!frames[frame].isOwned && life[domain] == .running)
    frames[frame].isOwned = true
    frames[frame].owner = domain
  }
  func free(frame: Frame) {
    require(frames[frame].isOwned && isUnused(frame), "R5")
    frames[frame] = FrameState()
    breached = breached || frames[frame].isOwned
  }

  // MARK: What guests do

  /// The protocol: an unused entry becomes a grant.
  func grant(domain: Domain, reference: Reference, grantee: Domain, frame: Frame, readOnly: Bit) {
    require(covers[domain, reference] && shared[domain, reference].type == .invalid)
    var entry = SharedEntry()
    entry.type = Choice(.permitAccess)
    entry.bit2 = readOnly
    entry.domain = grantee
    entry.frame = frame
    shared[domain, reference] = entry
  }
  /// The protocol: a grant that nobody uses is withdrawn, by one compare-and-exchange.
  func revoke(domain: Domain, reference: Reference) {
    let entry = shared[domain, reference]
    require(covers[domain, reference] && entry.type == .permitAccess && !entry.bit3 && !entry.bit4, "R6")
    shared[domain, reference] = SharedEntry()
    breached = breached || shared[domain, reference].type == .permitAccess
  }
  func storeType(domain: Domain, reference: Reference, type: Choice<EntryType>) {
    tamper(domain, reference)
    shared[domain, reference].type = type
  }
  func storeFlags(domain: Domain, reference: Reference, bit2: Bit, bit3: Bit, bit4: Bit) {
    tamper(domain, reference)
    shared[domain, reference].bit2 = bit2
    shared[domain, reference].bit3 = bit3
    shared[domain, reference].bit4 = bit4
  }
  func storeDomain(domain: Domain, reference: Reference, grantee: Domain) {
    tamper(domain, reference)
    shared[domain, reference].domain = grantee
  }
  func storeFrame(domain: Domain, reference: Reference, frame: Frame) {
    tamper(domain, reference)
    shared[domain, reference].frame = frame
  }

  public override var actions: [Action] {
    [
      action("map(mapper:granter:reference:readOnly:host:device:handle:)", map),
      action("mapIntoEntry(mapper:granter:reference:readOnly:device:offset:handle:)", mapIntoEntry),
      action("mapWithoutHandle(mapper:granter:host:device:)", mapWithoutHandle),
      action("unmap(mapper:handle:host:device:)", unmap),
      action("copyThroughGrant(caller:granter:reference:writes:)", copyThroughGrant),
      action("copyThroughFrame(caller:frame:)", copyThroughFrame),
      action("transfer(caller:frame:receiver:reference:)", transfer),
      action("swap(caller:a:b:)", swap),
      action("create(domain:)", create),
      action("grow(domain:reference:)", grow),
      action("retire(domain:)", retire),
      action("forget(domain:)", forget),
      action("assign(frame:domain:)", assign),
      action("free(frame:)", free),
      action("grant(domain:reference:grantee:frame:readOnly:)", grant),
      action("revoke(domain:reference:)", revoke),
      action("storeType(domain:reference:type:)", storeType),
      action("storeFlags(domain:reference:bit2:bit3:bit4:)", storeFlags),
      action("storeDomain(domain:reference:grantee:)", storeDomain),
      action("storeFrame(domain:reference:frame:)", storeFrame),
    ]
  }
  public override var invariants: [Invariant] { allInvariants }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
}
