// SPDX-License-Identifier: Apache-2.0
//
// The spaces that numbers live in. A machine frame is not a guest frame, and neither is an address: each is a
// type of its own, so that mixing them up does not compile.

/// A number in a space of its own.
///
/// Conforming types are one stored integer wide; `rawValue` is the only way out of the space.
public protocol Unit: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible
where RawValue: FixedWidthInteger {
  init(rawValue: RawValue)
}

extension Unit {
  @inlinable public init(_ rawValue: RawValue) { self.init(rawValue: rawValue) }
  @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  public var description: String { rawValue.description }
}

/// A 4 KiB frame of the machine's memory (MFN): an index into the host's one pool.
public struct MachineFrame: Unit {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The address of the frame's first byte.
  @inlinable public var address: MachineAddress { MachineAddress(rawValue &<< 12) }
}

/// A frame as a guest numbers its own memory (PFN, GFN): dense from 0.
public struct GuestFrame: Unit {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A byte address in machine memory.
public struct MachineAddress: Unit {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The frame that holds the byte.
  @inlinable public var frame: MachineFrame { MachineFrame(rawValue &>> 12) }

  /// The byte's offset in its frame, 0 … 4095.
  @inlinable public var offset: Int { Int(rawValue & 0xfff) }
}

/// A linear (virtual) address of a guest.
public struct VirtualAddress: Unit {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A domain's number (`domid_t`): 0 … 0x7fef, and the reserved numbers from 0x7ff0 on.
/// Source: xen/include/public/xen.h, DOMID_*.
public struct DomainID: Unit {
  public let rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// The domain in which the back ends live.
  public static let host = DomainID(0)
  /// The first reserved number; no domain is created at or above it.
  public static let firstReserved = DomainID(0x7ff0)
  /// DOMID_SELF: the calling domain.
  public static let current = DomainID(0x7ff0)
}

/// An index into a domain's grant table (`grant_ref_t`).
public struct GrantReference: Unit {
  public let rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// A mapping of a grant, as its mapper names it (`grant_handle_t`).
public struct GrantHandle: Unit {
  public let rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// A domain's end of an event channel (`evtchn_port_t`).
public struct EventPort: Unit {
  public let rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// The size of a frame in bytes.
public let frameSize = 4096
