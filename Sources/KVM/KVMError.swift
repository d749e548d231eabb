// SPDX-License-Identifier: Apache-2.0

/// Why /dev/kvm could not be used. Each description is one line: what, and what to do.
public enum KVMError: Error, Sendable, Hashable, CustomStringConvertible {
  /// There is no /dev/kvm.
  case noDevice
  /// /dev/kvm exists, but this user may not open it.
  case noPermission
  /// The kernel's KVM lacks something that is needed.
  case missingCapability(String)
  /// A system call failed.
  case failed(operation: String, errno: Int32)

  public var description: String {
    switch self {
    case .noDevice:
      "no /dev/kvm: load the kernel's kvm_intel or kvm_amd module, or run on a machine that has KVM"
    case .noPermission:
      "no permission to open /dev/kvm: add yourself to the group that owns it (usually kvm)"
    case .missingCapability(let name):
      "this kernel's KVM lacks \(name): a newer kernel is needed"
    case .failed(let operation, let errno):
      "\(operation) failed: errno \(errno)"
    }
  }
}
