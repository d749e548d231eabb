// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Xenstore

/// A disk whose operations a few threads carry out: where there is no io_uring. They start with the first operation: when a
/// disk is opened, the process is yet to be confined, thread by thread.
final class ThreadedQueue: BlockQueue {
  private let pool: Pool
  private let workers: [ServiceThread]
  private let hasStarted = Atomic(false)

  init(_ storage: any BlockStorage, threadCount: Int) {
    pool = Pool(storage, threadCount: threadCount)
    workers = (0..<threadCount).map { ServiceThread(name: "disk-\($0)") }
  }

  private func startWorkers() {
    for (number, worker) in workers.enumerated() {
      worker.start { [pool] in
        while let (operation, tag) = pool.next(for: number) {
          pool.finish(tag, isDone: operation.carryOut(on: pool.storage))
        }
      }
    }
  }

  deinit { for worker in workers { worker.stop() } }

  var storage: any BlockStorage { pool.storage }
  var descriptor: Int32 { pool.wakeUp.descriptor }
  var ring: Int32? { nil }

  func submit(_ operation: DiskOperation, tag: Int) {
    if !hasStarted.exchange(true, ordering: .relaxed) { startWorkers() }
    if let idle = pool.add(operation, tag: tag) { workers[idle].signal() }
  }

  /// They begin when they are submitted.
  func start() {}

  func takeDone() -> (tag: Int, isDone: Bool)? { pool.takeDone() }
}

/// What the threads share.
private final class Pool: Sendable {
  private struct State {
    /// What no thread has taken yet, in order.
    var waiting: [(operation: DiskOperation, tag: Int)] = []
    var done: [(tag: Int, isDone: Bool)] = []
    /// Threads that sleep, or are about to.
    var idle: Set<Int>
    /// Whether the wake-up was raised for what is done.
    var isRaised = false
  }

  let storage: any BlockStorage
  let wakeUp = WakeUp()
  private let state: Mutex<State>

  init(_ storage: any BlockStorage, threadCount: Int) {
    self.storage = storage
    state = Mutex(State(idle: Set(0..<threadCount)))
  }

  /// - Returns: a thread to wake up for it; nil if all are at work, of which the next that is ready takes it.
  func add(_ operation: DiskOperation, tag: Int) -> Int? {
    state.withLock {
      $0.waiting.append((operation, tag))
      return $0.idle.popFirst()
    }
  }

  /// What a thread is to do next; nil if it is to sleep.
  func next(for worker: Int) -> (operation: DiskOperation, tag: Int)? {
    state.withLock {
      if !$0.waiting.isEmpty { return $0.waiting.removeFirst() }
      $0.idle.insert(worker)
      return nil
    }
  }

  func finish(_ tag: Int, isDone: Bool) {
    state.withLock {
      $0.done.append((tag, isDone))
      if !$0.isRaised { wakeUp.raise() }
      $0.isRaised = true
    }
  }

  func takeDone() -> (tag: Int, isDone: Bool)? {
    state.withLock {
      if !$0.done.isEmpty { return $0.done.removeFirst() }
      if $0.isRaised { wakeUp.clear() }
      $0.isRaised = false
      return nil
    }
  }
}

extension DiskOperation {
  /// Carries it out, and returns when it is done.
  /// - Returns: whether it could be.
  func carryOut(on storage: any BlockStorage) -> Bool {
    switch self {
    case .read(let sector, let buffers): storage.read(sector: sector, into: buffers)
    case .write(let sector, let buffers): storage.write(sector: sector, from: buffers)
    case .flush: storage.flush()
    case .discard(let sector, let count): storage.discard(sector: sector, count: count)
    }
  }
}
