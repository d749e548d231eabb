// SPDX-License-Identifier: Apache-2.0

import Interfaces

extension ParavirtualProcessor {
  // MARK: VCPUOP_initialise

  /// Offsets in `struct vcpu_guest_context` of a 64-bit guest. Source: xen/include/public/arch-x86/xen.h.
  private enum Context {
    static let userRegisters = 520
    static let trapTable = userRegisters + 200
    static let descriptorFrames = trapTable + 256 * 16 + 16
    static let descriptorCount = descriptorFrames + 16 * 8
    static let kernelStackPointer = descriptorCount + 16
    static let controlRegisters = kernelStackPointer + 8
    static let callbacks = controlRegisters + 16 * 8
    static let segmentBases = callbacks + 4 * 8
    static let size = segmentBases + 3 * 8
  }

  /// Gives a vCPU that is down its first state, which lies at an address of the caller's.
  func setInitialState(from address: UInt64, of caller: Processor) throws(HypercallError) {
    guard !wasInitialised, !isUp.load(ordering: .acquiring) else { throw .exists }
    var words = [UInt64](repeating: 0, count: Context.size / 8)
    let result: Result<Void, HypercallError> = words.withUnsafeMutableBytes { bytes in
      do throws(HypercallError) { return .success(try caller.copyIn(address, into: bytes)) } catch {
        return .failure(error)
      }
    }
    try result.get()
    func word(_ offset: Int) -> UInt64 { words[offset / 8] }

    let rootValue = word(Context.controlRegisters + 3 * 8)
    let root = MachineAddress(rawValue: rawFrameAddress(rootValue)).frame
    guard domain.frames.owns(root) else { throw .invalid }
    let count = (Int(min(word(Context.descriptorCount), 14 * 512)) + 511) / 512
    let frames = (0..<count).map { MachineFrame(word(Context.descriptorFrames + $0 * 8)) }
    _ = try setDescriptorTable(frames)
    for vector in 0..<256 {
      let flags = UInt8(truncatingIfNeeded: word(Context.trapTable + vector * 16) >> 8)
      setTrapGate(vector, flags: flags, handler: word(Context.trapTable + vector * 16 + 8))
    }
    kernelStack = word(Context.kernelStackPointer)
    eventCallback = Callback(handler: word(Context.callbacks), masksEvents: true)
    failsafeCallback = Callback(handler: word(Context.callbacks + 8))
    systemCallCallback = Callback(handler: word(Context.callbacks + 16))
    do throws(HostError) {
      try begin(root: root)
    } catch { throw .noMemory }
    setInitialRegisters { word(Context.userRegisters + $0 * 8) }
    _ = setSegmentBase(.fs, word(Context.segmentBases))
    _ = setSegmentBase(.gsKernel, word(Context.segmentBases + 8))
    _ = setSegmentBase(.gsUser, word(Context.segmentBases + 16))
    wasInitialised = true
  }

  /// CR3 as the ABI has it: the frame's number, whose bits above 2⁵² would stand in the low bits.
  private func rawFrameAddress(_ control: UInt64) -> UInt64 { control & PageTableEntry.frameMask }

  /// `struct cpu_user_regs`: r15 … r12, rbp, rbx, r11 … r8, rax, rcx, rdx, rsi, rdi, error code, rip, cs, rflags, rsp.
  private func setInitialRegisters(_ word: (Int) -> UInt64) {
    let order = [15, 14, 13, 12, 5, 3, 11, 10, 9, 8, 0, 1, 2, 6, 7]
    for (index, number) in order.enumerated() { generalRegister(number).pointee = word(index) }
    resume(
      GuestContext(
        instruction: word(16), codeSelector: Selector.code, flags: word(18), stack: word(19),
        stackSelector: Selector.data))
  }
}
