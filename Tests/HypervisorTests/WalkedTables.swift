// SPDX-License-Identifier: Apache-2.0

import Interfaces

@testable import Hypervisor

/// A domain's memory with a small tree of page tables, without a processor.
struct WalkedTables {
  let memory: MachineMemory
  let frames: DomainFrames
  let domain = DomainID(1)
  let stranger = DomainID(2)
  /// Tables of level 4, 3, 2, 1, then a data frame.
  let tables: [MachineFrame]
  let data: MachineFrame
  let foreign: MachineFrame
  let address = VirtualAddress(0x7f12_3456_7000)

  init() throws {
    memory = try MachineMemory(guestFrames: 64, monitorFrames: 4096)
    frames = DomainFrames(domain, memory: memory)
    var own = try memory.allocate(5, for: domain)
    data = own.removeLast()
    tables = own
    foreign = try memory.allocate(for: stranger)
    for level in 1...4 {
      set(level, PageTableEntry(level == 1 ? data : tables[5 - level], 7))
    }
  }

  var root: MachineFrame { tables[0] }
  var walker: GuestWalker { GuestWalker(frames: frames) }

  private func slot(_ level: Int) -> UnsafeMutablePointer<UInt64>? {
    memory.bytes(of: tables[4 - level])
      .map { $0.assumingMemoryBound(to: UInt64.self) + address.tableIndex(level) }
  }

  /// The entry of a level that translates `address`.
  func set(_ level: Int, _ entry: PageTableEntry) { slot(level)?.pointee = entry.rawValue }
  func entry(_ level: Int) -> PageTableEntry { PageTableEntry(slot(level)?.pointee ?? 0) }

  func walk(_ access: Access = .read, _ mode: VirtualMode = .kernel) -> WalkResult {
    walker.walk(address, root: root, for: access, in: mode)
  }
}

extension WalkResult {
  /// A word for a test to compare.
  var word: String {
    switch self {
    case .mapped(let found): found.writable ? "writable" : "readable"
    case .notPresent: "not present"
    case .denied: "denied"
    case .changed: "changed"
    case .wild(let entry): "wild: \(entry.problem) at level \(entry.level)"
    }
  }
}
