// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// Which machine frame lies behind each of a guest's frames (P2M), for a guest that numbers its memory itself.
///
/// Its domain writes it with its lock held; anybody reads it. A reader may learn of a frame that the domain is just giving
/// away: who owns it is the frame's own owner's word, which is asked afterwards.
final class PhysicalToMachine: @unchecked Sendable {
  /// Where the guest may have frames.
  let regions: GuestRegions
  private let entries: UnsafeMutablePointer<Atomic<UInt32>>
  private static let none = UInt32.max

  init(_ regions: GuestRegions) {
    self.regions = regions
    entries = .allocate(capacity: regions.count)
    for index in 0..<regions.count { (entries + index).initialize(to: Atomic(Self.none)) }
  }

  deinit {
    entries.deinitialize(count: regions.count)
    entries.deallocate()
  }

  /// The frame behind a guest's; nil if there is none. Setting one where there can be none does nothing.
  subscript(frame: GuestFrame) -> MachineFrame? {
    get {
      guard let index = regions.index(of: frame) else { return nil }
      let number = entries[index].load(ordering: .acquiring)
      return number == Self.none ? nil : MachineFrame(UInt64(number))
    }
    set {
      guard let index = regions.index(of: frame) else { return }
      let number = newValue.map { UInt32(truncatingIfNeeded: $0.rawValue) } ?? Self.none
      entries[index].store(number, ordering: .releasing)
    }
  }
}
