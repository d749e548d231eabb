// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A thread that can be waited for once.
struct Thread: Sendable {
  private let identity: UInt

  /// Starts a thread.
  init(_ body: @escaping @Sendable () -> Void) throws(HostError) {
    final class Box {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let failed = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
    guard failed == 0 else {
      box.release()
      throw .noThread(errno: failed)
    }
    identity = UInt(thread)
  }

  /// Waits for the thread's end.
  func join() { pthread_join(pthread_t(identity), nil) }
}
