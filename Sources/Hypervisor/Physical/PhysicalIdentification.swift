// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// What CPUID answers to PVH guests: what KVM supports, less what is not there for them, and the hypervisor's leaves.
extension Identification {
  /// The register to which a guest writes the address of its hypercall page.
  static let hypercallPageRegister: UInt32 = 0x4000_0200

  func physicalTable(for processor: Int, of domain: DomainID) -> [CPUIDEntry] {
    var table = entries.map { entry in
      CPUIDEntry(
        leaf: entry.leaf, subleaf: entry.subleaf,
        registers: Self.physical(entry.registers, entry.leaf, entry.subleaf ?? 0, processor))
    }
    for leaf in Self.firstHypervisorLeaf...(Self.firstHypervisorLeaf + 5) {
      table.append(CPUIDEntry(leaf: leaf, registers: Self.physicalLeaf(leaf, processor, domain)))
    }
    return table
  }

  private static func physical(
    _ original: CPUIDRegisters, _ leaf: UInt32, _ subleaf: UInt32, _ processor: Int
  ) -> CPUIDRegisters {
    var registers = original
    switch leaf {
    case 1:
      // One thread, whose local APIC has the vCPU's number.
      registers.ebx = registers.ebx & 0x0000_ffff | 1 << 16 | UInt32(processor) << 24
      // Neither MONITOR, VMX, SMX, PDCM, PCID, the deadline timer, nor what shows the host's power; a hypervisor.
      registers.ecx &= ~bits(2, 3, 5, 6, 7, 8, 15, 17, 24)
      registers.ecx |= bits(31)
    case 7 where subleaf == 0:
      // Neither SGX nor page tables of five levels.
      registers.ebx &= ~bits(2)
      registers.ecx &= ~bits(16, 30)
    case 5, 6, 0xa, 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1f, 0x8000_000a, 0x8000_001f:
      registers = CPUIDRegisters()
    case 0xb:
      registers = CPUIDRegisters(ecx: subleaf & 0xff, edx: UInt32(processor))
    case 0x8000_0001:
      // No SVM, and none of its kin.
      registers.ecx &= ~bits(2, 3, 10, 12, 23, 24, 29)
    default: break
    }
    return registers
  }

  /// Source: xen/include/public/arch-x86/cpuid.h.
  private static func physicalLeaf(_ leaf: UInt32, _ processor: Int, _ domain: DomainID) -> CPUIDRegisters {
    switch leaf - firstHypervisorLeaf {
    // One hypercall page, and the register that takes its address.
    case 2: CPUIDRegisters(eax: 1, ebx: hypercallPageRegister)
    // The vCPU's and the domain's number are there, and up-calls by local APICs.
    case 4: CPUIDRegisters(eax: bits(3, 4, 6), ebx: UInt32(processor), ecx: UInt32(domain.rawValue))
    default: hypervisorLeaf(leaf)
    }
  }
}
