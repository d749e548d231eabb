// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A port's bits in the memory that its domain shares.
public struct EventPlace {
  public var domain: DomainID
  public var port: EventPort
  /// The domain's `shared_info`.
  public var sharedInfo: UnsafeMutableRawPointer

  @inlinable public init(domain: DomainID, port: EventPort, sharedInfo: UnsafeMutableRawPointer) {
    self.domain = domain
    self.port = port
    self.sharedInfo = sharedInfo
  }
}

/// What a vCPU shares about events.
public struct UpcallPlace {
  public var domain: DomainID
  public var vcpu: Int
  /// The vCPU's `vcpu_info`.
  public var info: UnsafeMutableRawPointer

  @inlinable public init(domain: DomainID, vcpu: Int, info: UnsafeMutableRawPointer) {
    self.domain = domain
    self.vcpu = vcpu
    self.info = info
  }
}

/// How event channels touch shared words, one memory access a call.
///
/// `SharedEventWords` makes the real accesses. A conformance driver supplies one that records them, and lets a hostile
/// guest store between any two. Ports are below `EventLimits.portCount`.
public protocol EventWordAccess {
  /// Marks a port pending; returns whether it was.
  func raise(_ place: EventPlace) -> Bool
  /// Clears what is pending of a port's past.
  func clear(_ place: EventPlace)
  /// Clears what is pending of all ports that share a word with this one.
  func clearWord(_ place: EventPlace)
  /// Clears the mask of a port; returns whether it was masked.
  func unmask(_ place: EventPlace) -> Bool
  func isPending(_ place: EventPlace) -> Bool
  func isMasked(_ place: EventPlace) -> Bool

  /// Sets bits of evtchn_pending_sel, one for each word of 64 ports.
  func select(_ words: UInt64, _ place: UpcallPlace)
  /// Makes the up-call pending; returns whether it was.
  func notify(_ place: UpcallPlace) -> Bool
  func isUpcallPending(_ place: UpcallPlace) -> Bool
  func isUpcallMasked(_ place: UpcallPlace) -> Bool
  /// Masks up-calls, for one that is made.
  func maskUpcalls(_ place: UpcallPlace)
}
