// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// Registers that only ring 0 has: what a PV guest's kernel may see and change of them.
extension ParavirtualProcessor {
  private static let taskSwitchedBit: UInt64 = 1 << 3

  /// CR0.TS: the next use of the floating-point unit gives exception 7.
  func setTaskSwitched(_ value: Bool) {
    control0 = control0 & ~Self.taskSwitchedBit | (value ? Self.taskSwitchedBit : 0)
    special.pointee.cr0 = special.pointee.cr0 & ~Self.taskSwitchedBit | (value ? Self.taskSwitchedBit : 0)
    virtual.registersChanged = true
  }

  func readControl(_ number: Int) -> UInt64? {
    switch number {
    case 0: control0
    case 2: info.faultAddress.loadShared()
    case 3: kernelRoot.address.rawValue
    case 4: control4
    default: nil
    }
  }

  func writeControl(_ number: Int, _ value: UInt64) -> Bool {
    switch number {
    case 0:
      setTaskSwitched(value & Self.taskSwitchedBit != 0)
    case 2:
      info.faultAddress.storeShared(value)
    case 3:
      return (try? loadKernelRoot(MachineAddress(value).frame)) != nil
    case 4:
      // What the guest asks for is remembered; what runs it stays as it is.
      control4 = value
    default:
      return false
    }
    return true
  }

  func readModelSpecific(_ number: UInt32) -> UInt64? {
    switch number {
    case ModelSpecific.timeStamp: hostTimeStamp() &+ timeStampOffset
    case ModelSpecific.apicBase: 0xfee0_0900
    case ModelSpecific.microcode, ModelSpecific.platformInformation, ModelSpecific.miscellaneousFeatures: 0
    case ModelSpecific.miscellaneousEnable: 1
    case ModelSpecific.pageAttributes: 0x0005_0100_0704_06
    case ModelSpecific.efer: 0xd01
    case ModelSpecific.fsBase: special.pointee.fs.base
    case ModelSpecific.gsBase: special.pointee.gs.base
    case ModelSpecific.kernelGSBase: otherGSBase
    default: nil
    }
  }

  func writeModelSpecific(_ number: UInt32, _ value: UInt64) -> Bool {
    switch number {
    case ModelSpecific.fsBase: return setSegmentBase(.fs, value)
    case ModelSpecific.gsBase: return setSegmentBase(.gsKernel, value)
    case ModelSpecific.kernelGSBase: return setSegmentBase(.gsUser, value)
    case ModelSpecific.apicBase, ModelSpecific.efer, ModelSpecific.pageAttributes: return true
    default: return false
    }
  }

  enum SegmentBase: UInt64 {
    case fs = 0
    case gsUser = 1
    case gsKernel = 2
    case gsUserSelector = 3
  }

  /// Sets a base from the guest's kernel mode; false if it is not canonical.
  func setSegmentBase(_ segment: SegmentBase, _ value: UInt64) -> Bool {
    guard segment == .gsUserSelector || VirtualAddress(value).isCanonical else { return false }
    switch segment {
    case .fs: special.pointee.fs.base = value
    case .gsUser: otherGSBase = value
    case .gsKernel: special.pointee.gs.base = value
    case .gsUserSelector: loadUserGS(UInt16(truncatingIfNeeded: value))
    }
    virtual.registersChanged = true
    return true
  }

  /// Loads GS for the guest's user, as SWAPGS, a load of GS and SWAPGS would: 32-bit programs have their thread's memory
  /// there. A selector that cannot be loaded leads to none.
  private func loadUserGS(_ selector: UInt16) {
    let usesLocalTable = selector & 4 != 0
    let descriptor = usesLocalTable ? 0 : pages.descriptorWords[Int(selector >> 3)]
    var segment = SegmentDescriptor.dataSegment(descriptor)
    segment.selector = segment.present != 0 ? selector : 0
    otherGSBase = segment.base
    segment.base = special.pointee.gs.base
    special.pointee.gs = segment
  }

  /// XCR0: x87 always, AVX only with SSE, and nothing that the guest was not told of.
  func writeExtendedControl(_ value: UInt64) -> Bool {
    guard value & 1 != 0, value & 6 != 4, value & ~domain.host.identification.extendedStates == 0 else {
      return false
    }
    extendedControl = value
    virtual.setExtendedControl(value)
    return true
  }

  /// A general register by its number in instruction encodings.
  func generalRegister(_ number: Int) -> UnsafeMutablePointer<UInt64> {
    let base = UnsafeMutableRawPointer(registers)
    return (base + Self.registerOffsets[number & 15]).assumingMemoryBound(to: UInt64.self)
  }

  /// `struct kvm_regs` has rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 … r15; instructions count
  /// rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 … r15.
  private static let registerOffsets = [0, 16, 24, 8, 48, 56, 32, 40, 64, 72, 80, 88, 96, 104, 112, 120]
}
