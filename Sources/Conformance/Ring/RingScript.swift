// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// Answers a ring core's accesses from a script, and stops listening at its end: so an operation can be run again
/// and again, each time one access further.
final class RingScript: RingAccesses {
  /// What each access so far was answered: the value of a load, 0 for the others.
  var answers: [UInt32] = []
  /// What a slot holds that is copied out.
  var slot: (UInt32, UInt32) = (0, 0)
  private var position = 0
  /// The first access beyond the script; nil if the operation ended before.
  private(set) var next: RingAccess?
  /// What was copied in, at that access.
  private(set) var written: [UInt64] = []

  func rewind() {
    position = 0
    next = nil
    written = []
  }

  private func answer(_ access: RingAccess) -> UInt32 {
    if position < answers.count {
      defer { position += 1 }
      return answers[position]
    }
    if next == nil { next = access }
    return 0
  }

  func load(_ word: RingWord) -> UInt32 { answer(.load(word)) }
  func store(_ word: RingWord, _ value: UInt32) { _ = answer(.store(word, value)) }
  func fullFence() { _ = answer(.fence) }

  func copySlotOut(_ index: UInt32, into slot: UnsafeMutableRawBufferPointer) {
    _ = answer(.copyOut(index))
    slot.storeBytes(of: self.slot.0, toByteOffset: 0, as: UInt32.self)
    slot.storeBytes(of: self.slot.1, toByteOffset: 4, as: UInt32.self)
  }

  func copySlotIn(_ index: UInt32, from slot: UnsafeRawBufferPointer) {
    let isNext = next == nil && position == answers.count
    _ = answer(.copyIn(index))
    if isNext { written = RingWorld.decode(slot) }
  }
}
