// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// In how many pieces a guest's memory is mapped: a frame begins a new one if it does not follow the frame before it. A
/// guest that takes its memory to pieces, by its balloon, is stopped before the system's limit.
struct PieceCount {
  var count = 0
  let limit: Int

  init(limit: Int) { self.limit = limit }

  /// How many borders between pieces a change adds, -2 … 2.
  func added(
    changing old: MachineFrame?, to new: MachineFrame?, between before: MachineFrame?,
    and after: MachineFrame?
  ) -> Int {
    func borders(_ frame: MachineFrame?) -> Int {
      (Self.follows(before, frame) ? 0 : 1) + (Self.follows(frame, after) ? 0 : 1)
    }
    return borders(new) - borders(old)
  }

  func mayGrow(by more: Int) -> Bool { more <= 0 || count + more <= limit }

  private static func follows(_ first: MachineFrame?, _ second: MachineFrame?) -> Bool {
    guard let first, let second else { return first == nil && second == nil }
    return second.rawValue == first.rawValue + 1
  }
}
