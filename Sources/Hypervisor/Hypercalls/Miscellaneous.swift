// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Small hypercalls.
extension Processor {
  private static let consolePiece: UInt64 = 4096

  /// `console_io`: the emergency console; reading finds nothing. A write takes all its bytes, and returns 0.
  func consoleIO(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    let (write, read): (UInt64, UInt64) = (0, 1)
    if arguments.first == read { return 0 }
    guard arguments.first == write else { throw .notImplemented }
    let count = arguments.second & 0xffff_ffff
    let pieces = (count + Self.consolePiece - 1) / Self.consolePiece
    try forEach(pieces) { index throws(HypercallError) in
      let start = index * Self.consolePiece
      try writeConsole(arguments.third &+ start, Int(min(count - start, Self.consolePiece)))
    }
    return 0
  }

  private func writeConsole(_ address: UInt64, _ count: Int) throws(HypercallError) {
    var bytes = [UInt8](repeating: 0, count: count)
    let result: Result<Void, HypercallError> = bytes.withUnsafeMutableBytes { buffer in
      do throws(HypercallError) { return .success(try copyIn(address, into: buffer)) } catch {
        return .failure(error)
      }
    }
    try result.get()
    domain.emergencyConsole?(bytes)
  }

  /// `set_timer_op`: an absolute system time; 0 switches the timer off.
  func setTimer(_ deadline: UInt64) -> Int64 {
    domain.timers.set(index, deadline: deadline == 0 ? nil : deadline)
    return 0
  }
}
