// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What a vCPU's thread waits for, outside of the domain's lock.
enum Sleep {
  /// An event for this vCPU.
  case block
  /// Nothing in particular: the guest polls, and would burn a processor.
  case yield
  /// Its console, for so many nanoseconds: see `PollingGuess`.
  case polling(UInt64)
  /// One of some ports, or a system time (0: none).
  case poll([EventPort], until: UInt64)
}

/// `sched_op`. Source: xen/include/public/sched.h.
extension Processor {
  private enum SchedulerOperation: UInt64 {
    case yield = 0
    case block = 1
    case shutdown = 2
    case poll = 3
    case shutdownCode = 5
    case watchdog = 6
  }

  private enum ShutdownReason: UInt32 {
    case poweroff = 0
    case reboot = 1
    case suspend = 2
    case crash = 3
    case watchdog = 4
  }

  func schedulerOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    guard let operation = SchedulerOperation(rawValue: command) else { throw .notImplemented }
    switch operation {
    case .yield:
      sleep = .yield
    case .block:
      info.upcallMask.storeShared(0)
      if !info.isPending { sleep = .block }
    case .poll:
      try poll(address)
    case .shutdown, .shutdownCode:
      // shutdown_code only says why, before a shutdown by other means: none exists for PV guests.
      let reason = try argument(address, byteCount: 4).u32(0)
      if operation == .shutdown { try shutdown(reason) }
    case .watchdog:
      return try watchdog(address)
    }
    return 0
  }

  private func shutdown(_ code: UInt32) throws(HypercallError) {
    guard let reason = ShutdownReason(rawValue: code) else {
      crash("the guest shut itself down for reason \(code), which is unknown")
      return
    }
    switch reason {
    case .poweroff: domain.end(.poweroff)
    case .reboot: domain.end(.reboot)
    case .suspend: throw .notImplemented
    case .crash: crash("the guest says that it crashed")
    case .watchdog: crash("the guest's watchdog fired")
    }
  }

  /// `struct sched_watchdog`: id, timeout (32 bits each, the latter in seconds). Without an id it sets a watchdog up and
  /// returns its id, 1 or 2; a timeout of 0 takes it away. One that is not set anew in time ends the domain.
  private func watchdog(_ address: UInt64) throws(HypercallError) -> Int64 {
    let block = try argument(address, byteCount: 8)
    let (identifier, timeout) = (Int(block.u32(0)), UInt64(block.u32(4)))
    let deadline = timeout == 0 ? nil : domain.clock.now &+ timeout * 1_000_000_000
    if identifier == 0 {
      guard timeout != 0 else { throw .invalid }
      guard let free = (0..<Domain.watchdogCount).first(where: { !domain.watchdogs.contains($0) }) else {
        throw .noSpace
      }
      domain.watchdogs.insert(free)
      domain.timers.set(domain.watchdogTimer(free), deadline: deadline)
      return Int64(free + 1)
    }
    guard domain.watchdogs.contains(identifier - 1) else { throw .invalid }
    if deadline == nil { domain.watchdogs.remove(identifier - 1) }
    domain.timers.set(domain.watchdogTimer(identifier - 1), deadline: deadline)
    return 0
  }

  private static let maximumPolledPorts: UInt32 = 128

  /// `struct sched_poll`: ports (pointer), nr_ports (32 bits), timeout (64, system time).
  private func poll(_ address: UInt64) throws(HypercallError) {
    let block = try argument(address, byteCount: 24)
    guard block.u32(8) <= Self.maximumPolledPorts else { throw .invalid }
    var ports: [EventPort] = []
    for index in 0..<UInt64(block.u32(8)) {
      let port = EventPort(try argument(block.u64(0) &+ index * 4, byteCount: 4).u32(0))
      guard port.rawValue < UInt32(EventLimits.portCount) else { throw .invalid }
      ports.append(port)
    }
    sleep = .poll(ports, until: block.u64(16))
  }

  // MARK: Waiting

  /// How long a yield sleeps at most: long enough to leave the processor to others, short enough to poll keys.
  private static let longestYield: UInt64 = 1_000_000

  /// Sleeps, with no lock held, until what the guest waits for has come or the domain has ended.
  func wait(_ sleep: Sleep) {
    switch sleep {
    case .yield:
      waitForWakeUp(nanoseconds: Self.longestYield)
    case .polling(let nanoseconds):
      waitForWakeUp(nanoseconds: nanoseconds)
    case .block:
      waitUntil(deadline: nil) { info.isPending }
    case .poll(let ports, let deadline):
      isPolling = true
      // An up-call that is due ends it too, as in real Xen.
      waitUntil(deadline: deadline == 0 ? nil : deadline) {
        info.isPending && !info.isMasked || isPending(oneOf: ports)
      }
    }
  }

  /// Whether one of some ports is pending; if not, the vCPU is kicked when one is.
  private func isPending(oneOf ports: [EventPort]) -> Bool {
    domain.host.events.perform { events in
      ports.contains { events.poll($0, by: index, of: domain.id) }
    }
  }

  /// Waits for a wake-up since the last such wait.
  private func waitForWakeUp(nanoseconds: UInt64) {
    wakeUp.wait(after: seenGeneration, nanoseconds: nanoseconds)
    seenGeneration = wakeUp.generation
  }

  private func waitUntil(deadline: UInt64?, _ come: () -> Bool) {
    while true {
      let generation = wakeUp.generation
      guard !come(), !domain.hasEnded else { return }
      guard let deadline else {
        wakeUp.wait(after: generation, nanoseconds: nil)
        continue
      }
      let now = domain.clock.now
      guard now < deadline else { return }
      wakeUp.wait(after: generation, nanoseconds: deadline - now)
    }
  }
}
