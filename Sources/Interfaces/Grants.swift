// SPDX-License-Identifier: Apache-2.0
//
// Grant tables, version 1: the ABI's types and status codes, and the one interface behind which the
// specification's lockstep and the optimised machine both stand.
// Source of numbers and layouts: xen/include/public/grant_table.h.

/// A status that a grant-table operation returns (`GNTST_*`).
public enum GrantStatus: Int16, Sendable, CaseIterable {
  case okay = 0
  case generalError = -1
  case badDomain = -2
  case badReference = -3
  case badHandle = -4
  case badVirtualAddress = -5
  case badDeviceAddress = -6
  case noDeviceSpace = -7
  case permissionDenied = -8
  case badPage = -9
  case badCopyArgument = -10
  case addressTooBig = -11
  case tryAgain = -12
  case noSpace = -13
}

/// The flags of a version-1 entry (`GTF_*`).
public struct GrantFlags: OptionSet, Sendable, Hashable {
  public let rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// The two type bits.
  public static let typeMask = GrantFlags(rawValue: 3)
  public static let invalid: GrantFlags = []
  public static let permitAccess = GrantFlags(rawValue: 1)
  public static let acceptTransfer = GrantFlags(rawValue: 2)
  /// Not part of version 1; treated as a bad type.
  public static let transitive = GrantFlags(rawValue: 3)

  /// permitAccess: the grantee may only read.
  public static let readOnly = GrantFlags(rawValue: 1 << 2)
  /// permitAccess: set by the hypervisor while any mapping or copy reads.
  public static let reading = GrantFlags(rawValue: 1 << 3)
  /// permitAccess: set by the hypervisor while any mapping or copy writes.
  public static let writing = GrantFlags(rawValue: 1 << 4)

  /// acceptTransfer: the hypervisor has committed to the transfer.
  public static let transferCommitted = GrantFlags(rawValue: 1 << 2)
  /// acceptTransfer: the frame field holds the new frame.
  public static let transferCompleted = GrantFlags(rawValue: 1 << 3)
}

/// One version-1 entry as it lies in shared memory: 8 bytes, little endian.
public struct GrantEntry: Sendable, Hashable {
  public var flags: GrantFlags
  /// The grantee, or for a transfer the domain that may send.
  public var domain: DomainID
  /// The frame granted; entries are 32 bits wide, whatever the machine has.
  public var frame: UInt32

  public init(flags: GrantFlags, domain: DomainID, frame: UInt32) {
    self.flags = flags
    self.domain = domain
    self.frame = frame
  }

  /// Bytes of one entry.
  public static let size = 8
  /// Entries in one 4 KiB frame of a table.
  public static let perFrame = 512
}

/// What `GNTTABOP_map_grant_ref` asks for.
public struct GrantMapRequest: Sendable, Hashable {
  /// The granting domain; `DomainID.current` is resolved by the caller.
  public var granter: DomainID
  public var reference: GrantReference
  /// GNTMAP_readonly.
  public var readOnly: Bool
  /// GNTMAP_host_map: the mapper's processors will reach the frame.
  public var host: Bool
  /// GNTMAP_device_map: devices will reach it.
  public var device: Bool
  /// GNTMAP_contains_pte: by how many bytes the address given lies beyond the beginning of a page-table entry, 0 … 7.
  /// 0 for a mapping at a virtual address.
  public var entryOffset: UInt8

  public init(
    granter: DomainID, reference: GrantReference, readOnly: Bool, host: Bool = true, device: Bool = false,
    entryOffset: UInt8 = 0
  ) {
    self.granter = granter
    self.reference = reference
    self.readOnly = readOnly
    self.host = host
    self.device = device
    self.entryOffset = entryOffset
  }
}

/// What a map gives back; handle and frame mean something only when the status is okay.
public struct GrantMapping: Sendable, Hashable {
  public var status: GrantStatus
  public var handle: GrantHandle
  public var frame: MachineFrame

  public init(
    status: GrantStatus, handle: GrantHandle = GrantHandle(0), frame: MachineFrame = MachineFrame(0)
  ) {
    self.status = status
    self.handle = handle
    self.frame = frame
  }
}

/// One end of a `GNTTABOP_copy`.
public enum GrantCopyEnd: Sendable, Hashable {
  /// A frame of the calling domain itself.
  case frame(MachineFrame)
  /// A grant made to the calling domain.
  case grant(DomainID, GrantReference)
}

/// The grant tables of all domains of a host.
///
/// Rules, in the specification's numbering, stand in Specs/Grants. Every guest-supplied value is checked; an
/// entry in shared memory is read once. Calls are serialised by the caller; the guest's own stores are not.
public protocol GrantTables: AnyObject {
  /// Begins a domain with an empty table of at most `maximumFrames` frames (of `GrantEntry.perFrame` entries)
  /// and at most `maximumHandles` mappings of others' grants.
  /// - Returns: badDomain if it exists already or is out of range.
  func addDomain(_ domain: DomainID, maximumFrames: Int, maximumHandles: Int) -> GrantStatus

  /// Ends a domain: its mappings of others' grants are dropped, and its own entries can no longer be mapped.
  /// - Returns: true if nobody maps its grants any more: then its table is forgotten and its frames may be
  ///   freed. False while others still map: call again when they have let go.
  func removeDomain(_ domain: DomainID) -> Bool

  /// Adds one frame to a domain's table; `entries` is that frame's memory, shared with the guest.
  /// - Returns: noSpace beyond the maximum.
  func grow(_ domain: DomainID, entries: UnsafeMutableRawPointer) -> GrantStatus

  /// `GNTTABOP_query_size`: frames in use, and the most that there can be.
  func size(of domain: DomainID) -> (status: GrantStatus, frames: Int, maximumFrames: Int)

  /// `GNTTABOP_map_grant_ref`.
  func map(_ request: GrantMapRequest, by mapper: DomainID) -> GrantMapping

  /// `GNTTABOP_unmap_grant_ref`: drops the named parts (host, device) of a mapping; the handle is free when
  /// neither is left. All or nothing.
  func unmap(_ handle: GrantHandle, host: Bool, device: Bool, by mapper: DomainID) -> GrantMapping

  /// `GNTTABOP_copy`: at most one frame's bytes; source and destination ranges each lie within one frame.
  func copy(
    from source: GrantCopyEnd, at sourceOffset: Int, to destination: GrantCopyEnd, at destinationOffset: Int,
    count: Int, by caller: DomainID
  ) -> GrantStatus

  /// `GNTTABOP_transfer`: gives one of the caller's frames to a domain whose entry accepts it.
  func transfer(
    _ frame: MachineFrame, to receiver: DomainID, _ reference: GrantReference, by caller: DomainID
  )
    -> GrantStatus

  /// `GNTTABOP_swap_grant_ref`: two entries of the caller's own table change places. An entry in use stays where it is:
  /// tryAgain.
  func swap(_ a: GrantReference, _ b: GrantReference, by caller: DomainID) -> GrantStatus
}
