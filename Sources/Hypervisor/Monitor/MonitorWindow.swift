// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Where the monitor lies in every address space: level-4 slots 257 and 258, the part that is not the guest's.
///
/// Ring 0 of a virtual machine is nothing but the stubs here. Slot 256, where the ABI has the machine-to-physical
/// table by custom, cannot be used at CPL 3 on software KVM; guests are told the address of the table. Any vCPU may
/// run on any of the guest's tables, so all of a domain have the same window, each with pages of its own there.
enum MonitorWindow {
  static let levelFourSlot = 257
  static let base: UInt64 = 0xffff_8080_0000_0000
  /// The machine-to-physical table: level-4 slot 258 of the tables of guest kernels, which may read it.
  static let tableSlot = 258
  static let machineToPhysical: UInt64 = 0xffff_8100_0000_0000
  /// Where the ABI has that table by custom (`HYPERVISOR_VIRT_START`): loads from there are emulated.
  static let customaryTable: UInt64 = 0xffff_8000_0000_0000
  /// The most level-3 slots that the table may take: 2 GiB, entries for 2²⁸ frames.
  static let machineToPhysicalSlots = 2

  /// The pages of a vCPU, by number; those of interrupts, stubs and system calls are vCPU 0's, and of all.
  enum Page {
    /// The 16 pages that a global descriptor table may have; the last two are the monitor's.
    static let descriptors = 0
    static let descriptorCount = 16
    static let interrupts = 16
    static let stubs = 17
    /// Where SYSCALL arrives; at CPL 0 or 3, according to the kind of KVM.
    static let systemCall = 18
    static let systemCallCount = 2
    static let taskState = 20
    static let taskStateCount = 3
    /// Gates as those of `interrupts`, for while a guest's kernel runs.
    static let interruptsOfKernels = 23
    static let stack = 24
  }
  static let pagesPerProcessor = 32

  static func address(ofPage page: Int, of processor: Int = 0) -> UInt64 {
    base + UInt64(processor * pagesPerProcessor + page) << 12
  }

  /// The stack pointer that the processor loads when an exception reaches ring 0.
  static func stackTop(of processor: Int) -> UInt64 { address(ofPage: Page.stack + 1, of: processor) }
  static let systemCall = address(ofPage: Page.systemCall)
  static let endOfSystemCall = address(ofPage: Page.systemCall + Page.systemCallCount)
  /// The lists of `UpdateStub`: a page behind the machine-to-physical table, for guest kernels to read.
  static let updatable = machineToPhysical + UInt64(machineToPhysicalSlots) << 30
  /// Where guest kernels keep their stack for entries from user mode, a word a vCPU: the next page, for them to write.
  static let kernelStacks = updatable + UInt64(frameSize)

  /// The stub that stores shadow entries, behind those of the vectors; the list that it takes, a page of addresses; and
  /// the shadow pages of the domain. Level-2 slots 2, and 3 and following, of the window.
  static let storeStubOffset = 0x800
  static let storeStub = address(ofPage: Page.stubs) + UInt64(storeStubOffset)
  /// Another one, for entries that follow one another; its list has pairs of an address and how many.
  static let runStubOffset = 0x840
  static let runStub = address(ofPage: Page.stubs) + UInt64(runStubOffset)
  static let list = base + 2 << 21
  static let pool = base + 3 << 21

  /// Ports on which the stubs report; a vector's is its own number, all from 32 on share one.
  enum Port {
    static let firstShared: UInt16 = 32
    static let systemCall: UInt16 = 0xe5
    static let stored: UInt16 = 0xe6
  }
}

/// Segment selectors of the ABI and of ring 0. Source: xen/include/public/arch-x86/xen-x86_64.h.
enum Selector {
  static let monitorCode: UInt16 = 0xe008
  static let monitorData: UInt16 = 0xe010
  /// FLAT_USER_CS32 and FLAT_RING3_CS32.
  static let compatibilityCode: UInt16 = 0xe023
  /// FLAT_RING3_SS64, also of 32-bit code.
  static let data: UInt16 = 0xe02b
  /// FLAT_RING3_CS64.
  static let code: UInt16 = 0xe033
  static let taskState: UInt16 = 0xe040
}
