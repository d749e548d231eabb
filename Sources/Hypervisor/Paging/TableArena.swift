// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Frames for the shadow tables of one vCPU. Each is used once; when all are used up, everything derived from them
/// is dropped and they begin anew.
///
/// KVM without two-dimensional paging derives its own tables from ours, and does not notice when this process
/// changes one: a frame that was a table keeps meaning what it meant. A frame that never was one has no such past.
final class TableArena {
  private let memory: MachineMemory
  private let piece: Range<Int>
  private var next: Int

  init(_ memory: MachineMemory, frameCount: Int) throws(HostError) {
    self.memory = memory
    piece = try memory.monitor.allocate(frameCount)
    next = piece.lowerBound
  }

  deinit { memory.monitor.release(piece) }

  /// Tables that can still be taken.
  var remaining: Int { piece.upperBound - next }

  /// An empty table that was none since the last `restart`.
  /// - Precondition: `remaining` is not 0.
  func take() -> MachineFrame {
    precondition(remaining > 0, "the arena is used up")
    let frame = MachineFrame(UInt64(next))
    next += 1
    memory.monitorWords(frame).update(repeating: 0, count: entriesPerTable)
    return frame
  }

  /// Begins anew. KVM has forgotten all that it derived from these frames.
  func restart() { next = piece.lowerBound }
}
