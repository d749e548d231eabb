// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Where a thread sleeps until something happens that it should look at.
///
/// Each `notify` makes a new generation: who looked before it, and then waits for that generation to end, misses
/// nothing.
final class WakeUp: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var current: UInt64 = 0

  init() {
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// The number of `notify` calls so far.
  var generation: UInt64 {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return current
  }

  /// Wakes all who wait.
  func notify() {
    pthread_mutex_lock(mutex)
    current &+= 1
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Sleeps until a `notify` after `generation`, or until a time has passed.
  /// - Parameter nanoseconds: nil means for ever.
  func wait(after generation: UInt64, nanoseconds: UInt64?) {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    guard let nanoseconds else {
      while current == generation { pthread_cond_wait(condition, mutex) }
      return
    }
    var until = timespec()
    clock_gettime(CLOCK_MONOTONIC, &until)
    // A day is as good as for ever, and does not overflow.
    let bounded = Int(min(nanoseconds, 86_400_000_000_000))
    until.tv_sec += bounded / 1_000_000_000
    until.tv_nsec += bounded % 1_000_000_000
    if until.tv_nsec >= 1_000_000_000 {
      until.tv_sec += 1
      until.tv_nsec -= 1_000_000_000
    }
    while current == generation {
      if pthread_cond_timedwait(condition, mutex, &until) == ETIMEDOUT { return }
    }
  }
}
