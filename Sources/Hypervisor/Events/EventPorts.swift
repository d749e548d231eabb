// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What one port of a guest is bound to. Source: xen/include/public/event_channel.h.
struct EventPortState {
  enum Binding {
    case free
    /// Waits for `remote` to bind to it.
    case unbound(remote: DomainID)
    /// The other end is a back end in this process.
    case host(HostEventChannel)
    case interdomain(remote: DomainID, port: EventPort)
    case virtualInterrupt(UInt32)
    /// An interrupt from one vCPU of the domain to another.
    case interprocessor
  }

  var binding: Binding = .free
  /// The vCPU that is told.
  var vcpu = 0
}

/// Where events of a domain go: its shared pages and its sleeping or running vCPUs.
protocol EventSink: AnyObject, Sendable {
  /// Marks a port pending and tells a vCPU, unless the guest has masked the port.
  func deliver(_ port: EventPort, to vcpu: Int)
  /// Tells a vCPU of a port that is pending and not masked: one that has moved to it.
  func announce(_ port: EventPort, to vcpu: Int)
  /// Clears the mask of a port, and tells a vCPU of it if it is pending.
  func unmask(_ port: EventPort, vcpu: Int)
  /// Clears what the guest sees of a port that is bound anew.
  func clearPending(_ port: EventPort)
}

/// The ports of one domain.
struct EventPorts {
  /// Ports that two-level channels can number in a 64-bit guest.
  static let maximum = 4096

  let sink: any EventSink
  private(set) var ports: [EventPortState] = [EventPortState()]

  init(sink: any EventSink) { self.sink = sink }

  /// The state of a port; nil if it is free or was never used.
  subscript(port: EventPort) -> EventPortState? {
    get {
      guard port.rawValue < UInt32(ports.count) else { return nil }
      let state = ports[Int(port.rawValue)]
      if case .free = state.binding { return nil }
      return state
    }
    set {
      guard port.rawValue < UInt32(ports.count) else { return }
      ports[Int(port.rawValue)] = newValue ?? EventPortState()
    }
  }

  /// Binds the lowest free port (never 0).
  mutating func allocate(_ state: EventPortState) throws(HypercallError) -> EventPort {
    for index in 1..<max(ports.count, 1) {
      if case .free = ports[index].binding {
        ports[index] = state
        sink.clearPending(EventPort(UInt32(index)))
        return EventPort(UInt32(index))
      }
    }
    guard ports.count < Self.maximum else { throw .noSpace }
    ports.append(state)
    sink.clearPending(EventPort(UInt32(ports.count - 1)))
    return EventPort(UInt32(ports.count - 1))
  }
}
