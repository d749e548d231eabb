// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// The timers of one domain's vCPUs: a thread that raises the timer interrupt when a deadline has come.
final class TimerThread: Sendable {
  private struct State {
    /// The deadline of each vCPU in system time; nil if its timer is off.
    var deadlines: [UInt64?]
    var stopped = false
  }
  private let state: Mutex<State>
  private let wakeUp = WakeUp()
  private let clock: SystemClock
  /// Called on the timer's thread, with no lock held.
  private let expired: @Sendable (Int) -> Void

  init(virtualCPUs: Int, clock: SystemClock, expired: @escaping @Sendable (Int) -> Void) {
    state = Mutex(State(deadlines: Array(repeating: nil, count: virtualCPUs)))
    self.clock = clock
    self.expired = expired
  }

  /// Sets, or with nil switches off, a vCPU's timer; a deadline that has passed fires at once.
  func set(_ vcpu: Int, deadline: UInt64?) {
    state.withLock { $0.deadlines[vcpu] = deadline }
    if deadline != nil { wakeUp.notify() }
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
        var due: [Int] = []
        for (vcpu, deadline) in state.deadlines.enumerated() {
          guard let deadline, deadline <= now else { continue }
          state.deadlines[vcpu] = nil
          due.append(vcpu)
        }
        return (due, state.deadlines.compactMap { $0 }.min(), state.stopped)
      }
      if stopped { return }
      for vcpu in due { expired(vcpu) }
      if due.isEmpty { wakeUp.wait(after: generation, nanoseconds: next.map { $0 - min(now, $0) }) }
    }
  }
}
