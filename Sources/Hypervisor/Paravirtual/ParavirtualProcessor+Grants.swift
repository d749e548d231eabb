// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// What only PV guests ask of grant tables: they name machine frames, and map grants into page tables of their own.
extension ParavirtualProcessor {
  /// Flags of a mapping (`GNTMAP_*`).
  private enum MapFlag {
    static let device: UInt32 = 1
    static let host: UInt32 = 2
    static let readOnly: UInt32 = 4
    static let containsEntry: UInt32 = 16
  }

  func paravirtualGrantOperation(_ operation: GrantOperation, _ block: inout ArgumentBlock)
    throws(HypercallError) -> GrantStatus
  {
    switch operation {
    case .map: try mapGrant(&block)
    case .unmap: try unmapGrant(block)
    case .setupTable: try setupGrantTable(block)
    case .transfer: try transferFrame(block)
    case .copy: copyGrant(block)
    case .querySize, .swap, .setVersion, .getVersion: throw .notImplemented
    }
  }

  /// `struct gnttab_setup_table`: dom (16 bits), nr_frames (32), status (16), frame_list (pointer).
  private func setupGrantTable(_ block: ArgumentBlock) throws(HypercallError) -> GrantStatus {
    guard resolve(block.u16(0)) == domain.id else { return .permissionDenied }
    let wanted = Int(block.u32(4))
    guard wanted <= domain.maximumGrantFrames else { return .generalError }
    guard domain.growGrantTable(to: wanted) else { return .generalError }
    for (index, frame) in domain.grantFrames.prefix(wanted).enumerated() {
      try write(frame.rawValue, to: block.u64(16) &+ UInt64(index) * 8)
    }
    return .okay
  }

  // MARK: Mappings

  /// `struct gnttab_map_grant_ref`: host_addr (64 bits), flags (32), ref (32), dom (16), status (16), handle (32),
  /// dev_bus_addr (64).
  private func mapGrant(_ block: inout ArgumentBlock) throws(HypercallError) -> GrantStatus {
    let flags = block.u32(8)
    let host = flags & MapFlag.host != 0
    let readOnly = flags & MapFlag.readOnly != 0
    let granter = resolve(block.u16(16))
    let isEntry = flags & MapFlag.containsEntry != 0
    let request = GrantMapRequest(
      granter: granter, reference: GrantReference(block.u32(12)), readOnly: readOnly, host: host,
      device: flags & MapFlag.device != 0, entryOffset: host && isEntry ? UInt8(block.u64(0) % 8) : 0)
    var place: EntryPlace?
    if host, request.entryOffset == 0 {
      place = entryPlace(block.u64(0), isEntry: isEntry)
      guard place != nil else { return .generalError }
    }
    let mapping = domain.host.withGrants { $0.map(request, by: domain.id) }
    guard mapping.status == .okay else { return mapping.status }
    if host, let place {
      domain.frames.addGranted(mapping.frame, readOnly: readOnly)
      space.pager.grantChanged(mapping.frame)
      space.grantMappings[mapping.handle] = GrantedFrame(frame: mapping.frame, readOnly: readOnly)
      var bits = PageTableEntry.present | PageTableEntry.user | PageTableEntry.accessed
      if !readOnly { bits |= PageTableEntry.writable | PageTableEntry.dirty }
      let old = domain.frames.entry(place)
      _ = space.pager.write(PageTableEntry(mapping.frame, bits), to: place)
      // The guest is told that the mapping is there: what was there before must not be seen any more.
      if old.isPresent { flush(everywhere: true) }
    }
    block.set(20, u32: mapping.handle.rawValue)
    block.set(24, u64: mapping.frame.address.rawValue)
    return .okay
  }

  /// `struct gnttab_unmap_grant_ref`: host_addr, dev_bus_addr (64 bits each), handle (32), status (16).
  private func unmapGrant(_ block: ArgumentBlock) throws(HypercallError) -> GrantStatus {
    let handle = GrantHandle(block.u32(16))
    let host = block.u64(0) != 0
    let mapped = space.grantMappings[handle]
    var place: EntryPlace?
    if host, let mapped {
      // The caller names the address, or the entry, of the mapping; either must lead to the frame.
      for isEntry in [false, true] where place == nil {
        guard let found = entryPlace(block.u64(0), isEntry: isEntry) else { continue }
        if domain.frames.entry(found).frame == mapped.frame { place = found }
      }
      guard place != nil else { return .badVirtualAddress }
      // No vCPU may reach the frame when the granter is told that it is free.
      domain.frames.dropGranted(mapped.frame, readOnly: mapped.readOnly)
      space.pager.grantChanged(mapped.frame)
    }
    let result = domain.host.withGrants {
      $0.unmap(handle, host: host, device: block.u64(8) != 0, by: domain.id)
    }
    guard host, let mapped, let place else { return result.status }
    guard result.status == .okay else {
      domain.frames.addGranted(mapped.frame, readOnly: mapped.readOnly)
      space.pager.grantChanged(mapped.frame)
      return result.status
    }
    space.grantMappings[handle] = nil
    _ = space.pager.write(PageTableEntry(0), to: place)
    return .okay
  }

  /// The level-1 entry that a mapping is made in: of an address, or named by its own machine address.
  private func entryPlace(_ value: UInt64, isEntry: Bool) -> EntryPlace? {
    guard isEntry else { return try? levelOnePlace(for: VirtualAddress(value)) }
    let address = MachineAddress(value)
    // An unmap names a mapping that was made; one that is not aligned leads to none.
    guard address.rawValue % 8 == 0, domain.frames.owns(address.frame) else { return nil }
    return EntryPlace(table: address.frame, index: address.offset / 8)
  }

  // MARK: Copies and transfers

  private enum CopyFlag {
    static let sourceIsGrant: UInt16 = 1
    static let destinationIsGrant: UInt16 = 2
  }

  /// `struct gnttab_copy`: source and dest, each frame or reference (64 bits), domid (16), offset (16), 16 bytes; then
  /// len (16), flags (16), status (16).
  private func copyGrant(_ block: ArgumentBlock) -> GrantStatus {
    let flags = block.u16(34)
    func end(_ offset: Int, isGrant: Bool) -> GrantCopyEnd? {
      let holder = resolve(block.u16(offset + 8))
      if isGrant { return .grant(holder, GrantReference(block.u32(offset))) }
      return holder == domain.id ? .frame(MachineFrame(block.u64(offset))) : nil
    }
    guard let source = end(0, isGrant: flags & CopyFlag.sourceIsGrant != 0),
      let destination = end(16, isGrant: flags & CopyFlag.destinationIsGrant != 0)
    else { return .permissionDenied }
    return domain.host.withGrants {
      $0.copy(
        from: source, at: Int(block.u16(10)), to: destination, at: Int(block.u16(26)),
        count: Int(block.u16(32)),
        by: domain.id)
    }
  }

  /// `struct gnttab_transfer`: mfn (64 bits), domid (16), ref (32), status (16).
  private func transferFrame(_ block: ArgumentBlock) throws(HypercallError) -> GrantStatus {
    let frame = MachineFrame(block.u64(0))
    guard domain.frames.owns(frame), space.pager.leave(frame) else { return .badPage }
    let receiver = resolve(block.u16(8))
    let status = domain.host.withGrants {
      $0.transfer(frame, to: receiver, GrantReference(block.u32(12)), by: domain.id)
    }
    guard status == .okay else {
      space.pager.arrive(frame)
      return status
    }
    domain.frames.pinned.remove(frame)
    domain.frames.memory.machineToPhysical.invalidate(frame)
    domain.currentFrames.wrappingSubtract(1, ordering: .relaxed)
    domain.host.domain(receiver)?.currentFrames.wrappingAdd(1, ordering: .relaxed)
    return .okay
  }
}

/// A frame that a domain reaches through a grant of another.
struct GrantedFrame {
  var frame: MachineFrame
  var readOnly: Bool
}
