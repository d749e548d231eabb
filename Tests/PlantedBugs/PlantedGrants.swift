// SPDX-License-Identifier: Apache-2.0
//
// Grant tables with bugs planted in them, for the drivers to find: the optimised ones, behind entries, frames or calls
// that do one thing wrong.

import Conformance
import Interfaces
import Machines

/// What planted grant tables do wrong.
public enum GrantBug: Int, CaseIterable, Sendable {
  /// An entry's frame is read twice.
  case doubleFetch
  /// An entry in use does not say so.
  case unflagged
  /// The end of a use leaves the flags that say so.
  case keptFlags
  /// No reference is taken on a frame.
  case unreferenced
  /// The end of the last writing use leaves the flag that says so (XSA-230).
  case staleWriting
  /// A frame is mapped whoever owns it.
  case anybodysFrame
  /// The end of a use drops one reference too many (XSA-224).
  case releasedTwice
  /// The end of a use keeps its reference.
  case neverReleased
  /// Unmapping one part of a mapping drops the other's pin too (XSA-394).
  case bothParts
  /// A read-only mapping is pinned for writing (XSA-234).
  case readOnlyIgnored
  /// A domain's table goes although it is mapped (XSA-255).
  case goneWhileMapped

  /// The optimised grant tables with the bug.
  public var maker: GrantsMaker {
    GrantsMaker { frames, memory, entries in
      PlantedGrantTables(
        GrantMachine(
          frames: PlantedFrames(frames, self), memory: memory,
          entries: PlantedEntries(inner: entries, bug: self)),
        self)
    }
  }
}

private struct PlantedEntries: GrantEntryAccess {
  let inner: TappedGrantEntries
  let bug: GrantBug

  func load(_ place: GrantPlace) -> GrantWord { inner.load(place) }
  func compareExchange(_ place: GrantPlace, expected: GrantWord, desired: GrantWord) -> (
    exchanged: Bool, original: GrantWord
  ) {
    inner.compareExchange(place, expected: expected, desired: bug == .unflagged ? expected : desired)
  }
  func clear(_ flags: GrantFlags, at place: GrantPlace) {
    if bug == .keptFlags { return }
    inner.clear(bug == .staleWriting ? flags.subtracting(.writing) : flags, at: place)
  }
  func set(_ flags: GrantFlags, at place: GrantPlace) { inner.set(flags, at: place) }
  func loadFrame(_ place: GrantPlace) -> UInt32 {
    if bug == .doubleFetch { _ = inner.loadFrame(place) }
    return inner.loadFrame(place)
  }
  func storeFrame(_ frame: UInt32, at place: GrantPlace) { inner.storeFrame(frame, at: place) }
  func replace(_ place: GrantPlace, with word: GrantWord, frame: UInt32) {
    inner.replace(place, with: word, frame: frame)
  }
}

private final class PlantedFrames: FrameOwnership {
  private let inner: any FrameOwnership
  private let bug: GrantBug

  init(_ inner: any FrameOwnership, _ bug: GrantBug) {
    self.inner = inner
    self.bug = bug
  }

  func owner(of frame: MachineFrame) -> DomainID? { inner.owner(of: frame) }
  func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool {
    if bug == .unreferenced { return inner.owner(of: frame) == domain }
    return inner.retain(frame, ownedBy: bug == .anybodysFrame ? inner.owner(of: frame) ?? domain : domain)
  }
  func isUnused(_ frame: MachineFrame) -> Bool { inner.isUnused(frame) }
  func release(_ frame: MachineFrame) {
    if bug != .neverReleased, bug != .unreferenced { inner.release(frame) }
    if bug == .releasedTwice { inner.release(frame) }
  }
  func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool {
    inner.transfer(frame, from: from, to: to)
  }
}

private final class PlantedGrantTables: InspectableGrantTables {
  private let inner: any InspectableGrantTables
  private let bug: GrantBug

  init(_ inner: any InspectableGrantTables, _ bug: GrantBug) {
    self.inner = inner
    self.bug = bug
  }

  func map(_ request: GrantMapRequest, by mapper: DomainID) -> GrantMapping {
    var request = request
    if bug == .readOnlyIgnored { request.readOnly = false }
    return inner.map(request, by: mapper)
  }

  func unmap(_ handle: GrantHandle, host: Bool, device: Bool, by mapper: DomainID) -> GrantMapping {
    var (host, device) = (host, device)
    if bug == .bothParts, host != device, let mapping = inner.mapping(handle, of: mapper) {
      (host, device) = (mapping.host, mapping.device)
    }
    return inner.unmap(handle, host: host, device: device, by: mapper)
  }

  func removeDomain(_ domain: DomainID) -> Bool {
    let gone = inner.removeDomain(domain)
    return bug == .goneWhileMapped ? true : gone
  }

  func addDomain(_ domain: DomainID, maximumFrames: Int, maximumHandles: Int) -> GrantStatus {
    inner.addDomain(domain, maximumFrames: maximumFrames, maximumHandles: maximumHandles)
  }
  func grow(_ domain: DomainID, entries: UnsafeMutableRawPointer) -> GrantStatus {
    inner.grow(domain, entries: entries)
  }
  func size(of domain: DomainID) -> (status: GrantStatus, frames: Int, maximumFrames: Int) {
    inner.size(of: domain)
  }
  func copy(
    from source: GrantCopyEnd, at sourceOffset: Int, to destination: GrantCopyEnd, at destinationOffset: Int,
    count: Int, by caller: DomainID
  ) -> GrantStatus {
    inner.copy(
      from: source, at: sourceOffset, to: destination, at: destinationOffset, count: count, by: caller)
  }
  func transfer(
    _ frame: MachineFrame, to receiver: DomainID, _ reference: GrantReference, by caller: DomainID
  ) -> GrantStatus { inner.transfer(frame, to: receiver, reference, by: caller) }
  func swap(_ a: GrantReference, _ b: GrantReference, by caller: DomainID) -> GrantStatus {
    inner.swap(a, b, by: caller)
  }

  func retire(_ domain: DomainID) { inner.retire(domain) }
  func forget(_ domain: DomainID) -> Bool { inner.forget(domain) }
  func restore(_ views: [GrantDomainView?]) { inner.restore(views) }
  func life(of domain: DomainID) -> GrantLife { inner.life(of: domain) }
  func tableFrames(of domain: DomainID) -> Int { inner.tableFrames(of: domain) }
  func handleCount(of domain: DomainID) -> Int { inner.handleCount(of: domain) }
  func active(_ reference: GrantReference, of domain: DomainID) -> GrantActiveView? {
    inner.active(reference, of: domain)
  }
  func firstMapping(of domain: DomainID, from first: Int) -> GrantHandle? {
    inner.firstMapping(of: domain, from: first)
  }
  func mapping(_ handle: GrantHandle, of domain: DomainID) -> GrantHandleView? {
    inner.mapping(handle, of: domain)
  }
  func nextHandle(of domain: DomainID) -> GrantHandle? { inner.nextHandle(of: domain) }
}
