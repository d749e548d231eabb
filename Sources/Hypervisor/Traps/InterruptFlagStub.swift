// SPDX-License-Identifier: Apache-2.0

/// Where a general-protection fault of a guest's kernel arrives in ring 0 on software KVM: CLI is carried out there, which
/// spares an exit. It does nothing for a PV guest, but kernels use some thousands while they boot.
///
/// Everything else takes the exit of the vector's own stub, and so does a fault on the way: see `leaveInterruptFlagStub`.
/// What the guest's kernel wrote beside the instruction counts for nothing: only one byte is looked at.
enum InterruptFlagStub {
  /// Behind the other stubs, in their page.
  static let offset = 0xa00
  static let address = MonitorWindow.address(ofPage: MonitorWindow.Page.stubs) + UInt64(offset)

  /// Places in the code.
  enum Label {
    /// rax is on the stack, above the frame of the exception.
    case saved
    /// The instruction of the guest's that faulted is looked at.
    case look
    case carriedOut, restored, leave
    case other, otherRestored, end
  }

  /// How far it has come.
  struct Progress: Equatable {
    /// What was in rax is on the stack.
    var isSaved: Bool
    /// The guest's instruction is done, as the exception's frame says.
    var isDone: Bool
  }

  static let code: StubCode<Label> = {
    var code = StubCode<Label>()
    code.add(0x50)  // push %rax
    code.mark(.saved)
    code.add(0x48, 0x8b, 0x44, 0x24, 0x10)  // mov 16(%rsp), %rax
    code.mark(.look)
    code.add(0x80, 0x38, 0xfa)  // cmpb $0xfa, (%rax)
    code.jump(.ifNotEqual, to: .other)
    code.add(0x48, 0xff, 0x44, 0x24, 0x10)  // incq 16(%rsp)
    code.mark(.carriedOut)
    code.add(0x58)  // pop %rax
    code.mark(.restored)
    code.add(0x48, 0x83, 0xc4, 0x08)  // add $8, %rsp
    code.mark(.leave)
    code.add(0x48, 0xcf)  // iretq
    code.mark(.other)
    code.add(0x58)  // pop %rax
    code.mark(.otherRestored)
    code.add(0xe6, UInt8(Vector.generalProtection), 0xf4)  // out %al, $port; hlt
    code.mark(.end)
    code.finish()
    return code
  }()

  /// - Returns: nil if the address is not of the stub.
  static func progress(at instruction: UInt64) -> Progress? {
    guard instruction >= address, instruction < address + UInt64(code.bytes.count) else { return nil }
    let offset = Int(instruction - address)
    func isBehind(_ label: Label) -> Bool { offset >= code.offsets[label] ?? 0 }
    if isBehind(.other) { return Progress(isSaved: !isBehind(.otherRestored), isDone: false) }
    return Progress(isSaved: isBehind(.saved) && !isBehind(.restored), isDone: isBehind(.carriedOut))
  }
}

extension ParavirtualProcessor {
  /// The vCPU came to a halt in that stub: what it was about is done here, with the guest's own registers.
  /// - Returns: false if it was not there.
  func leaveInterruptFlagStub() -> Bool {
    guard special.pointee.cs.dpl == 0, !virtual.exceptionPending,
      let progress = InterruptFlagStub.progress(at: registers.pointee.rip)
    else { return false }
    return leaveInterruptFlagStub(progress)
  }

  /// A fault in ring 0 is the stub's, where it looks at the guest's instruction, or the monitor's own.
  func leaveInterruptFlagStub(faultAt instruction: UInt64) -> Bool {
    let look = InterruptFlagStub.address + UInt64(InterruptFlagStub.code.offsets[.look] ?? 0)
    guard instruction == look, let progress = InterruptFlagStub.progress(at: look) else { return false }
    return leaveInterruptFlagStub(progress)
  }

  private func leaveInterruptFlagStub(_ progress: InterruptFlagStub.Progress) -> Bool {
    // The stack was empty.
    guard let frame = pages.outermostFrame(), frame.codeSelector & 3 == 3 else {
      return false
    }
    if progress.isSaved { registers.pointee.rax = pages.wordBelowOutermostFrame }
    let context = showFrame(frame)
    if progress.isDone {
      statistics.count(.emulations)
      resume(context)
    } else {
      statistics.count(vector: Vector.generalProtection)
      handlePrivileged(Vector.generalProtection, frame.error, context)
    }
    return true
  }
}
