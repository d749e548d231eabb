// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// `memory_op`. Source: xen/include/public/memory.h.
extension Processor {
  private enum MemoryOperation: UInt64 {
    case increaseReservation = 0
    case decreaseReservation = 1
    case maximumRAMPage = 2
    case currentReservation = 3
    case maximumReservation = 4
    case populatePhysicalMap = 6
    case machphysMapping = 12
  }

  func memoryOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    // The bits above say where an interrupted call goes on; calls are never interrupted here.
    guard let operation = MemoryOperation(rawValue: command) else { throw .notImplemented }
    switch operation {
    case .maximumRAMPage: return Int64(domain.frames.memory.frameCount - 1)
    case .currentReservation, .maximumReservation:
      try requireSelf(DomainID(try argument(address, byteCount: 2).u16(0)))
      return Int64(
        operation == .maximumReservation ? domain.frameCount : domain.currentFrames.load(ordering: .relaxed))
    case .machphysMapping: return try machphysMapping(address)
    case .increaseReservation, .populatePhysicalMap:
      return try populate(address, physicalMap: operation == .populatePhysicalMap)
    case .decreaseReservation: return try decrease(address)
    }
  }

  /// `struct xen_machphys_mapping`: v_start, v_end, max_mfn.
  private func machphysMapping(_ address: UInt64) throws(HypercallError) -> Int64 {
    var block = ArgumentBlock()
    let memory = domain.frames.memory
    block.set(0, u64: MonitorWindow.machineToPhysical)
    block.set(8, u64: MonitorWindow.machineToPhysical + UInt64(memory.machineToPhysical.byteCount))
    block.set(16, u64: UInt64(memory.frameCount - 1))
    try reply(block, byteCount: 24, to: address)
    return 0
  }

  /// `struct xen_memory_reservation`: extent_start, nr_extents (64 bits each), extent_order, mem_flags (32), domid.
  private func reservation(_ address: UInt64) throws(HypercallError) -> (list: UInt64, count: UInt64) {
    let block = try argument(address, byteCount: 32)
    try requireSelf(DomainID(block.u16(24)))
    // Frames are handed out one by one; a guest that wants larger pieces is told that there are none.
    guard block.u32(16) == 0 else { return (block.u64(0), 0) }
    return (block.u64(0), block.u64(8))
  }

  /// Gives the domain frames, up to its size; returns how many.
  private func populate(_ address: UInt64, physicalMap: Bool) throws(HypercallError) -> Int64 {
    let (list, count) = try reservation(address)
    var done: Int64 = 0
    do throws(HypercallError) {
      try forEach(count) { index throws(HypercallError) in
        let place = list &+ index &* 8
        let number = physicalMap ? try readWord(place) : MachineToPhysical.invalidEntry
        guard domain.currentFrames.load(ordering: .relaxed) < domain.frameCount,
          let frame = try? domain.frames.memory.allocate(for: domain.id)
        else { throw .noMemory }
        domain.currentFrames.wrappingAdd(1, ordering: .relaxed)
        domain.pager.arrive(frame)
        domain.frames.memory.machineToPhysical[frame] = number
        // A guest that cannot be told loses the frame's name, not the frame.
        try write(frame.rawValue, to: place)
        done += 1
      }
    } catch {
      if done == 0 && error == .badAddress { throw error }
    }
    return done
  }

  /// Takes frames back; returns how many. A frame that somebody else maps stays.
  private func decrease(_ address: UInt64) throws(HypercallError) -> Int64 {
    let (list, count) = try reservation(address)
    var done: Int64 = 0
    do throws(HypercallError) {
      try forEach(count) { index throws(HypercallError) in
        let frame = MachineFrame(try readWord(list &+ index &* 8))
        guard domain.frames.owns(frame), domain.frames.memory.isUnused(frame), domain.pager.leave(frame)
        else { throw .invalid }
        guard domain.frames.memory.free(frame, ownedBy: domain.id) else {
          domain.pager.arrive(frame)
          throw .invalid
        }
        domain.frames.pinned.remove(frame)
        domain.currentFrames.wrappingSubtract(1, ordering: .relaxed)
        done += 1
      }
    } catch {
      if done == 0 && error == .badAddress { throw error }
    }
    return done
  }
}
