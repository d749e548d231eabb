// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// The monitor's own frames, handed out in contiguous pieces: stubs, processor tables, arenas of shadow tables.
final class MonitorFrames: Sendable {
  private let free: Mutex<[Range<Int>]>

  init(first: Int, count: Int) { free = Mutex([first..<(first + count)]) }

  /// Takes `count` frames that follow one another; what they hold is undefined.
  func allocate(_ count: Int) throws(HostError) -> Range<Int> {
    let (piece, left): (Range<Int>?, Int) = free.withLock { free in
      guard let index = free.firstIndex(where: { $0.count >= count }) else {
        return (nil, free.reduce(0) { $0 + $1.count })
      }
      let start = free[index].lowerBound
      free[index] = (start + count)..<free[index].upperBound
      if free[index].isEmpty { free.remove(at: index) }
      return (start..<(start + count), 0)
    }
    guard let piece else { throw .outOfFrames(needed: count, free: left) }
    return piece
  }

  /// Gives a piece back; neighbours grow together again.
  func release(_ piece: Range<Int>) {
    free.withLock { free in
      free.append(piece)
      free.sort { $0.lowerBound < $1.lowerBound }
      var merged: [Range<Int>] = []
      for next in free {
        if let last = merged.last, last.upperBound == next.lowerBound {
          merged[merged.count - 1] = last.lowerBound..<next.upperBound
        } else {
          merged.append(next)
        }
      }
      free = merged
    }
  }
}
