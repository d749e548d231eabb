// SPDX-License-Identifier: Apache-2.0

import CKVM

/// Interrupts the thread that made it, in `VirtualCPU.enter`, again and again: a guest that does not leave of
/// itself is looked at that way.
///
/// A signal may come just before the thread enters, and be lost: hence again and again.
public final class SliceTimer {
  private let timer: Int32

  /// Makes a timer of the calling thread, stopped. Where the system gives none it does nothing.
  public init() { timer = lockstep_thread_timer_create(kickSignal) }

  deinit {
    if timer >= 0 { lockstep_thread_timer_delete(timer) }
  }

  /// Interrupts after each such time, below a second, from now on; 0 stops it.
  public func setPeriod(nanoseconds: Int) {
    if timer >= 0 { lockstep_thread_timer_set(timer, nanoseconds) }
  }
}
