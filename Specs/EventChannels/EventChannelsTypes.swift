// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic

public enum PortSort: WordSort {
  /// The ABI's port numbers have 32 bits; a domain has ports of at most 12.
  public static let sort = Sort.word("Port", realBits: 32, scopeBits: 2)
}
public enum VirtualCPUSort: IdentitySort {
  /// Two-level channels serve the vCPUs whose `vcpu_info` lies in `shared_info`, and those that registered another.
  public static let sort = Sort.identity("VCPU", realBits: 13, scopeCount: 2)
}
public enum VirtualInterruptSort: IdentitySort {
  public static let sort = Sort.identity("VIRQ", realBits: 5, scopeCount: 1)
}

public typealias Port = Word<PortSort>
public typealias VirtualCPU = ID<VirtualCPUSort>
public typealias VirtualInterrupt = ID<VirtualInterruptSort>

extension EventStatus: ChoiceSort {}

/// What an operation answers.
public typealias EventAnswer = Choice<EventStatus>

/// What a port is bound to.
public enum ChannelKind: ChoiceSort {
  case closed
  /// It waits for a domain to bind to it.
  case unbound
  case interdomain, virtualInterrupt, interprocessor
}

/// One port of a domain, kept where no domain can write.
public struct Channel: Record {
  public var kind = Choice(ChannelKind.closed)
  /// unbound: who may bind. interdomain: who has bound.
  public var remote = Domain(0)
  /// interdomain: the port at the other end.
  public var remotePort = Port(0)
  /// virtualInterrupt: which.
  public var interrupt = VirtualInterrupt(0)
  /// Whom an event is told.
  public var vcpu = VirtualCPU(0)

  public init() {}
  public static var fields: [Field<Channel>] {
    [Field(\.kind), Field(\.remote), Field(\.remotePort), Field(\.interrupt), Field(\.vcpu)]
  }

  var isOpen: Bit { kind != .closed }
}

/// Where the guest's handler of up-calls stands on a vCPU.
public enum HandlerStep: ChoiceSort {
  case idle
  /// The up-call was made; the guest is about to clear `evtchn_upcall_pending`.
  case entered
  /// It is about to take the words to look at out of `evtchn_pending_sel`.
  case swapping
  /// It looks at the words that it took.
  case scanning
  /// It has enabled up-calls, and is about to see whether one is pending.
  case enabling
}

/// Whether a vCPU runs.
public enum Rest: ChoiceSort {
  case awake
  /// SCHEDOP_block: until an up-call is pending.
  case blocked
  /// SCHEDOP_poll: until one of some ports is pending, masked or not.
  case polling
}

/// What a vCPU shares with the hypervisor (`vcpu_info`) and what its guest does about it.
public struct VirtualCPUState: Record {
  /// Whether it is there, and with it what it shares.
  public var isReady: Bit = false
  /// evtchn_upcall_pending.
  public var upcall: Bit = false
  /// evtchn_upcall_mask, in memory.
  public var isMasked: Bit = false
  /// The guest's store of 0 to evtchn_upcall_mask has not reached memory yet.
  public var isUnmasking: Bit = false
  public var step = Choice(HandlerStep.idle)
  public var rest = Choice(Rest.awake)
  /// It is made to leave the guest, or to wake: it passes `resume` before long.
  public var isKicked: Bit = false

  public init() {}
  public static var fields: [Field<VirtualCPUState>] {
    [
      Field(\.isReady), Field(\.upcall), Field(\.isMasked), Field(\.isUnmasking), Field(\.step),
      Field(\.rest),
      Field(\.isKicked),
    ]
  }
}

/// How far the hypervisor is with telling a domain of an event.
public enum DeliveryStep: ChoiceSort {
  case none
  /// About to look whether the port is pending and not masked.
  case looking
  /// About to set the port's word in the selector.
  case selecting
  /// About to set evtchn_upcall_pending, and to kick the vCPU if it was clear.
  case notifying
  /// About to wake those who poll the port.
  case waking
}

/// The event that is being delivered; one at a time, under the hypervisor's lock.
public struct Delivery: Record {
  public var step = Choice(DeliveryStep.none)
  public var domain = Domain(0)
  public var port = Port(0)

  public init() {}
  public static var fields: [Field<Delivery>] { [Field(\.step), Field(\.domain), Field(\.port)] }
}
