// SPDX-License-Identifier: Apache-2.0
//
// What grant tables remember, read only: for comparison with the specification, and for tools.

import Interfaces

/// What is remembered of an entry in use.
public struct GrantActiveView: Sendable, Hashable {
  /// Frame and grantee; they mean something only while there are pins.
  public var frame: MachineFrame
  public var domain: DomainID
  public var hostRead: Int
  public var hostWrite: Int
  public var deviceRead: Int
  public var deviceWrite: Int

  public init(
    frame: MachineFrame, domain: DomainID, hostRead: Int, hostWrite: Int, deviceRead: Int, deviceWrite: Int
  ) {
    self.frame = frame
    self.domain = domain
    self.hostRead = hostRead
    self.hostWrite = hostWrite
    self.deviceRead = deviceRead
    self.deviceWrite = deviceWrite
  }
}

/// A mapping in use.
public struct GrantHandleView: Sendable, Hashable {
  public var granter: DomainID
  public var reference: GrantReference
  public var readOnly: Bool
  public var host: Bool
  public var device: Bool

  public init(granter: DomainID, reference: GrantReference, readOnly: Bool, host: Bool, device: Bool) {
    self.granter = granter
    self.reference = reference
    self.readOnly = readOnly
    self.host = host
    self.device = device
  }
}

/// Where a domain stands.
public enum GrantLife: Sendable, Hashable {
  case absent
  case running
  /// Retired, and not yet forgotten.
  case dying
}

/// Grant tables that can be looked into.
public protocol InspectableGrantTables: GrantTables {
  /// The first step of a domain's removal.
  func retire(_ domain: DomainID)
  /// The last step of a domain's removal; see `GrantMachine.forget`.
  func forget(_ domain: DomainID) -> Bool

  /// Puts the tables into a state; see `GrantMachine.restore`.
  func restore(_ views: [GrantDomainView?])

  func life(of domain: DomainID) -> GrantLife
  /// How many frames the domain's table has; 0 for an unknown domain.
  func tableFrames(of domain: DomainID) -> Int
  /// How many handles the domain has, used or not.
  func handleCount(of domain: DomainID) -> Int
  /// What is remembered of an entry; nil beyond the table.
  func active(_ reference: GrantReference, of domain: DomainID) -> GrantActiveView?
  /// The mapping that a handle names; nil if it names none.
  func mapping(_ handle: GrantHandle, of domain: DomainID) -> GrantHandleView?
  /// The first handle from a number on that names a mapping; nil if none does.
  func firstMapping(of domain: DomainID, from first: Int) -> GrantHandle?
  /// The handle that the domain's next mapping gets; nil if none is free.
  func nextHandle(of domain: DomainID) -> GrantHandle?
}

extension GrantMachine: InspectableGrantTables {
  public func life(of domain: DomainID) -> GrantLife {
    guard let domain = known(domain) else { return .absent }
    return domain.isDying ? .dying : .running
  }

  public func tableFrames(of domain: DomainID) -> Int { known(domain)?.frames.count ?? 0 }

  public func handleCount(of domain: DomainID) -> Int { known(domain)?.handles.count ?? 0 }

  public func active(_ reference: GrantReference, of domain: DomainID) -> GrantActiveView? {
    guard let domain = known(domain), Int(reference.rawValue) < domain.active.count else { return nil }
    let active = domain.active[Int(reference.rawValue)]
    return GrantActiveView(
      frame: active.frame, domain: active.domain, hostRead: Int(active.pins.hostRead),
      hostWrite: Int(active.pins.hostWrite), deviceRead: Int(active.pins.deviceRead),
      deviceWrite: Int(active.pins.deviceWrite))
  }

  public func mapping(_ handle: GrantHandle, of domain: DomainID) -> GrantHandleView? {
    known(domain)?.mapping(handle).map {
      GrantHandleView(
        granter: $0.granter, reference: $0.reference, readOnly: $0.use.readOnly, host: $0.use.host,
        device: $0.use.device)
    }
  }

  public func firstMapping(of domain: DomainID, from first: Int) -> GrantHandle? {
    guard let handles = known(domain)?.handles, first < handles.count else { return nil }
    return (first..<handles.count).first { !handles[$0].isFree }.map { GrantHandle(UInt32($0)) }
  }

  public func nextHandle(of domain: DomainID) -> GrantHandle? { known(domain)?.nextHandle }
}
