// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// Answers a stream core's accesses from a script, and stops listening at its end: so an operation can be run again
/// and again, each time one access further.
final class StreamScript: StreamAccesses {
  /// What each access so far was answered: the value of a load, a byte read, 0 for the others.
  var answers: [UInt32] = []
  private var position = 0
  /// The first access beyond the script; nil if the operation ended before.
  private(set) var next: StreamAccess?
  /// The byte written, at that access.
  private(set) var written: UInt8 = 0

  func rewind() {
    position = 0
    next = nil
  }

  private func answer(_ access: StreamAccess) -> UInt32 {
    if position < answers.count {
      defer { position += 1 }
      return answers[position]
    }
    if next == nil { next = access }
    return 0
  }

  func load(_ index: StreamIndex) -> UInt32 { answer(.load(index)) }
  func store(_ index: StreamIndex, _ value: UInt32) { _ = answer(.store(index, value)) }

  func copyOut(at position: UInt32, into bytes: UnsafeMutableRawBufferPointer) {
    for offset in bytes.indices {
      bytes[offset] = UInt8(truncatingIfNeeded: answer(.read(position &+ UInt32(offset))))
    }
  }

  func copyIn(at position: UInt32, from bytes: UnsafeRawBufferPointer) {
    for offset in bytes.indices {
      if next == nil { written = bytes[offset] }
      _ = answer(.write(position &+ UInt32(offset)))
    }
  }
}
