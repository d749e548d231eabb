// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The machine-to-physical table (M2P): for each machine frame, the number its owner gave it.
///
/// Guests read it directly, so it lies in the pool, from its first byte on, in whole 2 MiB pieces: that way it is
/// mapped with large pages. What it says is the guests' own word: nothing in the monitor relies on it.
struct MachineToPhysical {
  /// The entry of a frame that has no number (`INVALID_M2P_ENTRY`).
  static let invalidEntry: UInt64 = ~0

  private let base: UnsafeMutablePointer<UInt64>
  private let frameCount: Int
  /// The table's size in bytes, a multiple of 2 MiB.
  let byteCount: Int

  init(base: UnsafeMutablePointer<UInt64>, frameCount: Int, tableFrames: Int) {
    self.base = base
    self.frameCount = frameCount
    byteCount = tableFrames * frameSize
    // No frame has an entry behind that: those pages stay untouched.
    base.update(repeating: Self.invalidEntry, count: frameCount)
  }

  /// Frames of a table that covers `other` frames and itself, rounded up to 2 MiB.
  static func frames(covering other: Int) -> Int {
    let entriesPerPiece = (2 << 20) / 8
    var pieces = 1
    while pieces * entriesPerPiece < other + pieces * 512 { pieces += 1 }
    return pieces * 512
  }

  subscript(frame: MachineFrame) -> UInt64 {
    get { frame.rawValue < UInt64(frameCount) ? base[Int(frame.rawValue)] : Self.invalidEntry }
    nonmutating set {
      guard frame.rawValue < UInt64(frameCount) else { return }
      base[Int(frame.rawValue)] = newValue
    }
  }

  func invalidate(_ frame: MachineFrame) { self[frame] = Self.invalidEntry }
}
