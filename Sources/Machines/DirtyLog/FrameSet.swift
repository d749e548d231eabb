// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A set of guest frames, one bit each.
struct FrameSet {
  private(set) var words: ContiguousArray<UInt64>

  init(frames: Int) { words = ContiguousArray(repeating: 0, count: (frames + 63) / 64) }

  subscript(_ frame: Int) -> Bool {
    get { words[frame / 64] & 1 << UInt64(frame % 64) != 0 }
    set {
      let bit = 1 << UInt64(frame % 64) as UInt64
      if newValue { words[frame / 64] |= bit } else { words[frame / 64] &= ~bit }
    }
  }

  mutating func removeAll() { for index in words.indices { words[index] = 0 } }

  /// The indices of the words that hold a range of frames.
  static func words(of frames: Range<Int>) -> Range<Int> {
    frames.isEmpty ? 0..<0 : frames.lowerBound / 64..<(frames.upperBound - 1) / 64 + 1
  }

  mutating func setWord(_ index: Int, _ word: UInt64) { words[index] = word }
}
