// SPDX-License-Identifier: Apache-2.0

import Interfaces

extension ShadowMachine {
  public func hasShadow(_ table: MachineFrame, level: Int) -> Bool {
    isKnown(table) && state(table).pointee.shadow(at: level) != 0
  }

  public func page(of table: MachineFrame, level: Int) -> MachineFrame? {
    hasShadow(table, level: level) ? machineFrame(of: state(table).pointee.shadow(at: level)) : nil
  }

  /// An entry of a frame's shadow; nil if there is no such shadow.
  public func inspect(_ table: MachineFrame, level: Int, slot: Int) -> ShadowEntryView? {
    guard hasShadow(table, level: level) else { return nil }
    let entry = self[number(state(table).pointee.shadow(at: level), slot)]
    let value = entry.settled
    let leadsToPage = level == 0 || !value.isPresent || isReserved(level, slot)
    let target = leadsToPage ? value.frame : pages[pageNumber(value.frame)].frame
    return ShadowEntryView(value: value, target: target, isQueued: entry.isQueued)
  }

  /// Entries that lead to a shadow.
  public func linkCount(_ table: MachineFrame, level: Int) -> Int {
    hasShadow(table, level: level) ? Int(pages[state(table).pointee.shadow(at: level)].links) : 0
  }

  public func isProtected(_ frame: MachineFrame) -> Bool {
    isKnown(frame) && (state(frame).pointee.sync == .inSync || state(frame).pointee.sync == .closing)
  }
  public func isTable(_ frame: MachineFrame) -> Bool { isKnown(frame) && state(frame).pointee.sync != .plain }
  public func isOutOfSync(_ table: MachineFrame) -> Bool {
    isKnown(table) && state(table).pointee.sync == .outOfSync
  }
  public func isPinned(_ table: MachineFrame) -> Bool { isKnown(table) && state(table).pointee.isPinned }
  public func loadedTable(of vcpu: Int) -> MachineFrame? {
    processors[vcpu].isLoaded ? processors[vcpu].root : nil
  }

  /// A table's entry when its shadow was last right; nil of a table in sync.
  public func snapshot(_ table: MachineFrame, slot: Int) -> GuestTableEntry? {
    guard isOutOfSync(table) else { return nil }
    return snapshots[(Int(state(table).pointee.seat) - 1) * PagingLimits.slotCount + slot]
  }

  /// The level-1 entry that one of a table's two fix-ups names.
  public func fixup(_ table: MachineFrame, second: Bool) -> (frame: MachineFrame, slot: Int)? {
    guard isOutOfSync(table) else { return nil }
    let seat = seats[Int(state(table).pointee.seat) - 1]
    let fixup = second ? seat.fixups.1 : seat.fixups.0
    return fixup.isUsed ? (fixup.frame, Int(fixup.slot)) : nil
  }

  /// The place of a table out of sync, under `few`: its vCPU's number, and which of its three.
  public func seat(of table: MachineFrame) -> (vcpu: Int, position: Int)? {
    guard policy == .few, isOutOfSync(table) else { return nil }
    let index = Int(state(table).pointee.seat) - 1
    return (index / PagingLimits.seatCount, index % PagingLimits.seatCount)
  }

  public var usedPages: Int { used }
  public var capacityInPages: Int { capacity }

  public func imbalance(of slots: [Int]) -> String? {
    var (count, queued) = (0, 0)
    var links = [Int](repeating: 0, count: pool.count + 1)
    // By frame: of readers, then of writers.
    var mappings = [Int](repeating: 0, count: 2 * tables.frameCount)
    for page in 1...pool.count where pages[page].isUsed {
      count += 1
      let (frame, level) = (pages[page].frame, Int(pages[page].level))
      if state(frame).pointee.shadow(at: level) != page { return "page \(page) is not its frame's" }
      if state(frame).pointee.sync == .plain { return "frame \(frame) has a shadow and is no table" }
      for slot in slots {
        let entry = self[number(page, slot)]
        queued += entry.isQueued ? 1 : 0
        guard entry.isPresent, !isReserved(level, slot) else { continue }
        if level != 0 {
          links[pageNumber(entry.frame)] += 1
        } else {
          mappings[2 * Int(entry.frame.rawValue) + (entry.isWritable ? 1 : 0)] += 1
        }
      }
    }
    if count != used { return "\(count) pages are used, \(used) counted" }
    if queued != queueCount { return "\(queued) entries are queued, \(queueCount) counted" }
    return imbalance(ofLinks: links) ?? imbalance(ofMappings: mappings)
  }

  private func imbalance(ofLinks links: [Int]) -> String? {
    for page in 1...pool.count {
      if links[page] != Int(pages[page].links) { return "page \(page) has \(links[page]) links" }
      if length(pages[page].parents) != links[page] { return "page \(page): parents" }
    }
    return nil
  }

  private func imbalance(ofMappings mappings: [Int]) -> String? {
    for frame in 0..<tables.frameCount {
      let (readers, writers) = (mappings[2 * frame], mappings[2 * frame + 1])
      if length(frames[frame].readers) != readers { return "frame \(frame): readers" }
      if length(frames[frame].writers) != writers { return "frame \(frame): writers" }
      if writers != 0, frames[frame].sync == .inSync { return "R2: frame \(frame) can be written" }
      if frames[frame].sync == .closing { return "frame \(frame) was left half way" }
    }
    return nil
  }

  private func length(_ first: EntryNumber) -> Int {
    var (entry, count) = (first, 0)
    // One that leads in a circle is longer than all entries.
    while entry != 0, count <= pool.count * PagingLimits.slotCount {
      entry = next[Int(entry)]
      count += 1
    }
    return count
  }
}
