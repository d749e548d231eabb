// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// What the guest finds where it has left for something that is not there, after such an exit and before the next `enter`.
extension VirtualCPU {
  /// Whether the port access under way is an IN.
  public var isPortInput: Bool {
    var count = 0
    _ = kvm_run_input(run, &count)
    return count > 0
  }

  /// The first byte that the OUT under way writes.
  public var portOutput: UInt8 { kvm_run_output(run) }

  /// An IN reads all ones; nothing happens to what an OUT writes.
  public func endPortAccess() {
    var count = 0
    let bytes = kvm_run_input(run, &count)
    memset(bytes, 0xff, count)
  }

  /// A load reads all ones; nothing happens to what a store writes.
  public func endMemoryAccess() {
    var count = 0
    let bytes = kvm_run_load(run, &count)
    memset(bytes, 0xff, count)
  }

  /// A hypercall by Xen's convention. Source: xen/include/public/arch-x86/xen-x86_64.h.
  public struct Hypercall: Sendable {
    public var number: UInt64
    /// None has a sixth.
    public var arguments: InlineArray<5, UInt64>
    /// Made at privilege level 0, and in 64-bit mode.
    public var isKernels: Bool
    public var is64Bit: Bool
  }

  /// The hypercall under way.
  public var hypercall: Hypercall {
    Hypercall(
      number: kvm_run_xen_number(run), arguments: InlineArray { kvm_run_xen_argument(run, Int32($0)) },
      isKernels: kvm_run_xen_is_kernels(run) != 0, is64Bit: kvm_run_xen_is_64_bit(run) != 0)
  }

  /// The hypercall under way returns.
  public func endHypercall(_ result: Int64) { kvm_run_xen_set_result(run, UInt64(bitPattern: result)) }

  /// Where a linear address leads by the guest's own page tables and processor mode, as a guest-physical address
  /// (`KVM_TRANSLATE`); nil if it is not mapped. Rights are not looked at. Call it on the vCPU's own thread.
  public func guestPhysicalAddress(of address: UInt64) -> UInt64? {
    var translation = kvm_translation()
    translation.linear_address = address
    guard kvm_call_pointer(descriptor, kvm_request_translate, &translation) == 0, translation.valid != 0
    else { return nil }
    return translation.physical_address
  }
}
