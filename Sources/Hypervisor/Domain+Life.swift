// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// Start and end of a domain.
extension Domain {
  /// Starts vCPU 0; the others are the guest's to bring up.
  public func start(_ initial: FirstState) throws(HostError) {
    guard let first = processors.first else { return }
    let fresh = life.withLock { life in
      defer { life.started = true }
      return !life.started
    }
    guard fresh else { throw .badConfiguration("domain \(name) was started before") }
    try space.begin(first, initial)
    do throws(HostError) {
      for processor in processors { try startThread { processor.run() } }
      try startThread { self.timers.run() }
    } catch {
      kill()
      _ = wait()
      throw error
    }
  }

  /// Starts vCPU 0 of a PV guest.
  public func start(_ initial: InitialState) throws(HostError) { try start(.paravirtual(initial)) }

  private func startThread(_ body: @escaping @Sendable () -> Void) throws(HostError) {
    life.withLock { $0.running += 1 }
    do throws(HostError) {
      let thread = try Thread { [self] in
        body()
        life.withLock { $0.running -= 1 }
        threadEnded.notify()
      }
      life.withLock { $0.threads.append(thread) }
    } catch {
      life.withLock { $0.running -= 1 }
      throw error
    }
  }

  /// Blocks until the domain has ended and all its vCPUs have stopped; at once if it never started.
  public func wait() -> DomainEnd {
    while true {
      let generation = threadEnded.generation
      guard life.withLock({ $0.running > 0 }) else { break }
      threadEnded.wait(after: generation, nanoseconds: nil)
    }
    let threads = life.withLock { life in
      defer { life.threads = [] }
      return life.threads
    }
    for thread in threads { thread.join() }
    return life.withLock { $0.end ?? .killed }
  }

  /// Starts, and waits for the end.
  public func run(_ initial: FirstState) throws(HostError) -> DomainEnd {
    try start(initial)
    return wait()
  }

  /// Keeps the vCPUs out of the guest until `unpause`; its clock goes on. Those in the guest leave it soon.
  public func pause() {
    paused.store(true, ordering: .sequentiallyConsistent)
    for processor in processors { processor.kick() }
  }

  /// Lets the vCPUs go on.
  public func unpause() {
    paused.store(false, ordering: .sequentiallyConsistent)
    for processor in processors { processor.wakeUp.notify() }
  }

  public var isPaused: Bool { paused.load(ordering: .acquiring) }

  /// Ends the domain from outside; `wait` returns `.killed` unless it had ended already.
  public func kill() { end(.killed) }

  /// Ends the domain for what its guest did to memory that it shares with a back end, or the like.
  /// - Parameter reason: one line that names the cause.
  public func crash(_ reason: String) { end(.crashed(CrashReport(reason: reason))) }

  /// Whether the domain has ended; its vCPUs stop soon.
  public var hasEnded: Bool { ended.load(ordering: .acquiring) }

  /// The first end counts.
  func end(_ how: DomainEnd) {
    let first = life.withLock { life in
      guard life.end == nil else { return false }
      life.end = how
      return true
    }
    guard first else { return }
    ended.store(true, ordering: .sequentiallyConsistent)
    timers.stop()
    for processor in processors { processor.kick() }
  }
}
