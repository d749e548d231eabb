// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// How a PVH guest's first vCPU begins: flat 32-bit protected mode without paging, interrupts off.
/// Source: docs/misc/pvh.pandoc.
extension PhysicalProcessor {
  func begin(_ initial: PhysicalState) throws(KVMError) {
    try virtual.readRegisters()
    special.pointee.cs = .flat(0x8, type: Segment.code, privilege: 0)
    let data = Segment.flat(0x10, type: Segment.data, privilege: 0)
    for segment in [\SpecialRegisters.ds, \.es, \.fs, \.gs, \.ss] { special.pointee[keyPath: segment] = data }
    special.pointee.tr = .taskState(0, base: 0, limit: 0x67)
    special.pointee.ldt = .absent
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
}
