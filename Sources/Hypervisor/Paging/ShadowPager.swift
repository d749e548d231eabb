// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What the processor reports with a page fault. Source: Intel SDM volume 3, section 4.7.
struct PageFaultError: RawRepresentable, Hashable {
  var rawValue: UInt64
  static let present: UInt64 = 1
  static let write: UInt64 = 2
  static let user: UInt64 = 4
  static let fetch: UInt64 = 16

  var access: Access {
    if rawValue & Self.write != 0 { return .write }
    return rawValue & Self.fetch != 0 ? .execute : .read
  }
}

/// What becomes of a page fault.
enum FaultOutcome {
  /// The shadow was at fault, and is mended: run on.
  case resume
  /// The guest's own tables say so: it gets the fault, with this error code.
  case reflect(UInt64)
  /// The guest's tables are such that the domain is ended.
  case wild(WildEntry)
}

/// The page tables that one vCPU really runs on, and how they follow the guest's.
///
/// A translation may be used as long as the guest has not flushed it since its own entry changed, exactly as with
/// a TLB; after a flush or a table switch every right in a shadow is a right of the guest's entry. Calls come with
/// the domain's lock held, while the vCPU is not in the guest.
protocol ShadowPager: AnyObject {
  /// The level-4 table for CR3 in a mode.
  func root(for mode: VirtualMode) -> MachineFrame

  /// A page fault that the processor reported.
  func fault(at address: VirtualAddress, error: PageFaultError, in mode: VirtualMode) throws(HostError)
    -> FaultOutcome

  /// The guest loads a table (`MMUEXT_NEW_BASEPTR`, `MMUEXT_NEW_USER_BASEPTR`); nil means no user table.
  func load(kernel root: MachineFrame) throws(HostError)
  func load(user root: MachineFrame?) throws(HostError)

  /// The guest flushes all translations.
  func flush() throws(HostError)

  /// The guest flushes one address.
  func invalidate(_ address: VirtualAddress) throws(HostError)

  /// An entry of one of the guest's tables was changed on its behalf.
  func guestEntryWritten(_ table: MachineFrame, index: Int)
}
