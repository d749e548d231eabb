// SPDX-License-Identifier: Apache-2.0

import Interfaces

extension ParavirtualProcessor {
  /// The page behind an address, by the guest's own tables.
  func reachThroughTables(_ address: VirtualAddress, for access: Access) throws(HypercallError)
    -> UnsafeMutableRawPointer
  {
    guard address.isCanonical, !address.isHypervisors, let root = mode == .kernel ? kernelRoot : userRoot
    else {
      throw .badAddress
    }
    let walker = GuestWalker(frames: domain.frames)
    for _ in 0..<4 {
      switch walker.walk(address, root: root, for: access, in: mode) {
      case .changed: continue
      case .mapped(let translation):
        if access == .write, space.pager.isProtected(translation.frame) {
          try admitStore(to: translation.frame, at: address)
        }
        guard let bytes = domain.frames.memory.bytes(of: translation.frame) else { throw .badAddress }
        return bytes
      case .notPresent, .denied, .wild: throw .badAddress
      }
    }
    throw .badAddress
  }

  /// A copy to a page table is a store of the guest's own: the table goes out of sync, or is none any more.
  private func admitStore(to frame: MachineFrame, at address: VirtualAddress) throws(HypercallError) {
    let error = PageFaultError(rawValue: PageFaultError.present | PageFaultError.write)
    guard case .resume = space.pager.fault(at: address, error, pagingView), !space.pager.isProtected(frame)
    else { throw .badAddress }
  }
}
