// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// The abstract MMU of Specs/Shadow, its ghost `offered`, kept for real entries: what each entry of the guest's tables has
/// been since each processor last flushed it. A processor may use what one of those values gives, and nothing else.
struct AbstractMMU {
  private let slots: Int
  private let frames: Int
  /// By frame and slot.
  private var now: [GuestTableEntry]
  /// By processor, frame and slot.
  private var offered: [[GuestTableEntry]]

  init(_ sizes: ShadowSizes) {
    (frames, slots) = (sizes.frames, sizes.slots.count)
    let empty = GuestTableEntry(rawValue: 0)
    now = Array(repeating: empty, count: frames * slots)
    offered = Array(repeating: [], count: sizes.vcpus * frames * slots)
  }

  /// An entry is stored, whoever does it.
  mutating func write(_ frame: UInt64, _ slot: UInt64, _ entry: GuestTableEntry) {
    let index = Int(frame) * slots + Int(slot)
    now[index] = entry
    for place in stride(from: index, to: offered.count, by: frames * slots)
    where entry.isPresent && !offered[place].contains(entry) {
      offered[place].append(entry)
    }
  }

  /// A processor flushes everything.
  mutating func flush(_ vcpu: Int) { for index in now.indices { forget(vcpu, index) } }

  /// A processor flushes an entry.
  mutating func flush(_ vcpu: Int, _ frame: UInt64, _ slot: UInt64) {
    forget(vcpu, Int(frame) * slots + Int(slot))
  }

  private mutating func forget(_ vcpu: Int, _ index: Int) {
    let place = vcpu * frames * slots + index
    if offered[place] != [now[index]] { offered[place] = now[index].isPresent ? [now[index]] : [] }
  }

  /// Whether a processor may use a shadow's entry.
  /// - Parameter target: the page, or the guest's table below.
  func offers(
    _ value: ShadowTableEntry, _ target: MachineFrame, to vcpu: Int, frame: UInt64, level: Int, slot: UInt64
  ) -> Bool {
    offered[(vcpu * frames + Int(frame)) * slots + Int(slot)].contains { entry in
      entry.has(EntryBits.present | EntryBits.accessed) && entry.frame == target
        && (!value.isWritable || entry.has(EntryBits.writable | (level == 0 ? EntryBits.dirty : 0)))
        && (!value.has(EntryBits.user) || entry.has(EntryBits.user))
        && (value.has(EntryBits.noExecute) || !entry.has(EntryBits.noExecute))
    }
  }
}
