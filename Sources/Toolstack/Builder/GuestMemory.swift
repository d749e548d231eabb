// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A new guest's memory as its builder writes it, before the guest runs.
struct GuestMemory {
  /// The machine frame behind each guest frame.
  let frames: [MachineFrame]
  let memory: any FrameMemory

  /// The machine frame behind a guest frame that the layout chose.
  func machineFrame(_ frame: GuestFrame) -> MachineFrame { frames[Int(frame.rawValue)] }

  /// The bytes of a guest frame.
  func page(_ frame: GuestFrame) -> UnsafeMutableRawBufferPointer {
    guard let base = memory.bytes(of: machineFrame(frame)) else {
      preconditionFailure("a frame of the domain is outside of the host's memory")
    }
    return UnsafeMutableRawBufferPointer(start: base, count: frameSize)
  }

  /// Copies bytes to an offset from the beginning of guest memory.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) {
    var rest = bytes
    var offset = offset
    while !rest.isEmpty {
      let start = Int(offset % UInt64(frameSize))
      let count = min(frameSize - start, rest.count)
      let target = UnsafeMutableRawBufferPointer(
        rebasing: page(GuestFrame(offset >> 12))[start..<(start + count)])
      target.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      offset += UInt64(count)
    }
  }

  /// Stores one integer at an offset within a frame.
  func store<Value: FixedWidthInteger>(_ value: Value, in frame: GuestFrame, at offset: Int) {
    page(frame).storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
  }
}
