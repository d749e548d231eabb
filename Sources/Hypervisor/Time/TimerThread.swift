// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// The timers of one domain, those of its vCPUs and others: a thread that tells when a deadline has come.
final class TimerThread: Sendable {
  private struct State {
    var timers: [Timer]
    var stopped = false
  }
  /// What each of them is: a timer for a system time, and one that fires again and again.
  private struct Timer {
    var deadline: UInt64?
    var period: UInt64 = 0
    var nextTick: UInt64?

    var next: UInt64? { [deadline, nextTick].compactMap { $0 }.min() }

    /// Whether one of them is due; sets both anew.
    mutating func fires(at now: UInt64) -> Bool {
      guard let next, next <= now else { return false }
      if let deadline, deadline <= now { self.deadline = nil }
      // Ticks that were missed are not made up for.
      if let nextTick, nextTick <= now { self.nextTick = now &+ period }
      return true
    }
  }
  private let state: Mutex<State>
  private let wakeUp = WakeUp()
  private let clock: SystemClock
  /// Called on the timer's thread, with no lock held.
  private let expired: @Sendable (Int) -> Void

  /// - Parameter expired: called with a timer's number, `0 ..< count`, when it fires.
  init(count: Int, clock: SystemClock, expired: @escaping @Sendable (Int) -> Void) {
    state = Mutex(State(timers: Array(repeating: Timer(), count: count)))
    self.clock = clock
    self.expired = expired
  }

  /// Sets, or with nil switches off, a timer; a deadline that has passed fires at once.
  func set(_ timer: Int, deadline: UInt64?) {
    state.withLock { $0.timers[timer].deadline = deadline }
    if deadline != nil { wakeUp.notify() }
  }

  /// Sets, or with nil switches off, a vCPU's periodic timer.
  /// - Parameter nanoseconds: at least a millisecond.
  func setPeriod(_ vcpu: Int, nanoseconds: UInt64?) {
    let now = clock.now
    state.withLock { state in
      state.timers[vcpu].period = nanoseconds ?? 0
      state.timers[vcpu].nextTick = nanoseconds.map { now &+ $0 }
    }
    if nanoseconds != nil { wakeUp.notify() }
  }

  func stop() {
    state.withLock { $0.stopped = true }
    wakeUp.notify()
  }

  /// The thread's body.
  func run() {
    while true {
      let generation = wakeUp.generation
      let now = clock.now
      let (due, next, stopped) = state.withLock { state in
        let due = state.timers.indices.filter { state.timers[$0].fires(at: now) }
        return (due, state.timers.compactMap(\.next).min(), state.stopped)
      }
      if stopped { return }
      for vcpu in due { expired(vcpu) }
      if due.isEmpty { wakeUp.wait(after: generation, nanoseconds: next.map { $0 - min(now, $0) }) }
    }
  }
}
