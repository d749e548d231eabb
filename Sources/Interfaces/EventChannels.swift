// SPDX-License-Identifier: Apache-2.0
//
// Event channels, two-level: 64 words of 64 ports a domain; and the one interface behind which the specification's
// lockstep and the optimised machine both stand.
// Source: xen/include/public/event_channel.h, xen.h (struct shared_info, struct vcpu_info), errno.h.

/// What an operation on event channels answers (`XEN_E*`, negated, as hypercalls return them).
public enum EventStatus: Int64, Sendable, Hashable, CaseIterable {
  case okay = 0
  /// ENOENT: the domain has no such vCPU.
  case noEntry = -2
  /// ESRCH: there is no such domain.
  case noSuchDomain = -3
  /// EEXIST: the vCPU has a port for this virtual interrupt already.
  case exists = -17
  /// EINVAL: the port, or the virtual interrupt, is not one that the operation can be done with.
  case invalid = -22
  /// ENOSPC: every port of the domain is open.
  case noSpace = -28
}

/// The limits of two-level channels in a 64-bit guest.
public enum EventLimits {
  /// Port numbers: 1 ..< 4096. Port 0 is never open.
  public static let portCount = 4096
  /// Virtual interrupts (`VIRQ_*`): 0 ..< 24.
  public static let virtualInterruptCount = 24
}

/// What a port is bound to.
public enum EventBinding: Sendable, Hashable {
  case closed
  /// It waits for `remote` to bind to it.
  case unbound(remote: DomainID)
  case interdomain(remote: DomainID, port: EventPort)
  case virtualInterrupt(UInt32)
  /// An interrupt from one vCPU of the domain to another.
  case interprocessor
}

/// One port of a domain.
public struct EventPortState: Sendable, Hashable {
  public var binding: EventBinding
  /// The vCPU that is told of its events; 0 for a closed port.
  public var vcpu: Int

  public init(binding: EventBinding = .closed, vcpu: Int = 0) {
    self.binding = binding
    self.vcpu = vcpu
  }
}

/// What a binding gives back; the port means something only when the status is okay, and is 0 otherwise.
public struct EventBound: Sendable, Hashable {
  public var status: EventStatus
  public var port: EventPort

  public init(status: EventStatus, port: EventPort = EventPort(0)) {
    self.status = status
    self.port = port
  }
}

/// A domain's vCPUs, as event channels move them. Called in the midst of an operation, under whatever lock the caller of
/// `EventPorts` holds: it calls nothing of `EventPorts`.
public protocol EventRecipient: AnyObject {
  /// The vCPU has an up-call, or an event that it polls for: it is made to leave the guest, or to wake.
  func kick(_ vcpu: Int)

  /// An event was sent to one of the domain's ports, whether anybody is to be told or not. No rule rests on it: it is
  /// for those who wait without having said for what.
  func stir()
}

/// The event channels of all domains of a host.
///
/// Rules, in the specification's numbering, stand in Specs/EventChannels. Every number that a guest supplies is
/// checked. Calls are serialised by the caller; the guest's own loads and stores are not. Which domain DOMID_SELF is,
/// and whether a caller may act for another, is settled before.
public protocol EventPorts: AnyObject {
  /// Begins a domain whose ports are all closed and whose vCPUs are not registered.
  /// - Parameters:
  ///   - sharedInfo: the domain's `shared_info`, 4096 bytes, aligned to 8; it stays until `removeDomain`.
  ///   - portCount: ports 1 ..< portCount can be opened, at most `EventLimits.portCount`.
  ///   - virtualCPUCount: 1 … 256.
  /// - Returns: exists if the domain is there already; noSuchDomain for a number out of range.
  func addDomain(
    _ domain: DomainID, sharedInfo: UnsafeMutableRawPointer, portCount: Int, virtualCPUCount: Int,
    recipient: any EventRecipient
  ) -> EventStatus

  /// Ends a domain; others' ports that were bound to it wait for it again. Its memory is not touched from now on.
  func removeDomain(_ domain: DomainID)

  /// A vCPU is there, or what it shares lies elsewhere from now on (`VCPUOP_register_vcpu_info`): everything counts as
  /// pending once.
  /// - Parameter info: its `vcpu_info`, 64 bytes, aligned to 8; it stays until the next call, or `removeDomain`.
  func register(_ vcpu: Int, of domain: DomainID, info: UnsafeMutableRawPointer) -> EventStatus

  /// `EVTCHNOP_alloc_unbound`.
  func allocateUnbound(_ domain: DomainID, remote: DomainID) -> EventBound

  /// `EVTCHNOP_bind_interdomain`.
  func bindInterdomain(_ domain: DomainID, remote: DomainID, remotePort: EventPort) -> EventBound

  /// `EVTCHNOP_bind_virq`.
  func bindVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID) -> EventBound

  /// `EVTCHNOP_bind_ipi`.
  func bindInterprocessor(on vcpu: Int, of domain: DomainID) -> EventBound

  /// `EVTCHNOP_bind_vcpu`: what is pending moves with the port.
  func bindVirtualCPU(_ port: EventPort, to vcpu: Int, of domain: DomainID) -> EventStatus

  /// `EVTCHNOP_send`.
  func send(_ port: EventPort, by domain: DomainID) -> EventStatus

  /// Raises a virtual interrupt at a vCPU, if the guest has a port for it there.
  func raiseVirtualInterrupt(_ number: UInt32, on vcpu: Int, of domain: DomainID)

  /// `EVTCHNOP_unmask`.
  func unmask(_ port: EventPort, of domain: DomainID) -> EventStatus

  /// `EVTCHNOP_close`.
  func close(_ port: EventPort, of domain: DomainID) -> EventStatus

  /// `EVTCHNOP_status`; a port that is closed is okay.
  func status(of port: EventPort, in domain: DomainID) -> (status: EventStatus, state: EventPortState)

  /// `EVTCHNOP_reset`: closes all ports of a domain.
  func reset(_ domain: DomainID) -> EventStatus

  /// `SCHEDOP_poll` of one port; a poll of several is each of them. If the port is not pending the vCPU is kicked when
  /// it is, until it resumes.
  /// - Returns: whether the vCPU is not to sleep: the port is pending, or one of the numbers names nothing.
  func poll(_ port: EventPort, by vcpu: Int, of domain: DomainID) -> Bool

  /// The vCPU goes on: it polls no more, and an up-call that is pending and not masked is to be made now; up-calls are
  /// then masked.
  /// - Returns: whether an up-call is to be made.
  func resume(_ vcpu: Int, of domain: DomainID) -> Bool
}
