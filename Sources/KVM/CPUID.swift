// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// The four registers that CPUID answers with.
public struct CPUIDRegisters: Sendable, Hashable {
  public var eax: UInt32
  public var ebx: UInt32
  public var ecx: UInt32
  public var edx: UInt32

  public init(eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0) {
    self.eax = eax
    self.ebx = ebx
    self.ecx = ecx
    self.edx = edx
  }
}

/// One leaf of a CPUID table.
public struct CPUIDEntry: Sendable, Hashable {
  public var leaf: UInt32
  /// The value of ECX that it answers to; nil if the leaf ignores ECX.
  public var subleaf: UInt32?
  public var registers: CPUIDRegisters

  public init(leaf: UInt32, subleaf: UInt32? = nil, registers: CPUIDRegisters) {
    self.leaf = leaf
    self.subleaf = subleaf
    self.registers = registers
  }
}

/// What CPUID answers here, in this process.
public func nativeCPUID(leaf: UInt32, subleaf: UInt32 = 0) -> CPUIDRegisters {
  withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 4) { out in
    guard let base = out.baseAddress else { return CPUIDRegisters() }
    lockstep_cpuid(leaf, subleaf, base)
    return CPUIDRegisters(eax: out[0], ebx: out[1], ecx: out[2], edx: out[3])
  }
}

/// The most entries that this code passes to or takes from KVM.
let maximumCPUIDEntries = 256

extension System {
  /// What KVM can give a guest (`KVM_GET_SUPPORTED_CPUID`).
  public func supportedCPUID() throws(KVMError) -> [CPUIDEntry] {
    let offset = kvm_cpuid_entries_offset()
    let stride = MemoryLayout<kvm_cpuid_entry2>.stride
    let buffer = UnsafeMutableRawPointer.allocate(
      byteCount: offset + stride * maximumCPUIDEntries, alignment: 8)
    defer { buffer.deallocate() }
    memset(buffer, 0, offset + stride * maximumCPUIDEntries)
    let header = buffer.assumingMemoryBound(to: kvm_cpuid2.self)
    header.pointee.nent = UInt32(maximumCPUIDEntries)
    guard kvm_call_pointer(descriptor, kvm_request_get_supported_cpuid, buffer) >= 0 else {
      throw .failed(operation: "KVM_GET_SUPPORTED_CPUID", errno: errno)
    }
    let entries = (buffer + offset).assumingMemoryBound(to: kvm_cpuid_entry2.self)
    return (0..<min(Int(header.pointee.nent), maximumCPUIDEntries)).map { index in
      let entry = entries[index]
      let indexed = entry.flags & UInt32(KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0
      return CPUIDEntry(
        leaf: entry.function, subleaf: indexed ? entry.index : nil,
        registers: CPUIDRegisters(eax: entry.eax, ebx: entry.ebx, ecx: entry.ecx, edx: entry.edx))
    }
  }
}

extension VirtualCPU {
  /// Sets what CPUID answers in the guest where KVM intercepts it (`KVM_SET_CPUID2`).
  public func setCPUID(_ table: [CPUIDEntry]) throws(KVMError) {
    let offset = kvm_cpuid_entries_offset()
    let stride = MemoryLayout<kvm_cpuid_entry2>.stride
    let count = min(table.count, maximumCPUIDEntries)
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: offset + stride * count, alignment: 8)
    defer { buffer.deallocate() }
    memset(buffer, 0, offset + stride * count)
    buffer.assumingMemoryBound(to: kvm_cpuid2.self).pointee.nent = UInt32(count)
    let entries = (buffer + offset).assumingMemoryBound(to: kvm_cpuid_entry2.self)
    for (index, entry) in table.prefix(count).enumerated() {
      entries[index].function = entry.leaf
      if let subleaf = entry.subleaf {
        entries[index].index = subleaf
        entries[index].flags = UInt32(KVM_CPUID_FLAG_SIGNIFCANT_INDEX)
      }
      entries[index].eax = entry.registers.eax
      entries[index].ebx = entry.registers.ebx
      entries[index].ecx = entry.registers.ecx
      entries[index].edx = entry.registers.edx
    }
    guard kvm_call_pointer(descriptor, kvm_request_set_cpuid2, buffer) == 0 else {
      throw .failed(operation: "KVM_SET_CPUID2", errno: errno)
    }
  }
}
