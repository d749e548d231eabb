// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// A virtual machine: memory, and vCPUs.
public final class VirtualMachine: Sendable {
  let descriptor: Int32
  let system: System
  private let memory: any MappedMemory
  private let slots: [Slot]

  /// A piece of the memory, and the guest-physical address of its first byte.
  public struct Slot: Sendable, Hashable {
    public var guestAddress: UInt64
    /// Bytes of the memory; both ends multiples of 4096.
    public var bytes: Range<Int>

    public init(guestAddress: UInt64, bytes: Range<Int>) {
      self.guestAddress = guestAddress
      self.bytes = bytes
    }
  }

  /// Makes a machine whose guest-physical memory is all of `memory`, from address 0 on.
  public convenience init(_ system: System, memory: any MappedMemory) throws(KVMError) {
    try self.init(
      system, memory: memory, slots: [Slot(guestAddress: 0, bytes: 0..<memory.byteCount)])
  }

  /// Makes a machine whose guest-physical memory are pieces of `memory`.
  public init(_ system: System, memory: any MappedMemory, slots: [Slot]) throws(KVMError) {
    self.system = system
    self.memory = memory
    self.slots = slots
    var created: Int32
    // A signal to this thread, such as another domain's kick that came late, makes it fail.
    repeat {
      created = kvm_call(system.descriptor, kvm_request_create_vm, 0)
    } while created < 0 && errno == EINTR
    descriptor = created
    guard descriptor >= 0 else { throw .failed(operation: "KVM_CREATE_VM", errno: errno) }
    do throws(KVMError) {
      // Old Intel processors want three pages of guest-physical space for real mode, which is seldom used here.
      let realModePages: UInt64 = 0xfffb_d000
      if !slots.contains(where: { $0.guestAddress <= realModePages && realModePages < $0.end }),
        kvm_call(descriptor, kvm_request_set_tss_addr, UInt(realModePages)) != 0
      {
        throw .failed(operation: "KVM_SET_TSS_ADDR", errno: errno)
      }
      try setSlots()
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
    for number in slots.indices { try setSlot(number, byteCount: 0) }
    try setSlots()
  }

  private func setSlots() throws(KVMError) {
    for (number, slot) in slots.enumerated() { try setSlot(number, byteCount: slot.bytes.count) }
  }

  private func setSlot(_ number: Int, byteCount: Int) throws(KVMError) {
    var region = kvm_userspace_memory_region()
    region.slot = UInt32(number)
    region.guest_phys_addr = slots[number].guestAddress
    region.memory_size = UInt64(byteCount)
    region.userspace_addr = UInt64(UInt(bitPattern: memory.base + slots[number].bytes.lowerBound))
    guard kvm_call_pointer(descriptor, kvm_request_set_user_memory_region, &region) == 0 else {
      throw .failed(operation: "KVM_SET_USER_MEMORY_REGION", errno: errno)
    }
  }

  // MARK: Machines with a processor's own privilege levels

  /// Gives the vCPUs that are made later local APICs, and no other interrupt controller (`KVM_CAP_SPLIT_IRQCHIP`).
  public func addLocalAPICs() throws(KVMError) {
    var request = kvm_enable_cap()
    request.cap = UInt32(KVM_CAP_SPLIT_IRQCHIP)
    guard kvm_call_pointer(descriptor, kvm_request_enable_capability, &request) == 0 else {
      throw .missingCapability("local APICs without other controllers (KVM_CAP_SPLIT_IRQCHIP)")
    }
  }

  /// Lets the vCPUs leave for hypercalls by Xen's convention: VMCALL or VMMCALL, as the processor has it.
  /// - Parameter pageRegister: the model-specific register to which a guest writes where it wants a page of them.
  public func interceptXenHypercalls(pageRegister: UInt32) throws(KVMError) {
    var request = kvm_xen_hvm_config()
    request.flags = System.interceptsHypercalls
    request.msr = pageRegister
    guard kvm_call_pointer(descriptor, kvm_request_xen_hvm_config, &request) == 0 else {
      throw .failed(operation: "KVM_XEN_HVM_CONFIG", errno: errno)
    }
  }

  /// Sends an interrupt to a vCPU's local APIC, from any thread (`KVM_SIGNAL_MSI`).
  /// - Returns: false if that is off: the interrupt is lost.
  public func interrupt(_ vcpu: Int, vector: UInt8) -> Bool {
    var message = kvm_msi()
    // Physical destination, fixed delivery. Source: Intel SDM volume 3, section "Message Signalled Interrupts".
    message.address_lo = 0xfee0_0000 | UInt32(vcpu & 0xff) << 12
    message.data = UInt32(vector)
    return kvm_call_pointer(descriptor, kvm_request_signal_msi, &message) > 0
  }
}

/// Memory of this process that a machine may have as its own.
public protocol MappedMemory: AnyObject, Sendable {
  /// The first byte in this process.
  var base: UnsafeMutableRawPointer { get }
  var byteCount: Int { get }
}

extension VirtualMachine.Slot {
  /// The guest-physical address behind its last byte.
  fileprivate var end: UInt64 { guestAddress + UInt64(bytes.count) }
}
