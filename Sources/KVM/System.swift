// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// /dev/kvm: what this machine's KVM is and can do.
public final class System: Sendable {
  /// How the CPU of a virtual machine is made.
  public enum Kind: Sendable, Hashable {
    /// The processor's own virtualization (VMX or SVM).
    case hardware
    /// CPL 3 runs natively, CPL 0 is emulated, CPUID at CPL 3 is not intercepted.
    case software
  }

  public let kind: Kind
  let descriptor: Int32
  /// Bytes of the shared `kvm_run` of a vCPU.
  let runByteCount: Int

  /// Opens /dev/kvm and checks that it has what the monitor needs.
  public init() throws(KVMError) {
    descriptor = open("/dev/kvm", O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else {
      switch errno {
      case ENOENT, ENODEV, ENXIO: throw .noDevice
      case EACCES, EPERM: throw .noPermission
      default: throw .failed(operation: "opening /dev/kvm", errno: errno)
      }
    }
    let version = kvm_call(descriptor, kvm_request_get_api_version, 0)
    let size = kvm_call(descriptor, kvm_request_get_vcpu_mmap_size, 0)
    runByteCount = Int(size)
    kind = Self.probeKind()
    guard version == KVM_API_VERSION, size > 0 else {
      close(descriptor)
      throw .missingCapability("version \(KVM_API_VERSION) of its interface")
    }
    let needed: [(UInt32, String)] = [
      (UInt32(KVM_CAP_SYNC_REGS), "synchronised registers (KVM_CAP_SYNC_REGS)"),
      (UInt32(KVM_CAP_IMMEDIATE_EXIT), "immediate exits (KVM_CAP_IMMEDIATE_EXIT)"),
    ]
    for (capability, name) in needed where !has(capability) {
      close(descriptor)
      throw .missingCapability(name)
    }
  }

  deinit { close(descriptor) }

  /// Whether KVM reports a capability (`KVM_CAP_*`).
  public func has(_ capability: UInt32) -> Bool {
    kvm_call(descriptor, kvm_request_check_extension, UInt(capability)) > 0
  }

  /// KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL.
  static let interceptsHypercalls: UInt32 = 1 << 1

  /// Whether vCPUs can leave for hypercalls by Xen's convention (`KVM_CAP_XEN_HVM`): a kernel has that or not.
  public var passesXenHypercallsOn: Bool {
    let flags = kvm_call(descriptor, kvm_request_check_extension, UInt(KVM_CAP_XEN_HVM))
    return flags > 0 && UInt32(flags) & Self.interceptsHypercalls != 0
  }

  /// The rate of a vCPU's time-stamp counter in kHz.
  public func timeStampKilohertz() throws(KVMError) -> UInt64 {
    let machine = kvm_call(descriptor, kvm_request_create_vm, 0)
    guard machine >= 0 else { throw .failed(operation: "KVM_CREATE_VM", errno: errno) }
    defer { close(machine) }
    let processor = kvm_call(machine, kvm_request_create_vcpu, 0)
    guard processor >= 0 else { throw .failed(operation: "KVM_CREATE_VCPU", errno: errno) }
    defer { close(processor) }
    let rate = kvm_call(processor, kvm_request_get_tsc_khz, 0)
    guard rate > 0 else { throw .failed(operation: "KVM_GET_TSC_KHZ", errno: errno) }
    return UInt64(rate)
  }

  /// Hardware KVM needs VMX or SVM, and the processor says whether it has them.
  private static func probeKind() -> Kind {
    let vmx = nativeCPUID(leaf: 1).ecx & 1 << 5 != 0
    let svm = nativeCPUID(leaf: 0x8000_0001).ecx & 1 << 2 != 0
    return vmx || svm ? .hardware : .software
  }
}
