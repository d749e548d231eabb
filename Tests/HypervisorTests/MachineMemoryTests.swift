// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Testing

@testable import Hypervisor

@Suite("Machine memory")
struct MachineMemoryTests {
  let memory: MachineMemory
  let first = DomainID(1)
  let second = DomainID(2)

  init() throws { memory = try MachineMemory(guestFrames: 64, monitorFrames: 1024) }

  @Test("the monitor's frames have no owner, and nobody can get one")
  func monitorFrames() throws {
    #expect(memory.frameCount == memory.monitorFrameCount + 64)
    for number in [0, 1, memory.monitorFrameCount - 1] {
      let frame = MachineFrame(UInt64(number))
      #expect(memory.owner(of: frame) == nil)
      #expect(!memory.retain(frame, ownedBy: first))
      #expect(!memory.transfer(frame, from: DomainID(0xffff), to: first))
      #expect(!memory.free(frame, ownedBy: DomainID(0xffff)))
    }
    for frame in try memory.allocate(64, for: first) {
      #expect(frame.rawValue >= UInt64(memory.monitorFrameCount))
    }
  }

  @Test("a frame out of range has neither owner nor bytes")
  func outOfRange() {
    for number in [UInt64(memory.frameCount), 1 << 40, .max] {
      #expect(memory.owner(of: MachineFrame(number)) == nil)
      #expect(memory.bytes(of: MachineFrame(number)) == nil)
      #expect(!memory.retain(MachineFrame(number), ownedBy: first))
    }
  }

  @Test("an allocation gives all frames or none")
  func allOrNothing() throws {
    _ = try memory.allocate(60, for: first)
    #expect(throws: HostError.outOfFrames(needed: 5, free: 4)) { try memory.allocate(5, for: second) }
    #expect(memory.freeFrames == 4)
    #expect(try Set(memory.allocate(4, for: second)).count == 4)
  }

  @Test("frames that follow one another are found if there are any, and are none of those that are owned")
  func contiguous() throws {
    let all = try memory.allocate(64, for: first)
    #expect(memory.allocate(contiguous: 2, for: second) == nil)
    let sorted = all.sorted()
    let odd = try #require(sorted.first { $0.rawValue % 4 == 1 })
    for number in odd.rawValue..<odd.rawValue + 5 {
      #expect(memory.free(MachineFrame(number), ownedBy: first))
    }
    // Of these five, two begin at an even number, and no four at a multiple of 4.
    #expect(memory.allocate(contiguous: 4, for: second) == nil)
    #expect(memory.allocate(contiguous: 2, for: second) == MachineFrame(odd.rawValue + 1))
    #expect(memory.allocate(contiguous: 2, for: second) == MachineFrame(odd.rawValue + 3))
    #expect(memory.owner(of: MachineFrame(odd.rawValue + 2)) == second)
    #expect(memory.freeFrames == 1 && memory.allocate(contiguous: 2, for: second) == nil)
    #expect(memory.allocate(contiguous: 1, for: second) == odd)
  }

  @Test("a freed frame takes none of the system's memory until it is used again", arguments: [false, true])
  func givesBack(allAtOnce: Bool) throws {
    func isResident(_ frame: MachineFrame) -> Bool {
      var state: UInt8 = 0xff
      #expect(mincore(memory.bytes(of: frame), frameSize, &state) == 0)
      return state & 1 != 0
    }
    let frames = try memory.allocate(8, for: first)
    let others = try memory.allocate(8, for: second)
    for frame in frames + others { memory.bytes(of: frame)?.storeBytes(of: 0x5a, as: UInt8.self) }
    #expect(frames.allSatisfy(isResident))
    #expect(memory.retain(frames[3], ownedBy: first))
    if allAtOnce {
      #expect(!memory.freeAll(ownedBy: first))
    } else {
      for (index, frame) in frames.enumerated() {
        #expect(memory.free(frame, ownedBy: first) == (index != 3))
      }
    }
    #expect(frames.map(isResident) == (0..<8).map { $0 == 3 })
    #expect(others.allSatisfy(isResident))
    #expect(memory.freeFrames == 64 - 8 - 1)
    for frame in try memory.allocate(64 - 8 - 1, for: second) {
      #expect(memory.bytes(of: frame)?.load(as: UInt8.self) == 0)
    }
  }

  @Test("only the owner's unreferenced frame can be freed, and it is scrubbed before it is free")
  func freeing() throws {
    let frame = try memory.allocate(for: first)
    memory.bytes(of: frame)?.storeBytes(of: 0x5a, as: UInt8.self)
    memory.machineToPhysical[frame] = 7
    #expect(!memory.free(frame, ownedBy: second))
    #expect(memory.retain(frame, ownedBy: first))
    #expect(!memory.free(frame, ownedBy: first))
    #expect(!memory.isUnused(frame))
    memory.release(frame)
    #expect(memory.free(frame, ownedBy: first))
    #expect(memory.owner(of: frame) == nil)
    #expect(!memory.free(frame, ownedBy: first))
    #expect(memory.bytes(of: frame)?.load(as: UInt8.self) == 0)
    #expect(memory.machineToPhysical[frame] == MachineToPhysical.invalidEntry)
    #expect(memory.freeFrames == 64)
  }

  @Test("a transfer needs the owner, no references, and an ordinary receiver")
  func transfer() throws {
    let frame = try memory.allocate(for: first)
    #expect(!memory.transfer(frame, from: second, to: first))
    #expect(!memory.transfer(frame, from: first, to: .current))
    #expect(memory.retain(frame, ownedBy: first))
    #expect(!memory.transfer(frame, from: first, to: second))
    memory.release(frame)
    #expect(memory.transfer(frame, from: first, to: second))
    #expect(memory.owner(of: frame) == second)
    #expect(!memory.retain(frame, ownedBy: first))
  }

  @Test("all frames of a domain come back, except those that somebody uses")
  func freeAll() throws {
    let frames = try memory.allocate(8, for: first)
    _ = try memory.allocate(2, for: second)
    #expect(memory.retain(frames[3], ownedBy: first))
    #expect(!memory.freeAll(ownedBy: first))
    #expect(memory.owner(of: frames[3]) == first)
    memory.release(frames[3])
    #expect(memory.freeAll(ownedBy: first))
    #expect(memory.freeFrames == 62)
  }

  @Test("the monitor's pieces do not overlap, and grow together again")
  func monitorPieces() throws {
    let pieces = try (0..<4).map { _ in try memory.monitor.allocate(256) }
    #expect(Set(pieces.flatMap { $0 }).count == 1024)
    #expect(throws: HostError.self) { try memory.monitor.allocate(1) }
    for piece in [pieces[2], pieces[0], pieces[3], pieces[1]] { memory.monitor.release(piece) }
    #expect(try memory.monitor.allocate(1024).count == 1024)
  }

  @Test(
    "the machine-to-physical table covers itself and all frames", arguments: [1, 261_000, 262_144, 1 << 28])
  func tableSize(frames: Int) {
    let table = MachineToPhysical.frames(covering: frames)
    #expect(table % 512 == 0)
    #expect(table * 512 >= frames + table)
  }
}
