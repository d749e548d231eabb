// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Synchronization

/// A domain's shared page, with the `vcpu_info` of its vCPUs at its beginning; notes who is kicked.
final class EventGuest: EventRecipient, @unchecked Sendable {
  let base = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
  private(set) var kicks = [Int](repeating: 0, count: 4)
  private(set) var stirs = 0

  init() { base.initializeMemory(as: UInt8.self, repeating: 0, count: 4096) }
  deinit { base.deallocate() }

  func kick(_ vcpu: Int) { kicks[vcpu] += 1 }
  func stir() { stirs += 1 }

  func info(_ vcpu: Int) -> UnsafeMutableRawPointer { base + 64 * vcpu }
  func word(at offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
  func upcallPending(_ vcpu: Int = 0) -> UnsafeMutablePointer<Atomic<UInt8>> {
    info(vcpu).assumingMemoryBound(to: Atomic<UInt8>.self)
  }
  func setUpcallMask(_ value: UInt8, _ vcpu: Int = 0) {
    info(vcpu).storeBytes(of: value, toByteOffset: 1, as: UInt8.self)
  }

  private func bit(_ offset: Int, _ port: EventPort) -> Bool {
    word(at: offset + Int(port.rawValue / 64) * 8).pointee.load(ordering: .relaxed)
      & 1 << UInt64(port.rawValue % 64) != 0
  }
  func isPending(_ port: EventPort) -> Bool { bit(2048, port) }
  func setMask(_ port: EventPort) {
    word(at: 2560 + Int(port.rawValue / 64) * 8).pointee
      .bitwiseOr(1 << UInt64(port.rawValue % 64), ordering: .relaxed)
  }

  /// Takes what a vCPU is told: the words that its selector names, if an up-call is pending; and who was kicked.
  func take(_ vcpu: Int = 0) -> (words: UInt64, isKicked: Bool) {
    let isKicked = kicks[vcpu] != 0
    kicks[vcpu] = 0
    guard upcallPending(vcpu).pointee.exchange(0, ordering: .relaxed) != 0 else { return (0, isKicked) }
    return (word(at: 64 * vcpu + 8).pointee.exchange(0, ordering: .relaxed), isKicked)
  }
  func clear(_ port: EventPort) {
    word(at: 2048 + Int(port.rawValue / 64) * 8).pointee
      .bitwiseAnd(~(1 << UInt64(port.rawValue % 64)), ordering: .relaxed)
  }
}

/// Two domains, 1 and 2, with two vCPUs each that have seen all.
final class EventHost: @unchecked Sendable {
  static let first = DomainID(1)
  static let second = DomainID(2)
  let ports = OptimisedEventPorts(words: SharedEventWords())
  let guests = [EventGuest(), EventGuest()]

  init(portCount: Int = EventLimits.portCount) {
    for (guest, id) in zip(guests, [Self.first, Self.second]) {
      _ = ports.addDomain(
        id, sharedInfo: guest.base, portCount: portCount, virtualCPUCount: 2, recipient: guest)
      for vcpu in 0..<2 {
        _ = ports.register(vcpu, of: id, info: guest.info(vcpu))
        _ = guest.take(vcpu)
      }
    }
  }

  /// Connects port `.0` of domain 1 to port `.1` of domain 2.
  func connect() -> (EventPort, EventPort) {
    let open = ports.allocateUnbound(Self.first, remote: Self.second).port
    let port = ports.bindInterdomain(Self.second, remote: Self.first, remotePort: open).port
    guests[1].clear(port)
    _ = guests[1].take()
    return (open, port)
  }
}
