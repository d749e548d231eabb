// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What the start-of-day page tells a guest.
/// Source: xen/include/public/xen.h, `struct start_info`.
struct StartInfo {
  var frameCount: UInt64
  /// The machine address of the shared-info page.
  var sharedInfo: MachineAddress
  var storeFrame: MachineFrame
  var storePort: EventPort
  var consoleFrame: MachineFrame
  var consolePort: EventPort
  /// The address of the root table, and how many tables lie there.
  var tables: (address: UInt64, count: UInt64)
  /// The address of the list of machine frames, and, if it is not in the first mapping, the guest frames that
  /// hold it and its tables.
  var list: (address: UInt64, frames: Range<UInt64>)
  /// The RAM disk: its address, or its first guest frame if it is not mapped; and its bytes.
  var ramdisk: (start: UInt64, size: UInt64, isFrame: Bool)
  /// At most `maximumCommandLine` bytes, without a zero byte.
  var commandLine: String

  /// Bytes of a command line, its closing zero not counted.
  static let maximumCommandLine = 1023
  private static let magic = "xen-3.0-x86_64"
  /// SIF_MOD_START_PFN.
  private static let ramdiskIsFrame: UInt32 = 1 << 3

  func write(to memory: GuestMemory, frame: GuestFrame) {
    let page = memory.page(frame)
    page.copyBytes(from: Self.magic.utf8)
    memory.store(frameCount, in: frame, at: 32)
    memory.store(sharedInfo.rawValue, in: frame, at: 40)
    memory.store(ramdisk.isFrame ? Self.ramdiskIsFrame : 0, in: frame, at: 48)
    memory.store(storeFrame.rawValue, in: frame, at: 56)
    memory.store(storePort.rawValue, in: frame, at: 64)
    memory.store(consoleFrame.rawValue, in: frame, at: 72)
    memory.store(consolePort.rawValue, in: frame, at: 80)
    memory.store(tables.address, in: frame, at: 88)
    memory.store(tables.count, in: frame, at: 96)
    memory.store(list.address, in: frame, at: 104)
    memory.store(ramdisk.start, in: frame, at: 112)
    memory.store(ramdisk.size, in: frame, at: 120)
    let line = UnsafeMutableRawBufferPointer(rebasing: page[128..<(128 + Self.maximumCommandLine)])
    line.copyBytes(from: commandLine.utf8.prefix(Self.maximumCommandLine))
    memory.store(list.frames.lowerBound, in: frame, at: 1152)
    memory.store(UInt64(list.frames.count), in: frame, at: 1160)
  }
}
