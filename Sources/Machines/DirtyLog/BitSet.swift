// SPDX-License-Identifier: Apache-2.0

/// A set of numbers below a bound, one bit each: of guest frames, or of entries.
struct BitSet {
  private(set) var words: ContiguousArray<UInt64>

  init(count: Int) { words = ContiguousArray(repeating: 0, count: (count + 63) / 64) }

  subscript(_ number: Int) -> Bool {
    get { words[number / 64] & 1 << UInt64(number % 64) != 0 }
    set {
      let bit = 1 << UInt64(number % 64) as UInt64
      if newValue { words[number / 64] |= bit } else { words[number / 64] &= ~bit }
    }
  }

  /// The indices of the words that hold a range.
  static func words(of range: Range<Int>) -> Range<Int> {
    range.isEmpty ? 0..<0 : range.lowerBound / 64..<(range.upperBound - 1) / 64 + 1
  }

  mutating func setWord(_ index: Int, _ word: UInt64) { words[index] = word }
}
