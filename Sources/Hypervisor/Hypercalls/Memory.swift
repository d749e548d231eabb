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
  }

  func memoryOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    // The bits above say where an interrupted call goes on; calls are never interrupted here.
    guard let operation = MemoryOperation(rawValue: command) else {
      return try specialMemoryOperation(command, address)
    }
    switch operation {
    case .maximumRAMPage: return Int64(domain.frames.memory.frameCount - 1)
    case .currentReservation, .maximumReservation:
      try requireSelf(DomainID(try argument(address, byteCount: 2).u16(0)))
      return Int64(
        operation == .maximumReservation ? domain.frameCount : domain.currentFrames.load(ordering: .relaxed))
    case .increaseReservation, .populatePhysicalMap:
      return try populate(address, physicalMap: operation == .populatePhysicalMap)
    case .decreaseReservation: return try decrease(address)
    }
  }

  /// `struct xen_memory_reservation`: extent_start, nr_extents (64 bits each), extent_order, mem_flags (32), domid.
  /// - Returns: where the extents' list is, how many they are, and how many frames each has. None if they are larger than
  ///   any may be, of 2 MiB.
  private func reservation(_ address: UInt64) throws(HypercallError)
    -> (list: UInt64, count: UInt64, size: Int)
  {
    let block = try argument(address, byteCount: 32)
    try requireSelf(DomainID(block.u16(24)))
    let (order, largest) = (block.u32(16), UInt32(9))
    return (block.u64(0), order > largest ? 0 : block.u64(8), 1 << Int(min(order, largest)))
  }

  /// Gives the domain frames, up to its size; returns how many.
  private func populate(_ address: UInt64, physicalMap: Bool) throws(HypercallError) -> Int64 {
    let (list, count, size) = try reservation(address)
    var done: Int64 = 0
    do throws(HypercallError) {
      try forEach(count) { index throws(HypercallError) in
        let place = list &+ index &* 8
        let number = physicalMap ? try readWord(place) : nil
        guard domain.currentFrames.load(ordering: .relaxed) <= domain.frameCount - size else {
          throw .noMemory
        }
        let name = try domain.space.populate(size, at: number)
        domain.currentFrames.wrappingAdd(size, ordering: .relaxed)
        // A guest that cannot be told loses the frames' name, not the frames.
        if let name { try write(name, to: place) }
        done += 1
      }
    } catch {
      if done == 0 && error == .badAddress { throw error }
    }
    return done
  }

  /// Takes frames back; returns how many. A frame that somebody else maps stays.
  private func decrease(_ address: UInt64) throws(HypercallError) -> Int64 {
    let (list, count, size) = try reservation(address)
    var done: Int64 = 0
    do throws(HypercallError) {
      try forEach(count) { index throws(HypercallError) in
        let first = try readWord(list &+ index &* 8)
        // Where one of an extent's frames stays, those before it are gone.
        for offset in 0..<UInt64(size) {
          try domain.space.giveBack(first &+ offset)
          domain.currentFrames.wrappingSubtract(1, ordering: .relaxed)
        }
        done += 1
      }
    } catch {
      if done == 0 && error == .badAddress { throw error }
    }
    return done
  }
}
