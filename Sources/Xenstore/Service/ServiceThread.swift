// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc
import Synchronization

/// A thread that serves a guest: it sleeps until it is signalled, then lets its service work until it has nothing
/// left to do.
///
/// Handlers of event channels and watches run on other people's threads and must be quick: all they do is signal.
public final class ServiceThread: Sendable {
  /// What `start` is given, when the thread needs more to wait for than signals.
  public typealias Body = @Sendable (_ wakeUp: WakeUp, _ isStopping: () -> Bool) -> Void

  private let name: String
  private let wakeUp = WakeUp()
  private let stopping = Atomic(false)
  private let thread = Mutex<pthread_t?>(nil)

  public init(name: String) { self.name = name }

  /// Wakes the thread up; also before it has started.
  public func signal() { wakeUp.raise() }

  /// Starts the thread; `work` is called once at the start and after each signal.
  public func start(_ work: @escaping @Sendable () -> Void) {
    start { wakeUp, isStopping in
      while !isStopping() {
        work()
        if !isStopping() { wakeUp.wait() }
      }
    }
  }

  /// Starts the thread with a loop of its own: it returns soon after `isStopping` is true, of which a raised
  /// wake-up tells.
  public func start(loop body: @escaping Body) {
    thread.withLock { thread in
      precondition(thread == nil, "a service thread is started once")
      let task = Unmanaged.passRetained(Task(owner: self, body: body))
      var new = pthread_t()
      let result = pthread_create(&new, nil, Self.entry, task.toOpaque())
      precondition(result == 0, "no more threads: raise the limit (ulimit -u)")
      thread = new
    }
  }

  /// Ends the thread; when this returns, it has stopped. Does nothing if it is not running.
  /// - Precondition: not called on the thread itself.
  public func stop() {
    stopping.store(true, ordering: .releasing)
    wakeUp.raise()
    let running = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    if let running { pthread_join(running, nil) }
  }

  private final class Task: Sendable {
    let owner: ServiceThread
    let body: Body

    init(owner: ServiceThread, body: @escaping Body) {
      self.owner = owner
      self.body = body
    }

    func run() {
      ServiceThread.nameCurrentThread(owner.name)
      body(owner.wakeUp) { owner.stopping.load(ordering: .acquiring) }
    }
  }

  /// For ps and debuggers; the kernel keeps 15 bytes.
  private static func nameCurrentThread(_ name: String) { _ = lockstep_thread_set_name(name) }

  private static let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
    argument in
    guard let argument else { return nil }
    Unmanaged<Task>.fromOpaque(argument).takeRetainedValue().run()
    return nil
  }
}
