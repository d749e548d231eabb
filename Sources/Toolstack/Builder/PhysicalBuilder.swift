// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces

/// Fills a new PVH domain's memory: kernel, start info, RAM disk, ACPI tables.
///
/// From low to high: the kernel where it wants to be; behind it a page of start info, and the RAM disk; the memory's last
/// three frames are those of the ACPI tables and of the rings of console and store.
struct PhysicalBuilder: GuestBuilder {
  private var kernel: PhysicalKernel
  private var ramdisk: any ImageContent
  private let commandLine: String
  private let frameCount: UInt64
  private let processorCount: Int

  /// Plans the guest's memory; nothing is written yet.
  /// - Parameter frameCount: the guest's memory in frames.
  init(
    kernel: PhysicalKernel, ramdisk: any ImageContent, commandLine: String, frameCount: UInt64,
    processorCount: Int
  ) throws(ImageProblem) {
    guard commandLine.utf8.count <= PhysicalStartInfo.maximumCommandLine else {
      throw ImageProblem(
        "the command line has \(commandLine.utf8.count) bytes; PVH guests take at most "
          + "\(PhysicalStartInfo.maximumCommandLine)")
    }
    self.kernel = kernel
    self.ramdisk = ramdisk
    self.commandLine = commandLine
    self.frameCount = frameCount
    self.processorCount = processorCount
    let needed = Self.frames(ramdiskAddress + UInt64(ramdisk.count)) + Self.ownFrames
    guard needed <= frameCount else {
      throw ImageProblem(
        "the domain's memory is too small for it: it needs at least memory = \((needed + 255) >> 8)")
    }
  }

  private static let ownFrames: UInt64 = 3
  var storeFrame: GuestFrame { GuestFrame(frameCount - 1) }
  var consoleFrame: GuestFrame { GuestFrame(frameCount - 2) }
  private var tablesAddress: UInt64 { (frameCount - Self.ownFrames) << 12 }
  private var startInfoAddress: UInt64 { Self.frames(kernel.end) << 12 }
  private var ramdiskAddress: UInt64 { startInfoAddress + UInt64(frameSize) }

  /// The kernel asks for it by a register.
  var hypercallFrame: GuestFrame? { nil }

  private static func frames(_ bytes: UInt64) -> UInt64 { (bytes + UInt64(frameSize) - 1) >> 12 }

  mutating func keepOutOfMemory() {
    KeptContent.keep(&kernel.content)
    KeptContent.keep(&ramdisk)
  }

  func fill(_ memory: GuestMemory, _ surroundings: Surroundings) throws(ImageProblem) -> FirstState {
    for segment in kernel.segments {
      try memory.write(kernel.content, segment.content, at: segment.offset)
    }
    try memory.write(ramdisk, 0..<ramdisk.count, at: ramdiskAddress)
    memory.write(ACPITables(processorCount: processorCount).bytes(at: tablesAddress), at: tablesAddress)
    memory.write(startInfo.bytes(at: startInfoAddress), at: startInfoAddress)
    return .physical(
      PhysicalState(
        entry: kernel.entry, startInfo: UInt32(truncatingIfNeeded: startInfoAddress), storeFrame: storeFrame,
        storePort: surroundings.storePort, consoleFrame: consoleFrame, consolePort: surroundings.consolePort))
  }

  var startInfo: PhysicalStartInfo {
    PhysicalStartInfo(
      memoryMap: [
        .init(range: 0..<tablesAddress, kind: .memory),
        .init(range: tablesAddress..<consoleFrame.rawValue << 12, kind: .tables),
        .init(range: consoleFrame.rawValue << 12..<frameCount << 12, kind: .reserved),
      ],
      ramdisk: ramdisk.count == 0 ? nil : ramdiskAddress..<ramdiskAddress + UInt64(ramdisk.count),
      commandLine: commandLine, tables: tablesAddress)
  }
}
