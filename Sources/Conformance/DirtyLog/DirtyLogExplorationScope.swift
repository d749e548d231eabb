// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What an exhaustive comparison of dirty logs ranges over; one processor, and write access goes after one quiet report.
public struct DirtyLogExplorationScope: Sendable {
  /// In words.
  let name: String
  let frames, places: Int
  /// Actions that are left out, and the operations with them.
  var excluded: Set<String> = []
  /// Who may be a tracker.
  var trackers = DirtyTracker.allCases
  var methods = DirtyLogMethod.allCases

  public static let all = [mappedTwice, mappedOnce, twoFrames]

  private static let mappedOnce = DirtyLogExplorationScope(
    name: "a frame that is mapped once, also by a device", frames: 1, places: 1)
  /// What is left out is compared where the frame is mapped once.
  private static let mappedTwice = DirtyLogExplorationScope(
    name: "video memory of a frame that is mapped twice", frames: 1, places: 2,
    excluded: ["fill", "evict", "untrack", "mapUnknown", "unmapUnknown", "storeUnknown"], trackers: [.video])
  private static let twoFrames = DirtyLogExplorationScope(
    name: "two frames of which any may be video memory, with dirty bits", frames: 2, places: 1,
    excluded: ["fill", "evict", "untrack", "mapUnknown", "unmapUnknown", "storeUnknown"], methods: [.dirtyBit]
  )
}
