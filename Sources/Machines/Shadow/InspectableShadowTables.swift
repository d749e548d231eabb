// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A shadow entry as Specs/Shadow knows it: `target` is a page, or the guest's table one level below.
public struct ShadowEntryView: Sendable, Hashable {
  public var value: ShadowTableEntry
  public var target: MachineFrame
  public var isQueued: Bool
}

/// What a domain may do with a frame.
public struct ShadowReachView: Sendable, Hashable {
  public var maps: Bool
  public var writes: Bool
  public var isLeaving: Bool
}

/// Shadow page tables that can be looked into, and put back to where they were: for conformance and tests.
public protocol InspectableShadowTables: ShadowTables {
  var policy: ShadowPolicy { get }
  func reach(of frame: MachineFrame) -> ShadowReachView
  func hasShadow(_ table: MachineFrame, level: Int) -> Bool
  /// Where a frame's shadow lies; nil if there is no such shadow.
  func page(of table: MachineFrame, level: Int) -> MachineFrame?
  /// An entry of a frame's shadow; nil if there is no such shadow.
  func inspect(_ table: MachineFrame, level: Int, slot: Int) -> ShadowEntryView?
  /// Entries that lead to a shadow.
  func linkCount(_ table: MachineFrame, level: Int) -> Int
  func isTable(_ frame: MachineFrame) -> Bool
  func isOutOfSync(_ table: MachineFrame) -> Bool
  func isPinned(_ table: MachineFrame) -> Bool
  func loadedTable(of vcpu: Int) -> MachineFrame?
  /// A table's entry when its shadow was last right; nil of a table in sync.
  func snapshot(_ table: MachineFrame, slot: Int) -> GuestTableEntry?
  /// The level-1 entry that one of a table's two fix-ups names.
  func fixup(_ table: MachineFrame, second: Bool) -> (frame: MachineFrame, slot: Int)?
  /// The place of a table out of sync, under `few`: its vCPU's number, and which of its three.
  func seat(of table: MachineFrame) -> (vcpu: Int, position: Int)?
  var usedPages: Int { get }
  var capacityInPages: Int { get }
  /// Downgrades that the stub has yet to store.
  var queuedCount: Int { get }
  /// What is wrong with the shadow's own books; nil if they balance. Looks at everything in some slots of each table; the
  /// others have been empty always.
  func imbalance(of slots: [Int]) -> String?

  /// What Specs/Shadow does not know and answers depend on, in a number: which faults were reflected.
  var reflections: UInt64 { get }
  /// All that is kept, between operations, of some slots of each table.
  func image(of slots: [Int]) -> ShadowImage
  /// Puts everything back as it was in an image of the same machine; the slots that it is not of have been empty always.
  func restore(_ image: ShadowImage)
}

extension InspectableShadowTables {
  /// What is wrong with the shadow's own books; nil if they balance. Looks at everything.
  public func imbalance() -> String? { imbalance(of: Array(0..<PagingLimits.slotCount)) }
}

/// All that shadow page tables keep between operations, of some slots of each table.
public struct ShadowImage: Sendable {
  let slots: [Int]
  let numbers: [Int]
  let frames: [ShadowFrame]
  let pages: [ShadowPage]
  let processors: [ShadowProcessor]
  let seats: [ShadowSeat]
  /// By page and slot: the entry, and its neighbours in the list that it is in.
  let entries: [UInt64]
  let neighbours: [UInt64]
  let queue: [EntryNumber]
  /// By seat and slot.
  let snapshots: [GuestTableEntry]
}

extension ShadowMachine: InspectableShadowTables {
  public var queuedCount: Int { queueCount }

  public func reach(of frame: MachineFrame) -> ShadowReachView {
    guard isKnown(frame) else { return ShadowReachView(maps: false, writes: false, isLeaving: false) }
    let state = state(frame).pointee
    return ShadowReachView(maps: state.maps, writes: state.writes, isLeaving: state.isLeaving)
  }

  public var reflections: UInt64 {
    var result: UInt64 = 0
    for vcpu in 0..<vcpuCount {
      let processor = processors[vcpu]
      result = result &* 0x1_0001 &+ (processor.isReflected ? processor.address.rawValue &>> 12 &+ 1 : 0)
    }
    return result
  }

  /// The numbers of all entries of some slots.
  private func entryNumbers(_ slots: [Int]) -> [Int] {
    (1...pool.count).flatMap { page in slots.map { page &<< 9 | $0 } }
  }

  private func entryWord(_ entry: Int) -> UnsafeMutablePointer<UInt64> {
    (pool.base + (entry &- PagingLimits.slotCount) &* 8).assumingMemoryBound(to: UInt64.self)
  }

  public func image(of slots: [Int]) -> ShadowImage {
    precondition(!isPrepared, "between operations")
    let numbers = entryNumbers(slots)
    return ShadowImage(
      slots: slots, numbers: [capacity, used, pinnedCount, hand, firstFree, outOfSyncCount],
      frames: Array(UnsafeBufferPointer(start: frames, count: tables.frameCount)),
      pages: Array(UnsafeBufferPointer(start: pages, count: pool.count + 1)),
      processors: Array(UnsafeBufferPointer(start: processors, count: vcpuCount)),
      seats: Array(UnsafeBufferPointer(start: seats, count: seatCount)),
      entries: numbers.map { entryWord($0).pointee },
      neighbours: numbers.map { UInt64(next[$0]) << 32 | UInt64(previous[$0]) },
      queue: Array(UnsafeBufferPointer(start: queue, count: queueCount)),
      snapshots: (0..<seatCount).flatMap { seat in
        slots.map { seats[seat].isUsed ? snapshots[seat &<< 9 | $0] : GuestTableEntry(rawValue: 0) }
      })
  }

  public func restore(_ image: ShadowImage) {
    (capacity, used, pinnedCount) = (image.numbers[0], image.numbers[1], image.numbers[2])
    (hand, firstFree, outOfSyncCount) = (image.numbers[3], image.numbers[4], image.numbers[5])
    (queueCount, isPrepared) = (image.queue.count, false)
    for (index, entry) in image.queue.enumerated() { queue[index] = entry }
    for (index, frame) in image.frames.enumerated() { frames[index] = frame }
    for (index, page) in image.pages.enumerated() { pages[index] = page }
    for (index, processor) in image.processors.enumerated() { processors[index] = processor }
    for (index, seat) in image.seats.enumerated() { seats[index] = seat }
    for (index, entry) in entryNumbers(image.slots).enumerated() {
      entryWord(entry).pointee = image.entries[index]
      next[entry] = UInt32(image.neighbours[index] >> 32)
      previous[entry] = UInt32(truncatingIfNeeded: image.neighbours[index])
    }
    for seat in 0..<seatCount {
      for (index, slot) in image.slots.enumerated() {
        snapshots[seat &<< 9 | slot] = image.snapshots[seat * image.slots.count + index]
      }
    }
  }
}
