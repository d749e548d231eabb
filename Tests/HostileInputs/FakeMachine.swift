// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Memory of a made-up machine for one guest, whose frame n is machine frame `first + count − 1 − n`.
public final class FakeMachine: FrameMemory {
  public static let first: UInt64 = 1000
  public let count: Int
  private let base: UnsafeMutableRawPointer

  /// All of it is 0.
  public init(count: Int) {
    self.count = count
    base = .allocate(byteCount: count * frameSize, alignment: frameSize)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: count * frameSize)
  }

  deinit { base.deallocate() }

  public var frameCount: Int { Int(Self.first) + count }

  public func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? {
    guard frame.rawValue >= Self.first, frame.rawValue < Self.first + UInt64(count) else { return nil }
    return base + Int(frame.rawValue - Self.first) * frameSize
  }

  /// The machine frame of each of the guest's.
  public var frames: [MachineFrame] {
    (0..<count).map { MachineFrame(Self.first + UInt64(count - 1 - $0)) }
  }

  /// All of the memory.
  public var all: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: base, count: count * frameSize)
  }
}
