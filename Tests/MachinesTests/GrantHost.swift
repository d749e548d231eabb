// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

/// Frames as a hypervisor would keep them, for tests: a pool of 64, each owned or free, with a reference count.
final class TestFrames: FrameOwnership, FrameMemory {
  static let count = 64
  var owners = [DomainID?](repeating: nil, count: count)
  var references = [Int](repeating: 0, count: count)
  /// The most references that a frame may have.
  var maximumReferences = Int.max
  let pool = UnsafeMutableRawPointer.allocate(byteCount: count * frameSize, alignment: frameSize)

  init() { pool.initializeMemory(as: UInt8.self, repeating: 0, count: Self.count * frameSize) }
  deinit { pool.deallocate() }

  private func index(_ frame: MachineFrame) -> Int? {
    frame.rawValue < UInt64(Self.count) ? Int(frame.rawValue) : nil
  }

  func owner(of frame: MachineFrame) -> DomainID? { index(frame).flatMap { owners[$0] } }

  func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool {
    guard let index = index(frame), owners[index] == domain, references[index] < maximumReferences else {
      return false
    }
    references[index] += 1
    return true
  }

  func isUnused(_ frame: MachineFrame) -> Bool { index(frame).map { references[$0] == 0 } ?? false }

  func release(_ frame: MachineFrame) {
    guard let index = index(frame), references[index] > 0 else {
      Issue.record("frame \(frame) is released once too often")
      return
    }
    references[index] -= 1
  }

  func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool {
    guard let index = index(frame), owners[index] == from, references[index] == 0 else { return false }
    owners[index] = to
    return true
  }

  var frameCount: Int { Self.count }

  func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? {
    index(frame).map { pool + $0 * frameSize }
  }
}

/// A host with three domains. Domain d owns the frames 10·d … 10·d + 9; each table has one frame.
final class GrantHost<Entries: GrantEntryAccess>: @unchecked Sendable {
  let frames = TestFrames()
  let tables: GrantMachine<Entries>
  private var memories: [UnsafeMutableRawPointer] = []

  static var domains: [DomainID] { [1, 2, 3].map { DomainID($0) } }

  init(entries: Entries, maximumHandles: Int = 8) {
    tables = GrantMachine(frames: frames, memory: frames, entries: entries)
    for (index, domain) in Self.domains.enumerated() {
      let first = 10 * (index + 1)
      for frame in first..<first + 10 { frames.owners[frame] = domain }
      let memory = Self.emptyTableFrame()
      memories.append(memory)
      #expect(tables.addDomain(domain, maximumFrames: 2, maximumHandles: maximumHandles) == .okay)
      #expect(tables.grow(domain, entries: memory) == .okay)
    }
  }

  deinit { for memory in memories { memory.deallocate() } }

  static func emptyTableFrame() -> UnsafeMutableRawPointer {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: frameSize, alignment: frameSize)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize)
    return memory
  }

  /// A domain's own side of its table.
  func guest(_ domain: DomainID) -> GrantTableGuest {
    GrantTableGuest(entries: memory(of: domain), frames: 1, domain: domain)
  }

  func memory(of domain: DomainID) -> UnsafeMutableRawPointer { memories[Int(domain.rawValue) - 1] }

  /// What a domain's memory holds at an entry.
  subscript(domain: DomainID, reference: UInt32) -> GrantEntry {
    get {
      let entry = memory(of: domain) + Int(reference) * GrantEntry.size
      let word = GrantWord(rawValue: entry.load(as: UInt32.self))
      return GrantEntry(
        flags: word.flags, domain: word.domain, frame: entry.load(fromByteOffset: 4, as: UInt32.self))
    }
    set {
      let entry = memory(of: domain) + Int(reference) * GrantEntry.size
      entry.storeBytes(of: GrantWord(newValue.flags, newValue.domain).rawValue, as: UInt32.self)
      entry.storeBytes(of: newValue.frame, toByteOffset: 4, as: UInt32.self)
    }
  }

  /// Maps a grant of `granter` by `mapper`.
  func map(
    _ reference: UInt32, of granter: DomainID = one, by mapper: DomainID = two, readOnly: Bool = false,
    host: Bool = true, device: Bool = false
  ) -> GrantMapping {
    tables.map(
      GrantMapRequest(
        granter: granter, reference: GrantReference(reference), readOnly: readOnly, host: host, device: device
      ),
      by: mapper)
  }

  /// References held on all frames together.
  var references: Int { frames.references.reduce(0, +) }
}

extension GrantHost where Entries == SharedGrantEntries {
  convenience init(maximumHandles: Int = 8) {
    self.init(entries: SharedGrantEntries(), maximumHandles: maximumHandles)
  }
}

let one = DomainID(1)
let two = DomainID(2)
let three = DomainID(3)
