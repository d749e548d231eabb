// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// One port, where no domain can write.
struct EventChannel {
  enum Kind: UInt8 {
    case closed, unbound, interdomain, virtualInterrupt, interprocessor
  }

  var kind = Kind.closed
  /// Whom an event is told.
  var vcpu: UInt8 = 0
  /// unbound: who may bind. interdomain: who has bound.
  var remote = DomainID(0)
  /// interdomain: the port at the other end. virtualInterrupt: which.
  var number: UInt32 = 0

  var state: EventPortState {
    let binding: EventBinding =
      switch kind {
      case .closed: .closed
      case .unbound: .unbound(remote: remote)
      case .interdomain: .interdomain(remote: remote, port: EventPort(number))
      case .virtualInterrupt: .virtualInterrupt(number)
      case .interprocessor: .interprocessor
      }
    return EventPortState(binding: binding, vcpu: Int(vcpu))
  }
}

/// What is kept of a vCPU.
struct EventVirtualCPU {
  /// What it shares, once it is there.
  var info: UnsafeMutableRawPointer?
  /// The words of `EventDomain.polled` in which it has ports.
  var polledWords: UInt64 = 0
}

/// The ports of one domain. Every port is taken, found and given back in constant time.
final class EventDomain {
  let id: DomainID
  let sharedInfo: UnsafeMutableRawPointer
  let recipient: any EventRecipient
  /// By port.
  var channels: ContiguousArray<EventChannel>
  var vcpus: ContiguousArray<EventVirtualCPU>
  /// Closed ports, a bit each; and the words of these that are not 0, a bit each.
  private var closed: ContiguousArray<UInt64>
  private var closedWords: UInt64 = 0
  /// The port of each virtual interrupt, vCPU by vCPU; 0 for none.
  private var interruptPorts: ContiguousArray<UInt16>
  /// The ports that vCPUs poll, a bit each, vCPU by vCPU.
  private var polled: ContiguousArray<UInt64>
  let wordCount: Int

  init(
    id: DomainID, sharedInfo: UnsafeMutableRawPointer, portCount: Int, virtualCPUCount: Int,
    recipient: any EventRecipient
  ) {
    self.id = id
    self.sharedInfo = sharedInfo
    self.recipient = recipient
    wordCount = (portCount + 63) / 64
    channels = ContiguousArray(repeating: EventChannel(), count: portCount)
    vcpus = ContiguousArray(repeating: EventVirtualCPU(), count: virtualCPUCount)
    closed = ContiguousArray(repeating: 0, count: wordCount)
    interruptPorts = ContiguousArray(
      repeating: 0, count: virtualCPUCount * EventLimits.virtualInterruptCount)
    polled = ContiguousArray(repeating: 0, count: virtualCPUCount * wordCount)
    for port in 1..<portCount { giveBack(port) }
  }

  /// Whether a number is that of a port.
  func hasPort(_ port: EventPort) -> Bool {
    port.rawValue != 0 && port.rawValue < UInt32(channels.count)
  }

  /// A port that is open; nil for any other number.
  func open(_ port: EventPort) -> EventChannel? {
    guard hasPort(port), channels[Int(port.rawValue)].kind != .closed else { return nil }
    return channels[Int(port.rawValue)]
  }

  func isReady(_ vcpu: Int) -> Bool { vcpus.indices.contains(vcpu) && vcpus[vcpu].info != nil }

  func place(_ port: EventPort) -> EventPlace { EventPlace(domain: id, port: port, sharedInfo: sharedInfo) }

  /// What a vCPU shares; nil before it is there.
  func upcall(_ vcpu: Int) -> UpcallPlace? {
    guard vcpus.indices.contains(vcpu), let info = vcpus[vcpu].info else { return nil }
    return UpcallPlace(domain: id, vcpu: vcpu, info: info)
  }

  // MARK: Ports

  /// The closed port of the lowest number; nil if all are open.
  var lowestClosed: EventPort? {
    guard closedWords != 0 else { return nil }
    let word = closedWords.trailingZeroBitCount
    return EventPort(UInt32(word * 64 + closed[word].trailingZeroBitCount))
  }

  func take(_ port: EventPort, _ channel: EventChannel) {
    let (word, bit) = (Int(port.rawValue / 64), UInt64(1) &<< UInt64(port.rawValue % 64))
    closed[word] &= ~bit
    if closed[word] == 0 { closedWords &= ~(1 &<< UInt64(word)) }
    channels[Int(port.rawValue)] = channel
    if channel.kind == .virtualInterrupt {
      setInterruptPort(port, number: channel.number, vcpu: Int(channel.vcpu))
    }
  }

  /// Closes a port on this side only.
  func shut(_ port: EventPort) {
    let channel = channels[Int(port.rawValue)]
    if channel.kind == .virtualInterrupt {
      setInterruptPort(EventPort(0), number: channel.number, vcpu: Int(channel.vcpu))
    }
    channels[Int(port.rawValue)] = EventChannel()
    giveBack(Int(port.rawValue))
  }

  private func giveBack(_ port: Int) {
    closed[port / 64] |= 1 &<< UInt64(port % 64)
    closedWords |= 1 &<< UInt64(port / 64)
  }

  /// Of a word's ports those that are not as every closed one is, a bit each.
  func usedPorts(_ word: Int) -> UInt64 {
    guard word < wordCount else { return 0 }
    var used: UInt64 = 0
    for port in word * 64..<min(word * 64 + 64, channels.count)
    where channels[port].kind != .closed || channels[port].vcpu != 0 {
      used |= 1 &<< UInt64(port % 64)
    }
    return used
  }

  // MARK: Virtual interrupts

  /// The port of a vCPU's virtual interrupt; nil if there is none.
  func interruptPort(_ number: UInt32, _ vcpu: Int) -> EventPort? {
    guard number < UInt32(EventLimits.virtualInterruptCount), vcpus.indices.contains(vcpu) else { return nil }
    let port = interruptPorts[vcpu * EventLimits.virtualInterruptCount + Int(number)]
    return port == 0 ? nil : EventPort(UInt32(port))
  }

  /// Which virtual interrupts of a vCPU have a port, a bit each.
  func boundInterrupts(on vcpu: Int) -> UInt32 {
    guard vcpus.indices.contains(vcpu) else { return 0 }
    var bound: UInt32 = 0
    for number in 0..<EventLimits.virtualInterruptCount
    where interruptPorts[vcpu * EventLimits.virtualInterruptCount + number] != 0 {
      bound |= 1 &<< UInt32(number)
    }
    return bound
  }

  private func setInterruptPort(_ port: EventPort, number: UInt32, vcpu: Int) {
    interruptPorts[vcpu * EventLimits.virtualInterruptCount + Int(number)] = UInt16(port.rawValue)
  }

  // MARK: Polls

  func setPolled(_ port: EventPort, by vcpu: Int) {
    let word = Int(port.rawValue / 64)
    polled[vcpu * wordCount + word] |= 1 &<< UInt64(port.rawValue % 64)
    vcpus[vcpu].polledWords |= 1 &<< UInt64(word)
  }

  func isPolled(_ port: EventPort, by vcpu: Int) -> Bool {
    let word = UInt64(port.rawValue / 64)
    guard vcpus[vcpu].polledWords & 1 &<< word != 0 else { return false }
    return polled[vcpu * wordCount + Int(word)] & 1 &<< UInt64(port.rawValue % 64) != 0
  }

  /// Of a word's ports those that a vCPU polls, a bit each.
  func polledPorts(_ word: Int, by vcpu: Int) -> UInt64 {
    guard word < wordCount, vcpus[vcpu].polledWords & 1 &<< UInt64(word) != 0 else { return 0 }
    return polled[vcpu * wordCount + word]
  }

  func endPoll(of vcpu: Int) {
    while vcpus[vcpu].polledWords != 0 {
      polled[vcpu * wordCount + vcpus[vcpu].polledWords.trailingZeroBitCount] = 0
      vcpus[vcpu].polledWords &= vcpus[vcpu].polledWords - 1
    }
  }
}
