// SPDX-License-Identifier: Apache-2.0

import KVM

/// How a guest's kernel runs, by the names of xl.cfg(5).
public enum GuestType: String, Sendable, Hashable, CaseIterable {
  /// Paravirtual, at CPL 3, on any KVM.
  case pv
  /// At CPL 0, on hardware KVM.
  case pvh

  /// Finds out whether this machine's KVM can run such a guest, before anything is set aside for it.
  /// - Throws: `unsupported`, in words for somebody who has written `type = …`; or what is wrong with KVM.
  public func checkSupport() throws(HostError) {
    guard self != .pv else { return }
    let system: System
    do throws(KVMError) { system = try System() } catch { throw .kvm(error) }
    try checkSupport(by: system)
  }

  func checkSupport(by system: System) throws(HostError) {
    try checkSupport(on: system.kind, passingHypercalls: system.passesXenHypercallsOn)
  }

  func checkSupport(on kind: System.Kind, passingHypercalls: Bool) throws(HostError) {
    guard self == .pvh else { return }
    guard kind == .hardware else {
      throw .unsupported(
        "type = \"pvh\" needs hardware KVM; this machine's is software, which emulates CPL 0 one instruction at a time, "
          + "and not all of them: write type = \"pv\" and give a PV kernel")
    }
    guard passingHypercalls else {
      throw .unsupported(
        "type = \"pvh\" needs a KVM that passes Xen's hypercalls on (CONFIG_KVM_XEN, as in Debian's Linux 6.12), which "
          + "this kernel's does not: boot another, or write type = \"pv\" and give a PV kernel")
    }
  }
}
