// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// A virtual machine: one piece of memory from guest-physical address 0 on, and vCPUs.
public final class VirtualMachine: Sendable {
  let descriptor: Int32
  let system: System
  private let memory: MemoryFile

  /// Makes a machine whose guest-physical memory is all of `memory`.
  public init(_ system: System, memory: MemoryFile) throws(KVMError) {
    self.system = system
    self.memory = memory
    descriptor = kvm_call(system.descriptor, kvm_request_create_vm, 0)
    guard descriptor >= 0 else { throw .failed(operation: "KVM_CREATE_VM", errno: errno) }
    do throws(KVMError) {
      // Old Intel processors want three pages of guest-physical space for real mode, which is never used here.
      let realModePages: UInt = 0xfffb_d000
      if memory.byteCount <= Int(realModePages),
        kvm_call(descriptor, kvm_request_set_tss_addr, realModePages) != 0
      {
        throw .failed(operation: "KVM_SET_TSS_ADDR", errno: errno)
      }
      try setSlot(byteCount: memory.byteCount)
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit { close(descriptor) }

  /// Makes KVM forget every translation that it derived from page tables in the memory: tables may be reused then.
  ///
  /// KVM without two-dimensional paging shadows the tables that a vCPU runs on, and does not see what this process
  /// stores to them. No vCPU of the machine may run meanwhile.
  public func forgetTranslations() throws(KVMError) {
    try setSlot(byteCount: 0)
    try setSlot(byteCount: memory.byteCount)
  }

  private func setSlot(byteCount: Int) throws(KVMError) {
    var region = kvm_userspace_memory_region()
    region.memory_size = UInt64(byteCount)
    region.userspace_addr = UInt64(UInt(bitPattern: memory.base))
    guard kvm_call_pointer(descriptor, kvm_request_set_user_memory_region, &region) == 0 else {
      throw .failed(operation: "KVM_SET_USER_MEMORY_REGION", errno: errno)
    }
  }
}
