// SPDX-License-Identifier: Apache-2.0

import Devices
import Glibc
import Hypervisor
import Interfaces
import Synchronization
import Xenstore

/// Runs one domain in the foreground, through its restarts, to its end.
public final class DomainRunner: Sendable {
  /// How the run came to its end, and what the hypervisor counted in the domain's last life.
  public struct Outcome: Sendable {
    public var end: DomainEnd
    public var statistics: [(name: String, count: UInt64)]
  }

  private struct Progress {
    var domain: Domain?
    var isStopped = false
  }
  private let progress = Mutex(Progress())
  private let note: @Sendable (String) -> Void

  /// - Parameter note: is told of restarts, in a line each.
  public init(note: @escaping @Sendable (String) -> Void = { _ in }) {
    self.note = note
  }

  /// Runs a domain.
  /// - Parameters:
  ///   - console: where its console goes; its `ended` should call `stop`.
  ///   - machinery: the machines that it runs on.
  ///   - isSandboxed: whether the process is confined before the domain's first instruction, for good.
  ///   - starting: called when all checks have passed, just before the domain starts for the first time. Until then the
  ///     process has one thread.
  /// - Throws: if the domain cannot be started, in one line; nothing has been run then.
  public func run(
    _ configuration: GuestConfiguration, console: ConsoleStreams, machinery: any Machinery,
    isSandboxed: Bool, starting: () -> Void = {}
  ) throws(ToolstackError) -> Outcome {
    do { try configuration.type.checkSupport() } catch { throw ToolstackError(error.description) }
    let plan = try DomainPlan(configuration)
    let host: Host
    do {
      host = try Host(guestFrames: plan.frameCount + Domain.overheadFrames, machinery: machinery)
    } catch {
      throw ToolstackError(error.description)
    }
    let store = Store()
    let control = DomainControl(configuration, store, console.attachments) { [self] in stop() }
    let server = ControlServer(for: configuration.name, control)
    if server == nil {
      note("domain \(configuration.name) has no control socket: \(ControlDirectory.path) cannot be used")
    }
    defer {
      server?.close()
      control.close()
    }
    let startUp = StartUpMemory()
    let hasUserNetwork = configuration.interfaces.contains { $0.tap == nil }
    if isSandboxed {
      let isolation = Isolation(
        hasUserNetwork: hasUserNetwork, socketFolder: server == nil ? nil : ControlDirectory.path)
      for line in isolation.enter() { note("sandbox: \(line)") }
    }
    // Threads from here on.
    control.start()
    server?.start()
    starting()
    var pace = RestartPace()
    var sandbox =
      isSandboxed
      ? Sandbox(hasUserNetwork: hasUserNetwork, rings: plan.disks.compactMap(\.queue.ring)) : nil
    while true {
      let life = try RunningDomain(plan, on: host, store, console: console)
      defer {
        if !life.close() { note("memory of domain \(configuration.name) is still in use by another domain") }
      }
      // Once, for all lives.
      startUp.giveBack()
      try sandbox?.enter()
      sandbox = nil
      control.enter(life.domain)
      let end = try isEntered(life.domain) ? life.run() : .killed
      control.enter(nil)
      progress.withLock { $0.domain = nil }
      let outcome = Outcome(end: end, statistics: life.domain.statistics)
      guard restarts(after: end, configuration), pace.allowsAnother() else { return outcome }
      note("domain \(configuration.name) \(end); it starts again")
    }
  }

  /// Ends the domain from outside, from any thread; `run` returns soon, or at once if it has not got so far.
  public func stop() {
    let domain = progress.withLock { progress in
      progress.isStopped = true
      return progress.domain
    }
    domain?.kill()
  }

  /// Makes a domain the one that `stop` ends; false if that was called already.
  private func isEntered(_ domain: Domain) -> Bool {
    progress.withLock { progress in
      progress.domain = domain
      return !progress.isStopped
    }
  }

  private func restarts(after end: DomainEnd, _ configuration: GuestConfiguration) -> Bool {
    if progress.withLock({ $0.isStopped }) { return false }
    return switch end {
    case .poweroff: configuration.onPoweroff == .restart
    case .reboot: configuration.onReboot == .restart
    case .crashed: configuration.onCrash == .restart
    case .killed: false
    }
  }
}

/// Keeps a domain that ends at once from being restarted for ever.
private struct RestartPace {
  private var starts: [time_t] = []

  /// Restarts within `period` seconds.
  private static let limit = 5
  private static let period: time_t = 10

  mutating func allowsAnother() -> Bool {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    starts.append(now.tv_sec)
    starts.removeAll { $0 < now.tv_sec - Self.period }
    return starts.count <= Self.limit
  }
}
