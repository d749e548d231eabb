// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Where a PVH guest may have frames: from 0 on, and from 4 GiB on. Between them lie the addresses of interrupt controllers.
///
/// Its memory is dense from 0. Beyond it there is room for what it asks for beside that, its shared page and grant table,
/// at places of its choice: Linux looks for addresses that nothing uses, and takes the first 128 MiB behind 4 GiB.
struct GuestRegions: Sendable, Hashable {
  /// Frames from 0 on.
  let lowCount: Int
  /// Frames from 4 GiB on.
  let highCount: Int

  static let highBegin = GuestFrame(1 << 20)
  /// The most memory that a guest may have: 3 GiB.
  static let largestMemory = 3 << 18
  /// Room beside the memory: 128 MiB behind it, and 1 GiB behind 4 GiB.
  private static let lowRoom = 1 << 15
  private static let highRoom = 1 << 18

  /// - Parameter memory: the guest's memory in frames, up to `largestMemory`.
  init(memory: Int) {
    lowCount = memory + Self.lowRoom
    highCount = Self.highRoom
  }

  /// How many frames there may be; each has an index below.
  var count: Int { lowCount + highCount }

  /// The index of a frame; nil if the guest may have none there.
  func index(of frame: GuestFrame) -> Int? {
    if frame.rawValue < UInt64(lowCount) { return Int(frame.rawValue) }
    guard frame >= Self.highBegin, frame.rawValue - Self.highBegin.rawValue < UInt64(highCount) else {
      return nil
    }
    return lowCount + Int(frame.rawValue - Self.highBegin.rawValue)
  }
}
