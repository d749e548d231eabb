// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// The monitor's pages of one vCPU: task state, ring-0 stack, descriptor table.
final class ProcessorPages {
  private static let frameCount = MonitorWindow.Page.taskStateCount + 1 + MonitorWindow.Page.descriptorCount

  private let memory: MachineMemory
  private let processor: Int
  private let piece: Range<Int>
  let stack: MachineFrame
  private let descriptors: MachineFrame

  /// - Parameters:
  ///   - window: where the pages are to lie.
  ///   - processor: the vCPU's number, below `Domain.maximumVirtualCPUs`.
  ///   - guestReachesSystemCallPort: software KVM runs the landing page of SYSCALL at CPL 3.
  init(
    _ memory: MachineMemory, window: DomainWindow, processor: Int, guestReachesSystemCallPort: Bool
  ) throws(HostError) {
    self.memory = memory
    self.processor = processor
    piece = try memory.monitor.allocate(Self.frameCount)
    let frames = piece.map { MachineFrame(UInt64($0)) }
    for frame in frames { memory.monitorBytes(frame).initialize(repeating: 0, count: frameSize) }
    let taskState = frames[..<MonitorWindow.Page.taskStateCount]
    stack = frames[taskState.count]
    descriptors = frames[taskState.count + 1]

    for index in 0..<MonitorWindow.Page.descriptorCount {
      window.map(
        frames[taskState.count + 1 + index], at: MonitorWindow.Page.descriptors + index, of: processor)
    }
    for (index, frame) in taskState.enumerated() {
      window.map(frame, at: MonitorWindow.Page.taskState + index, of: processor)
    }
    window.map(stack, at: MonitorWindow.Page.stack, of: processor)

    writeTaskState(memory.monitorBytes(frames[0]), openPort: guestReachesSystemCallPort)
    writeReservedDescriptors()
  }

  deinit { memory.monitor.release(piece) }

  // MARK: Task state

  private static let taskStateSize = 0x68
  /// The limit of the task state segment: the fixed part, a bit for each port, a byte of ones.
  static let taskStateLimit: UInt32 = UInt32(taskStateSize) + 8192

  /// Ring 0's stack, and no port for CPL 3 but that on which SYSCALL reports.
  private func writeTaskState(_ bytes: UnsafeMutablePointer<UInt8>, openPort: Bool) {
    let raw = UnsafeMutableRawPointer(bytes)
    raw.storeBytes(of: MonitorWindow.stackTop(of: processor), toByteOffset: 4, as: UInt64.self)
    raw.storeBytes(of: UInt16(Self.taskStateSize), toByteOffset: 0x66, as: UInt16.self)
    let bitmap = bytes + Self.taskStateSize
    bitmap.update(repeating: 0xff, count: 8193)
    if openPort {
      let port = Int(MonitorWindow.Port.systemCall)
      bitmap[port / 8] &= ~(1 << UInt8(port % 8))
    }
  }

  // MARK: Descriptors

  /// The monitor's descriptor pages: 14 that mirror the guest's (checked), and 2 reserved ones.
  var descriptorWords: UnsafeMutablePointer<UInt64> { memory.monitorWords(descriptors) }

  /// Source of the numbers: xen/include/public/arch-x86/xen-x86_64.h, FLAT_*; Intel SDM volume 3, section 3.4.5.
  private func writeReservedDescriptors() {
    let words = descriptorWords
    func set(_ selector: UInt16, _ value: UInt64) { words[Int(selector >> 3)] = value }
    set(Selector.monitorCode, 0x00af_9b00_0000_ffff)
    set(Selector.monitorData, 0x00cf_9300_0000_ffff)
    set(Selector.compatibilityCode, 0x00cf_fb00_0000_ffff)
    set(Selector.data, 0x00cf_f300_0000_ffff)
    set(Selector.code, 0x00af_fb00_0000_ffff)
    let base = MonitorWindow.address(ofPage: MonitorWindow.Page.taskState, of: processor)
    let availableTaskState: UInt64 = 0x89
    set(
      Selector.taskState,
      UInt64(Self.taskStateLimit) & 0xffff | (base & 0xff_ffff) << 16 | availableTaskState << 40
        | (base >> 24 & 0xff) << 56)
    set(Selector.taskState + 8, base >> 32)
  }

  // MARK: Exception frames

  /// What the processor pushed on the ring-0 stack.
  struct ExceptionFrame {
    var error: UInt64
    var instruction: UInt64
    var codeSelector: UInt16
    var flags: UInt64
    var stack: UInt64
    var stackSelector: UInt16
  }

  /// Reads the frame of an exception with an error code that came while the ring-0 stack was empty.
  func outermostFrame() -> ExceptionFrame? {
    exceptionFrame(at: MonitorWindow.stackTop(of: processor) - 48, hasError: true)
  }

  /// What was pushed behind that frame.
  var wordBelowOutermostFrame: UInt64 { memory.monitorWords(stack)[entriesPerTable - 7] }

  /// Reads the frame that ring 0's stack pointer points to; nil if that is not on the stack.
  func exceptionFrame(at pointer: UInt64, hasError: Bool) -> ExceptionFrame? {
    let size = UInt64(hasError ? 48 : 40)
    let top = MonitorWindow.stackTop(of: processor)
    guard pointer % 8 == 0, pointer <= top &- size, pointer >= top - UInt64(frameSize) else { return nil }
    let offset = Int(pointer - (top - UInt64(frameSize)))
    let words = UnsafeRawPointer(memory.monitorBytes(stack) + offset).assumingMemoryBound(to: UInt64.self)
    let rest = hasError ? words + 1 : words
    return ExceptionFrame(
      error: hasError ? words[0] : 0, instruction: rest[0], codeSelector: UInt16(truncatingIfNeeded: rest[1]),
      flags: rest[2], stack: rest[3], stackSelector: UInt16(truncatingIfNeeded: rest[4]))
  }
}
