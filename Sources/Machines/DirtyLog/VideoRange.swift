// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Video memory: its frames, and for each the entries that map it, so that a report looks at nothing else.
///
/// Two entries a frame are kept: a guest maps video memory once or twice. Further ones count as mappings that the log does
/// not know, which costs their frame a place in every report, and no more.
struct VideoRange {
  private(set) var frames: Range<Int> = 0..<0
  /// Two a frame: an entry's number plus one, or 0.
  private(set) var places: ContiguousArray<UInt32>
  static let placesPerFrame = 2

  init(maximumFrames: Int) {
    places = ContiguousArray(repeating: 0, count: maximumFrames * Self.placesPerFrame)
  }

  var maximumFrames: Int { places.count / Self.placesPerFrame }

  mutating func begin(_ frames: Range<Int>) {
    self.frames = frames
    for index in places.indices { places[index] = 0 }
  }

  /// The places of all entries that are known, empty ones among them.
  var slots: Range<Int> { 0..<frames.count * Self.placesPerFrame }

  /// The entry at a place.
  func entry(_ slot: Int) -> ShadowEntryIndex? {
    places[slot] == 0 ? nil : ShadowEntryIndex(places[slot] - 1)
  }

  /// Remembers an entry of a frame of the range; false if the frame has two already.
  mutating func add(_ index: ShadowEntryIndex, _ frame: Int) -> Bool {
    let first = (frame - frames.lowerBound) * Self.placesPerFrame
    for slot in first..<first + Self.placesPerFrame where places[slot] == 0 {
      places[slot] = index.rawValue + 1
      return true
    }
    return false
  }

  mutating func remove(_ index: ShadowEntryIndex, _ frame: Int) {
    let first = (frame - frames.lowerBound) * Self.placesPerFrame
    for slot in first..<first + Self.placesPerFrame where places[slot] == index.rawValue + 1 {
      places[slot] = 0
    }
  }
}
