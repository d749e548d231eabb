// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A reference behind a lock: what is `Value` is touched by one thread at a time.
///
/// Unlike `Mutex` it holds class instances made elsewhere; whoever hands one in keeps no other way to it.
final class Locked<Value>: @unchecked Sendable {
  private let mutex = Mutex(())
  private var value: Value

  init(_ value: Value) { self.value = value }

  func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    try mutex.withLock { _ in try body(&value) }
  }
}
