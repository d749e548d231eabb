// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What a dirty log is held against its specification by.
extension DirtyLogMachine {
  /// Whether a frame is in the tracker's next report however little is learnt until then.
  public func isReported(_ tracker: DirtyTracker, _ frame: Int) -> Bool {
    isTracked(tracker, frame) && (logged[Int(tracker.rawValue)][frame] || unknown[frame])
  }

  /// Whether an entry is one too many for its frame: it counts as a mapping that the log does not know.
  public func isSurplus(_ index: ShadowEntryIndex) -> Bool { surplus[Int(index.rawValue)] }

  /// Puts a log whose mappings and trackers were made already where another one stands.
  /// - Parameter isLogged: by tracker and frame, of tracked frames.
  public func resume(
    stage: Stage, quiet: UInt8, isUnflushed: Bool, isLogged: (DirtyTracker, Int) -> Bool
  ) {
    self.stage = stage
    self.quiet = quiet
    self.isUnflushed = isUnflushed
    for tracker in DirtyTracker.allCases {
      for frame in tracked(tracker) { logged[Int(tracker.rawValue)][frame] = isLogged(tracker, frame) }
    }
  }
}
