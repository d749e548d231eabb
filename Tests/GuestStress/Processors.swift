// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

// What Swift's Glibc leaves out of <sched.h> and <sys/timerfd.h>.
@_silgen_name("sched_setaffinity")
private func setAffinity(_ thread: pid_t, _ size: Int, _ processors: UnsafePointer<UInt64>) -> CInt
@_silgen_name("timerfd_create")
private func createTimer(_ clock: CInt, _ flags: CInt) -> CInt
@_silgen_name("timerfd_settime")
private func setTimer(
  _ timer: CInt, _ flags: CInt, _ setting: UnsafePointer<itimerspec>, _ old: UnsafeMutablePointer<itimerspec>?
) -> CInt

/// A thread on one processor.
struct Thread {
  private final class Body {
    let processor: Int
    let run: () -> Void
    init(_ processor: Int, _ run: @escaping () -> Void) { (self.processor, self.run) = (processor, run) }
  }

  private let thread: pthread_t

  /// - Parameter processor: where it stays, if the machine has that many.
  init(processor: Int, _ run: @escaping () -> Void) {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(Body(processor, run)).toOpaque()
    let error = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
        pin(processor: body.processor)
        body.run()
        return nil
      }, body)
    require(error == 0, "pthread_create: error \(error)")
    self.thread = thread
  }

  func join() { pthread_join(thread, nil) }
}

/// Keeps this thread on a processor, if there are that many.
func pin(processor: Int) {
  var set: UInt64 = 1 << UInt64(processor)
  _ = setAffinity(0, MemoryLayout.size(ofValue: set), &set)
}

/// Four words in one register of 256 bits, where the program was built for AVX2; else in two.
private typealias Vector = SIMD4<UInt64>

/// Marsaglia's xorshift: every bit of the state matters for ever after.
/// - Parameter vector: in memory, for Swift passes it in two registers, and would then compute in two.
@inline(never) private func scramble(_ vector: UnsafeMutablePointer<Vector>, _ steps: Int) {
  var state = vector.pointee
  for _ in 0..<steps {
    state ^= state &<< 13
    state ^= state &>> 7
    state ^= state &<< 17
  }
  vector.pointee = state
}

@inline(never) private func scramble(_ start: UInt64, _ steps: Int) -> UInt64 {
  var state = start
  for _ in 0..<steps {
    state ^= state &<< 13
    state ^= state &>> 7
    state ^= state &<< 17
  }
  return state
}

/// Rounds of all threads.
private let scrambled = Atomic<Int>(0)

/// Four threads on two processors keep different vectors in the same registers, over interrupts and switches.
@Sendable func keepVectors(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  let threads = (1...4).map { number in
    Thread(processor: number % 2) {
      let steps = 2_000_000
      let seed = UInt64(number) &* 0x9e37_79b9_7f4a_7c15 | 1
      let words = (0..<4).map { seed &+ $0 << 32 }
      let expected = words.map { scramble($0, steps) }
      repeat {
        var found = Vector(words)
        if isPlanted { found[3] ^= 1 << 63 }
        scramble(&found, steps)
        require((0..<4).allSatisfy { found[$0] == expected[$0] }, "vectors: a register has changed")
        scrambled.add(1, ordering: .relaxed)
      } while !deadline.isOver
    }
  }
  for thread in threads { thread.join() }
  return scrambled.load(ordering: .relaxed)
}

/// The latest time that any thread has seen.
private let latest = Atomic<Int>(0)

private func lookAtClock() {
  let earlier = latest.load(ordering: .sequentiallyConsistent)
  let now = Int(nanoseconds())
  require(now >= earlier, "timers: the clock goes back by \(earlier - now) ns")
  latest.max(now, ordering: .sequentiallyConsistent)
}

/// A timer's expirations are as many as the time that has passed holds, and time goes on on both processors alike.
@Sendable func countExpirations(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  let period = 3_000_000
  let other = Thread(processor: 1) { while !deadline.isOver { lookAtClock() } }
  pin(processor: 0)
  let timer = createTimer(CLOCK_MONOTONIC, 0)
  let interval = timespec(tv_sec: 0, tv_nsec: isPlanted ? period * 2 : period)
  let earliest = nanoseconds()
  var setting = itimerspec(it_interval: interval, it_value: interval)
  require(timer >= 0 && setTimer(timer, 0, &setting, nil) == 0, "timers: error \(errno)")
  let begin = nanoseconds()
  /// Expirations since the last reading, of which there is at least one.
  func wait() -> Int {
    var expirations: UInt64 = 0
    require(read(timer, &expirations, 8) == 8, "timers: error \(errno)")
    return Int(expirations)
  }
  var (count, rounds) = (0, 0)
  repeat {
    rounds += 1
    count += wait()
    lookAtClock()
    var millisecond = timespec(tv_sec: 0, tv_nsec: 1_000_000)
    let before = nanoseconds()
    require(nanosleep(&millisecond, nil) == 0, "timers: error \(errno)")
    require(nanoseconds() - before >= 1_000_000, "timers: a sleep ends too soon")
  } while !deadline.isOver
  let atLeast = Int(nanoseconds() - begin) / period
  count += wait()
  let atMost = Int(nanoseconds() - earliest) / period
  require(atLeast <= count && count <= atMost, "timers: \(count) expirations, not \(atLeast) to \(atMost)")
  other.join()
  return rounds
}

/// Threads come and go, add under a lock, and wake each other over the processors.
@Sendable func shareCounter(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  let counter = UnsafeMutablePointer<Int>.allocate(capacity: 1)
  pthread_mutex_init(mutex, nil)
  pthread_cond_init(condition, nil)
  var rounds = 0
  repeat {
    rounds += 1
    counter.pointee = 0
    let adding = (0..<4).map { number in
      Thread(processor: number % 2) {
        for step in 0..<500 {
          pthread_mutex_lock(mutex)
          if !(isPlanted && step == 499) { counter.pointee += 1 }
          pthread_mutex_unlock(mutex)
        }
      }
    }
    for thread in adding { thread.join() }
    require(counter.pointee == 2000, "threads: \(counter.pointee) of 2000 additions")
    // Ping-pong: the even turns are one thread's, the odd ones the other's.
    let playing = (0..<2).map { number in
      Thread(processor: number) {
        pthread_mutex_lock(mutex)
        while counter.pointee < 2100 {
          if counter.pointee % 2 == number {
            counter.pointee += 1
            pthread_cond_signal(condition)
          } else {
            pthread_cond_wait(condition, mutex)
          }
        }
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
      }
    }
    for thread in playing { thread.join() }
    require(counter.pointee == 2100, "threads: \(counter.pointee) turns")
  } while !deadline.isOver
  return rounds
}
