// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// The part of the registers that an exception or a system call changes.
struct GuestContext {
  var instruction: UInt64
  var codeSelector: UInt16
  var flags: UInt64
  var stack: UInt64
  var stackSelector: UInt16
}

/// Bits of RFLAGS.
enum Flags {
  static let always: UInt64 = 1 << 1
  static let trap: UInt64 = 1 << 8
  static let interrupt: UInt64 = 1 << 9
  static let privilege: UInt64 = 3 << 12
  static let nestedTask: UInt64 = 1 << 14
  static let resume: UInt64 = 1 << 16
  static let virtual8086: UInt64 = 1 << 17
  static let alignmentCheck: UInt64 = 1 << 18
  static let direction: UInt64 = 1 << 10
  static let identification: UInt64 = 1 << 21
  /// CF, PF, AF, ZF, SF and OF.
  static let arithmetic: UInt64 = 0x8d5
  /// What a guest may set for itself.
  static let guests: UInt64 = arithmetic | trap | direction | resume | alignmentCheck | identification
}

extension ParavirtualProcessor {
  /// The guest's registers as they are when it runs at CPL 3.
  var currentContext: GuestContext {
    GuestContext(
      instruction: registers.pointee.rip, codeSelector: special.pointee.cs.selector,
      flags: registers.pointee.rflags, stack: registers.pointee.rsp,
      stackSelector: special.pointee.ss.selector)
  }

  /// Lets the guest go on at CPL 3.
  func resume(_ context: GuestContext) {
    registers.pointee.rip = context.instruction
    registers.pointee.rsp = context.stack
    registers.pointee.rflags = context.flags & Flags.guests | Flags.always | Flags.interrupt
    // 32-bit user code has a selector of its own; whatever else was asked for is 64-bit code.
    let compatibility =
      context.codeSelector | 3 == Selector.compatibilityCode || context.codeSelector | 3 == 0x23
    let code = context.codeSelector & 0xfffc == 0 ? Selector.code : context.codeSelector | 3
    let stack = context.stackSelector & 0xfffc == 0 ? Selector.data : context.stackSelector | 3
    setSegments(code: code, stack: stack, wide: !compatibility)
    virtual.registersChanged = true
  }

  private func setSegments(code: UInt16, stack: UInt16, wide: Bool) {
    special.pointee.cs = Self.codeSegment(code, privilege: 3, wide: wide)
    special.pointee.ss = .flat(stack, type: Segment.data, privilege: 3)
  }

  /// Code and stack of ring 0.
  func setMonitorSegments() {
    special.pointee.cs = Self.codeSegment(Selector.monitorCode, privilege: 0, wide: true)
    special.pointee.ss = .flat(Selector.monitorData, type: Segment.data, privilege: 0)
  }

  private static func codeSegment(_ selector: UInt16, privilege: UInt8, wide: Bool) -> Segment {
    var segment = Segment.flat(selector, type: Segment.code, privilege: privilege)
    segment.l = wide ? 1 : 0
    segment.db = wide ? 0 : 1
    return segment
  }

  /// Lets exceptions through the gates of the guest's mode. They count with the registers' next change.
  func setGates() {
    special.pointee.idt.base = MonitorWindow.address(
      ofPage: mode == .kernel ? MonitorWindow.Page.interruptsOfKernels : MonitorWindow.Page.interrupts)
  }

  /// Sets the vCPU up to run at CPL 3 in the monitor's environment.
  func prepare() throws(KVMError) {
    try virtual.readRegisters()
    control4 = ControlFour.initial
    special.pointee.cr4 = ControlFour.initial
    special.pointee.cr0 = control0
    special.pointee.cr3 = 0
    let longModeWithSystemCall: UInt64 = 0xd01
    special.pointee.efer = longModeWithSystemCall
    special.pointee.gdt.base = MonitorWindow.address(
      ofPage: MonitorWindow.Page.descriptors, of: index)
    special.pointee.gdt.limit = 0xffff
    setGates()
    special.pointee.idt.limit = 0xfff
    special.pointee.tr = .taskState(
      Selector.taskState, base: MonitorWindow.address(ofPage: MonitorWindow.Page.taskState, of: index),
      limit: ProcessorPages.taskStateLimit)
    special.pointee.ldt = .absent
    let data = Segment.flat(0, type: Segment.data, privilege: 3)
    special.pointee.ds = data
    special.pointee.es = data
    special.pointee.fs = data
    special.pointee.gs = data
    setSegments(code: Selector.code, stack: Selector.data, wide: true)
    registers.pointee = Registers()
    registers.pointee.rflags = Flags.always | Flags.interrupt
    try writeWithExtendedState()
    let selectors = UInt64(Selector.compatibilityCode) << 48 | UInt64(Selector.monitorCode) << 32
    // A stub at CPL 3 cannot set the interrupt flag again; nothing is injected that it would keep away.
    let cleared = Flags.trap | Flags.privilege | Flags.nestedTask | Flags.alignmentCheck
    let clearedFlags = updatesWithoutExit ? cleared : cleared | Flags.interrupt
    try virtual.setModelSpecific([
      (ModelSpecific.star, selectors), (ModelSpecific.lstar, UpdateStub.address(of: index)),
      (ModelSpecific.cstar, UpdateStub.compatibility), (ModelSpecific.sfmask, clearedFlags | Flags.direction),
    ])
  }

  /// Writes the registers, with XSAVE enabled if KVM lets the guest have it.
  private func writeWithExtendedState() throws(KVMError) {
    special.pointee.cr4 |= ControlFour.extendedState
    do throws(KVMError) {
      try virtual.writeRegisters()
      control4 |= ControlFour.extendedState
    } catch {
      special.pointee.cr4 &= ~ControlFour.extendedState
      try virtual.writeRegisters()
    }
  }
}

/// Bits of CR4.
enum ControlFour {
  /// PCE: ring 3 may read performance counters, of which the guest has none.
  static let performanceCounters: UInt64 = 1 << 8
  static let extendedState: UInt64 = 1 << 18
  /// PAE, OSFXSR, OSXMMEXCPT.
  static let initial: UInt64 = 1 << 5 | 1 << 9 | 1 << 10
}

/// Model-specific registers by number. Source: Intel SDM volume 4.
enum ModelSpecific {
  static let timeStamp: UInt32 = 0x10
  static let apicBase: UInt32 = 0x1b
  static let microcode: UInt32 = 0x8b
  static let platformInformation: UInt32 = 0xce
  static let miscellaneousFeatures: UInt32 = 0x140
  static let miscellaneousEnable: UInt32 = 0x1a0
  static let pageAttributes: UInt32 = 0x277
  static let efer: UInt32 = 0xc000_0080
  static let star: UInt32 = 0xc000_0081
  static let lstar: UInt32 = 0xc000_0082
  static let cstar: UInt32 = 0xc000_0083
  static let sfmask: UInt32 = 0xc000_0084
  static let fsBase: UInt32 = 0xc000_0100
  static let gsBase: UInt32 = 0xc000_0101
  static let kernelGSBase: UInt32 = 0xc000_0102
}
