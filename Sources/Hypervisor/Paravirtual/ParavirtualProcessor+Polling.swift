// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// A frame in which a guest may wait for something to change, without a hypercall: its console's ring.
struct PolledFrame: Sendable {
  var frame: MachineFrame
  /// Where the ring's indices lie in it: 16 bytes.
  var indexOffset: Int
}

/// What is known of a vCPU that may be polling its console.
///
/// GRUB at its prompt reads its console's indices over and over, and would burn a processor that way. So:
///  1. A vCPU that has done nothing but fault for a slice is suspected: the translations of that page are dropped, and it
///     faults where it polls.
///  2. If the indices there are as they were at the last such fault, it sleeps, longer each time; every event for the
///     domain wakes it at once.
///  3. A hypercall, an exception of its own or new indices end the suspicion.
/// A guest that computes does not look at its console all the time, and is never put to sleep.
struct PollingGuess {
  /// The system time of the last exit that was more than a page fault mended.
  var lastActivity: UInt64 = 0
  /// Translations have been dropped, to see whether it looks at its console.
  var isWatched = false
  /// The indices as they were when it looked last.
  var indices: [UInt64] = []
  /// How long it sleeps next, in nanoseconds.
  var nextSleep = shortestSleep

  static let shortestSleep: UInt64 = 1_000_000
  static let longestSleep: UInt64 = 32_000_000
  /// Without an exit for so long, a guest is looked at.
  static let longSlice = 8_000_000
  static let shortSlice = 1_000_000

  /// A guest that has slept is looked at again soon.
  var slice: Int { nextSleep == Self.shortestSleep ? Self.longSlice : Self.shortSlice }

  /// The guest does something.
  mutating func end(at now: UInt64) {
    lastActivity = now
    isWatched = false
    nextSleep = Self.shortestSleep
  }
}

extension ParavirtualProcessor {
  /// The guest did something other than fault or run on.
  func noteActivity() { polling.end(at: domain.clock.now) }

  /// Rule 1, when the guest has been interrupted.
  func suspectPolling() {
    guard let polled = space.polled, domain.frames.owns(polled.frame), mode == .kernel, !polling.isWatched,
      domain.clock.now &- polling.lastActivity > UInt64(PollingGuess.longSlice)
    else { return }
    space.pager.watch(polled.frame)
    polling.isWatched = true
  }

  /// Rule 2, when a fault at an address has been mended.
  func noteMendedFault(at address: VirtualAddress) {
    guard polling.isWatched, let polled = space.polled,
      case .mapped(let translation) = GuestWalker(frames: domain.frames).walk(
        address, root: kernelRoot, for: .read, in: .kernel), translation.frame == polled.frame,
      let page = domain.frames.memory.bytes(of: polled.frame)
    else { return }
    polling.isWatched = false
    let words = (page + polled.indexOffset).assumingMemoryBound(to: UInt64.self)
    let indices = [words.loadShared(), (words + 1).loadShared()]
    guard indices == polling.indices else {
      polling.indices = indices
      noteActivity()
      return
    }
    sleep = .polling(polling.nextSleep)
    polling.nextSleep = min(polling.nextSleep * 2, PollingGuess.longestSleep)
  }
}
