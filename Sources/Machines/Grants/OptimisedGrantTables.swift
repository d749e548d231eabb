// SPDX-License-Identifier: Apache-2.0
//
// The grant tables of a host, optimised: constant work and no allocation an operation (removing a domain: in
// proportion to its handles). The rules stand in Specs/Grants. What a guest may write at any time is touched only
// through `Entries`, each word once; the rest is private.

import Interfaces

/// Grant tables over entries in shared memory.
public typealias OptimisedGrantTables = GrantMachine<SharedGrantEntries>

/// Grant tables over any access to entries.
public final class GrantMachine<Entries: GrantEntryAccess>: GrantTables {
  let frames: any FrameOwnership
  let memory: any FrameMemory
  let entries: Entries
  /// By domain number.
  var domains: ContiguousArray<GrantDomain?> = []

  /// - Parameters:
  ///   - frames: who owns each frame.
  ///   - memory: the frames' bytes.
  ///   - entries: how entries are accessed.
  public init(frames: any FrameOwnership, memory: any FrameMemory, entries: Entries) {
    self.frames = frames
    self.memory = memory
    self.entries = entries
  }

  // MARK: Domains

  public func addDomain(_ domain: DomainID, maximumFrames: Int, maximumHandles: Int) -> GrantStatus {
    precondition(maximumFrames >= 0 && maximumHandles >= 0 && maximumHandles < Int(HandleSlot.endOfList))
    guard domain < .firstReserved, known(domain) == nil else { return .badDomain }
    while domains.count <= Int(domain.rawValue) { domains.append(nil) }
    domains[Int(domain.rawValue)] = GrantDomain(
      id: domain, maximumFrames: maximumFrames, maximumHandles: maximumHandles)
    return .okay
  }

  public func removeDomain(_ domain: DomainID) -> Bool {
    guard let ending = known(domain) else { return true }
    retire(domain)
    for index in ending.handles.indices {
      let handle = GrantHandle(UInt32(index))
      guard let mapping = ending.mapping(handle) else { continue }
      _ = drop(mapping.use, of: handle, mapping, in: ending)
    }
    return forget(domain)
  }

  /// The first step of a domain's removal: from now on it maps nothing, and nothing new of its is mapped.
  public func retire(_ domain: DomainID) {
    known(domain)?.isDying = true
  }

  /// The last step of a domain's removal: its table is forgotten.
  /// - Returns: false, and nothing happens, if it was not retired, maps others' grants or has its own mapped.
  public func forget(_ domain: DomainID) -> Bool {
    guard let ending = known(domain), ending.isDying, ending.mappingCount == 0, !ending.mapsAnything else {
      return false
    }
    domains[Int(domain.rawValue)] = nil
    return true
  }

  public func grow(_ domain: DomainID, entries: UnsafeMutableRawPointer) -> GrantStatus {
    guard let domain = living(domain) else { return .badDomain }
    guard domain.frames.count < domain.maximumFrames else { return .noSpace }
    domain.addFrame(entries)
    return .okay
  }

  public func size(of domain: DomainID) -> (status: GrantStatus, frames: Int, maximumFrames: Int) {
    guard let domain = living(domain) else { return (.badDomain, 0, 0) }
    return (.okay, domain.frames.count, domain.maximumFrames)
  }

  /// A domain that has begun and has not been forgotten; it may be dying.
  func known(_ domain: DomainID) -> GrantDomain? {
    Int(domain.rawValue) < domains.count ? domains[Int(domain.rawValue)] : nil
  }

  /// A domain that is not being removed: only such a one makes calls or grants anything new.
  func living(_ domain: DomainID) -> GrantDomain? {
    guard let domain = known(domain), !domain.isDying else { return nil }
    return domain
  }

  // MARK: Mapping

  public func map(_ request: GrantMapRequest, by mapper: DomainID) -> GrantMapping {
    guard let mapper = living(mapper) else { return GrantMapping(status: .badDomain) }
    guard request.host || request.device else { return GrantMapping(status: .badReference) }
    guard let granter = living(request.granter) else { return GrantMapping(status: .badDomain) }
    guard mapper.hasFreeHandle else { return GrantMapping(status: .noDeviceSpace) }
    guard !request.host || request.entryOffset == 0 else { return GrantMapping(status: .generalError) }
    let use = GrantUse(readOnly: request.readOnly, host: request.host, device: request.device)
    switch pin(request.reference, of: granter, for: mapper.id, use) {
    case .failure(let status):
      return GrantMapping(status: status)
    case .success(let frame):
      granter.mappingCount += 1
      let handle = mapper.takeHandle(for: request.reference, of: granter.id, use: use)
      return GrantMapping(status: .okay, handle: handle, frame: frame)
    }
  }

  public func unmap(_ handle: GrantHandle, host: Bool, device: Bool, by mapper: DomainID) -> GrantMapping {
    guard host || device else { return GrantMapping(status: .badVirtualAddress) }
    // A domain that is being removed may still let go.
    guard let mapper = known(mapper), let mapping = mapper.mapping(handle) else {
      return GrantMapping(status: .badHandle)
    }
    guard !host || mapping.use.host else { return GrantMapping(status: .badVirtualAddress) }
    guard !device || mapping.use.device else { return GrantMapping(status: .badDeviceAddress) }
    let parts = GrantUse(readOnly: mapping.use.readOnly, host: host, device: device)
    let frame = drop(parts, of: handle, mapping, in: mapper)
    return GrantMapping(status: .okay, handle: handle, frame: frame)
  }

  /// Drops parts that a mapping has; with the last part go its handle and its reference on the frame.
  private func drop(
    _ parts: GrantUse, of handle: GrantHandle, _ mapping: HandleSlot, in mapper: GrantDomain
  ) -> MachineFrame {
    // A granter is not forgotten while `mappingCount` counts this mapping, so it is there.
    guard let granter = known(mapping.granter) else { preconditionFailure("a mapping outlived its granter") }
    let frame = granter.active[Int(mapping.reference.rawValue)].frame
    unpin(mapping.reference, of: granter, parts)
    if mapper.drop(parts, of: handle) {
      granter.mappingCount -= 1
      frames.release(frame)
    }
    return frame
  }
}
