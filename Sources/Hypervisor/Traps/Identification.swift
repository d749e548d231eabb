// SPDX-License-Identifier: Apache-2.0

import KVM

/// What CPUID answers to PV guests.
///
/// On hardware KVM guests see what KVM supports; on software KVM a guest's user code sees the processor itself,
/// so its kernel is told of the same vector units, or it would not save their state. Either way, what a kernel at
/// CPL 3 cannot use is hidden.
struct Identification: Sendable {
  /// What KVM is to answer where it intercepts CPUID.
  let table: [CPUIDEntry]
  /// The states that the guest may enable in XCR0.
  let extendedStates: UInt64
  /// What KVM supports.
  let entries: [CPUIDEntry]
  private let native: Bool

  static let firstHypervisorLeaf: UInt32 = 0x4000_0000

  private enum Leaf {
    static let hypervisor = firstHypervisorLeaf
    static let extendedState: UInt32 = 0xd
  }
  /// x87, SSE, AVX, and the three states of AVX-512.
  private static let knownStates: UInt64 = 0xe7

  init(_ system: System) throws(KVMError) {
    entries = try system.supportedCPUID().filter { !(0x4000_0000..<0x4000_0100).contains($0.leaf) }
    native = system.kind == .software
    let states =
      native ? nativeCPUID(leaf: Leaf.extendedState).eax : Self.find(Leaf.extendedState, 0, entries).eax
    extendedStates = max(UInt64(states) & Self.knownStates, 1)
    var table: [CPUIDEntry] = []
    for entry in entries {
      var masked = entry
      masked.registers = Self.mask(entry.registers, leaf: entry.leaf, subleaf: entry.subleaf ?? 0)
      table.append(masked)
    }
    for leaf in Leaf.hypervisor...(Leaf.hypervisor + 5) {
      table.append(CPUIDEntry(leaf: leaf, registers: Self.hypervisorLeaf(leaf)))
    }
    self.table = table
  }

  /// The answer to the guest's prefixed CPUID.
  func answer(leaf: UInt32, subleaf: UInt32, extendedControl: UInt64) -> CPUIDRegisters {
    if (0x4000_0000..<0x4000_0100).contains(leaf) { return Self.hypervisorLeaf(leaf) }
    if leaf == Leaf.extendedState { return extendedStateLeaf(subleaf, extendedControl) }
    var registers = Self.mask(source(leaf, subleaf), leaf: leaf, subleaf: subleaf)
    // OSXSAVE shows that the operating system, here the monitor, has enabled XSAVE.
    if leaf == 1, registers.ecx & 1 << 26 != 0 { registers.ecx |= 1 << 27 }
    return registers
  }

  private func source(_ leaf: UInt32, _ subleaf: UInt32) -> CPUIDRegisters {
    let mirrored: [UInt32] = [1, 7, Leaf.extendedState, 0x8000_0001]
    if native, mirrored.contains(leaf) {
      var registers = nativeCPUID(leaf: leaf, subleaf: subleaf)
      if leaf == 1 { registers.ebx &= 0x0000_ffff }
      return registers
    }
    return Self.find(leaf, subleaf, entries)
  }

  private static func find(_ leaf: UInt32, _ subleaf: UInt32, _ entries: [CPUIDEntry]) -> CPUIDRegisters {
    entries.first { $0.leaf == leaf && ($0.subleaf ?? subleaf) == subleaf }?.registers ?? CPUIDRegisters()
  }

  /// The hypervisor's leaves. Source: xen/include/public/arch-x86/cpuid.h.
  static func hypervisorLeaf(_ leaf: UInt32) -> CPUIDRegisters {
    switch leaf - Leaf.hypervisor {
    // "XenVMMXenVMM"
    case 0: CPUIDRegisters(eax: Leaf.hypervisor + 5, ebx: 0x566e_6558, ecx: 0x6558_4d4d, edx: 0x4d4d_566e)
    case 1: CPUIDRegisters(eax: XenVersion.number)
    case 2: CPUIDRegisters(eax: 1, ebx: Leaf.hypervisor)
    // Machine addresses of at most 44 bits: guests stay with version 1 of grant tables.
    case 5: CPUIDRegisters(ebx: 44)
    default: CPUIDRegisters()
    }
  }

  private static func mask(_ original: CPUIDRegisters, leaf: UInt32, subleaf: UInt32) -> CPUIDRegisters {
    var registers = original
    switch leaf {
    case 1:
      registers.ebx = registers.ebx & 0x0000_ffff | 1 << 16
      registers.ecx &= ~bits(2, 3, 4, 5, 6, 7, 8, 10, 14, 15, 17, 18, 21, 24)
      registers.ecx |= bits(31)
      registers.edx &= ~bits(1, 2, 3, 7, 12, 13, 14, 17, 18, 21, 22, 28, 29, 31)
    case 7 where subleaf == 0:
      registers.eax = 0
      registers.ebx &= ~bits(0, 1, 2, 4, 7, 10, 11, 12, 14, 15, 20, 22, 25)
      registers.ecx &= ~bits(2, 3, 4, 5, 7, 13, 16, 24, 29, 30, 31)
      registers.edx &= bits(2, 3, 4, 10, 14)
    case 5, 6, 0xa, 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x20:
      registers = CPUIDRegisters()
    case 7, 0x8000_000a, 0x8000_001f:
      registers = CPUIDRegisters()
    case 0xb:
      registers = CPUIDRegisters(ecx: subleaf & 0xff)
    case 0x8000_0001:
      registers.ecx &= bits(0, 5, 6, 7, 8, 11, 16)
      registers.edx &= ~bits(1, 2, 3, 7, 12, 13, 14, 17, 26)
      registers.edx |= bits(11, 20, 29)
    case 0x8000_0007:
      registers = CPUIDRegisters(edx: registers.edx & bits(8))
    case 0x8000_0008:
      registers.ebx = 0
      registers.ecx = 0
    default: break
    }
    return registers
  }

  static func bits(_ numbers: UInt32...) -> UInt32 { numbers.reduce(0) { $0 | 1 << $1 } }

  /// XSAVE's leaf: only the states offered, sizes computed from them; no compaction, no supervisor states.
  private func extendedStateLeaf(_ subleaf: UInt32, _ control: UInt64) -> CPUIDRegisters {
    func end(of state: UInt32) -> UInt32 {
      let area = source(Leaf.extendedState, state)
      return area.eax &+ area.ebx
    }
    switch subleaf {
    case 0:
      let legacyAndHeader: UInt32 = 576
      let states = (2..<UInt32(8)).filter { extendedStates >> UInt64($0) & 1 != 0 }
      let enabled = states.filter { control >> UInt64($0) & 1 != 0 }
      return CPUIDRegisters(
        eax: UInt32(truncatingIfNeeded: extendedStates),
        ebx: enabled.map(end).max() ?? legacyAndHeader, ecx: states.map(end).max() ?? legacyAndHeader)
    case 1:
      return CPUIDRegisters(eax: source(Leaf.extendedState, 1).eax & Self.bits(0, 2))
    case 2..<8 where extendedStates >> UInt64(subleaf) & 1 != 0:
      return source(Leaf.extendedState, subleaf)
    default:
      return CPUIDRegisters()
    }
  }
}

/// The version that guests are told: what of the ABI exists here is what they may ask for.
enum XenVersion {
  static let major: UInt32 = 4
  static let minor: UInt32 = 17
  static let number = major << 16 | minor
  static let extra = ".0-lockstep"
}
