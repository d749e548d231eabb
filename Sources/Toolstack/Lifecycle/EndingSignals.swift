// SPDX-License-Identifier: Apache-2.0

import Devices
import Glibc
import Synchronization
import Xenstore

/// The signals that ask the process to end: the first one ends the domain in good order, a second one at once.
public final class EndingSignals: Sendable {
  private static let numbers = [SIGINT, SIGTERM, SIGHUP]
  /// What the handler touches: allocated before it is installed, never freed.
  private static let received = Atomic<Int32>(0)
  private static let wakeUp = WakeUp()

  private let thread = ServiceThread(name: "signals")

  /// From now on the first such signal does not end the process.
  public init() {
    for number in Self.numbers {
      Glibc.signal(number) { number in
        guard EndingSignals.received.exchange(number, ordering: .acquiringAndReleasing) != 0 else {
          return EndingSignals.wakeUp.raise()
        }
        RawTerminal.restore()
        _exit(128 + number)
      }
    }
  }

  /// Calls `ended` on a thread of its own when the first such signal comes, or if it has come.
  public func watch(ended: @escaping @Sendable () -> Void) {
    let wakeUp = Self.wakeUp
    thread.start { own, isStopping in
      while !isStopping() {
        var waiting = [
          pollfd(fd: own.descriptor, events: Int16(POLLIN), revents: 0),
          pollfd(fd: wakeUp.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&waiting, 2, -1) > 0 else { continue }
        if waiting[0].revents != 0 { own.clear() }
        if waiting[1].revents != 0 {
          wakeUp.clear()
          ended()
        }
      }
    }
  }

  /// The signal that came; nil if none did.
  public var signal: Int32? {
    let number = Self.received.load(ordering: .acquiring)
    return number == 0 ? nil : number
  }

  /// Ends the watch; if a signal came, the process dies of it, as who sent it expects.
  public func finish() {
    thread.stop()
    for number in Self.numbers { Glibc.signal(number, SIG_DFL) }
    if let signal { raise(signal) }
  }
}
