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
    let kind: System.Kind
    do throws(KVMError) { kind = try System().kind } catch { throw .kvm(error) }
    try checkSupport(on: kind)
  }

  func checkSupport(on kind: System.Kind) throws(HostError) {
    switch (self, kind) {
    case (.pv, _): return
    case (.pvh, .software):
      throw .unsupported(
        "type = \"pvh\" needs hardware KVM; this machine's is software, which emulates CPL 0 one instruction at a time, "
          + "and not all of them: write type = \"pv\" and give a PV kernel")
    case (.pvh, .hardware):
      throw .unsupported("type = \"pvh\" cannot be run yet; write type = \"pv\" and give a PV kernel")
    }
  }
}
