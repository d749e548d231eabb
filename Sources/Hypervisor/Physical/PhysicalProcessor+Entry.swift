// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// How a PVH guest's first vCPU begins: flat 32-bit protected mode without paging, interrupts off.
/// Source: docs/misc/pvh.pandoc.
extension PhysicalProcessor {
  func begin(_ initial: PhysicalState) throws(KVMError) {
    try virtual.readRegisters()
    var code = Self.flatSegment(selector: 0x8, type: 11)
    code.db = 1
    let data = Self.flatSegment(selector: 0x10, type: 3)
    special.pointee.cs = code
    for segment in [\SpecialRegisters.ds, \.es, \.fs, \.gs, \.ss] { special.pointee[keyPath: segment] = data }
    var task = Segment()
    task.limit = 0x67
    task.type = 11
    task.present = 1
    special.pointee.tr = task
    var none = Segment()
    none.unusable = 1
    special.pointee.ldt = none
    let protectedMode: UInt64 = 0x11
    special.pointee.cr0 = protectedMode
    special.pointee.cr3 = 0
    special.pointee.cr4 = 0
    special.pointee.efer = 0
    registers.pointee = Registers()
    registers.pointee.rip = UInt64(initial.entry)
    registers.pointee.rbx = UInt64(initial.startInfo)
    registers.pointee.rflags = 2
    try virtual.writeRegisters()
  }

  /// A segment of 4 GiB at privilege level 0.
  private static func flatSegment(selector: UInt16, type: UInt8) -> Segment {
    var segment = Segment()
    segment.limit = 0xffff_ffff
    segment.selector = selector
    segment.type = type
    segment.present = 1
    segment.db = 1
    segment.s = 1
    segment.g = 1
    return segment
  }
}
