// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Something to wait for together with other descriptors, and to be raised from any thread.
public final class WakeUp: Sendable {
  /// Readable while the wake-up is raised.
  public let descriptor: Int32
  private let writeEnd: Int32
  private let raised = Atomic(false)

  public init() {
    var ends: (Int32, Int32) = (-1, -1)
    let result = withUnsafeMutableBytes(of: &ends) {
      pipe($0.assumingMemoryBound(to: Int32.self).baseAddress)
    }
    precondition(result == 0, "no more file descriptors: raise the limit (ulimit -n)")
    (descriptor, writeEnd) = ends
    for end in [descriptor, writeEnd] {
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
    }
  }

  deinit {
    close(descriptor)
    close(writeEnd)
  }

  /// Raises it; costs a system call only the first time until it is cleared. Safe in a signal handler.
  public func raise() {
    guard !raised.exchange(true, ordering: .acquiringAndReleasing) else { return }
    var byte: UInt8 = 1
    _ = write(writeEnd, &byte, 1)
  }

  /// Lowers it. What was done before `raise` is seen after `clear`.
  public func clear() {
    var bytes: (UInt64, UInt64) = (0, 0)
    while read(descriptor, &bytes, 16) > 0 {}
    _ = raised.exchange(false, ordering: .acquiringAndReleasing)
  }

  /// Sleeps until it is raised, and lowers it.
  public func wait() { wait(orFor: -1) }

  /// Sleeps until it is raised, or a descriptor is readable; lowers it.
  /// - Parameter other: -1 for none.
  public func wait(orFor other: Int32) {
    var wanted = [descriptor, other].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while poll(&wanted, 2, -1) < 0 && errno == EINTR {}
    if wanted[0].revents != 0 { clear() }
  }
}
