// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// Something that an exploration does, in every state.
struct ShadowOperation {
  let name: String
  let run: (ShadowWorld) throws(Divergence) -> Void

  init(_ name: String, _ run: @escaping (ShadowWorld) throws(Divergence) -> Void) {
    (self.name, self.run) = (name, run)
  }
}

/// Where shadow page tables are compared exhaustively: one processor, two slots a table, three frames. Frame 0 is the table
/// of all upper levels: its first entry leads to itself, its last one to frame 1, a level-1 table, or nowhere. Frame 2 is
/// a page of data.
public struct ShadowExplorationScope: Sendable {
  let name: String
  let policy: ShadowPolicy
  /// Sequences of at most so many operations are tried.
  private(set) var depth: Int
  /// What frame 1's first and last entry are.
  fileprivate let first, last: [GuestTableEntry]
  /// The pages used: slots of levels 3 … 0.
  fileprivate let paths: [[Int]]
  /// Whether the guest unlinks frame 1.
  fileprivate let unlinks: Bool
  /// Whether frames come and go, tables are pinned and shadow memory is short.
  fileprivate let isRare: Bool

  static let sizes = ShadowSizes(frames: 3, slots: [0, 511], vcpus: 1, pages: 8)

  private static let allRights =
    EntryBits.present | EntryBits.writable | EntryBits.user | EntryBits.accessed | EntryBits.dirty
  private static let absent = GuestTableEntry(rawValue: 0)

  private static func entry(_ target: UInt64, without bits: UInt64 = 0, with more: UInt64 = 0)
    -> GuestTableEntry
  {
    GuestTableEntry(MachineFrame(target), allRights & ~bits | more)
  }

  /// Frame 1's two pages; frame 0's last as a level-1 table, which is frame 1; frame 1's first as a table of level 2.
  private static let pages = [[0, 0, 511, 0], [0, 0, 511, 511], [0, 0, 0, 511], [0, 511, 0, 0]]

  public static let all: [ShadowExplorationScope] =
    ShadowPolicy.allCases.map { policy in
      ShadowExplorationScope(
        name: "\(policy): a table that maps itself and a page", policy: policy, depth: 5,
        first: [entry(1), absent], last: [entry(2), entry(1), absent], paths: Array(pages.prefix(2)),
        unlinks: true, isRare: false)
    } + [
      ShadowExplorationScope(
        name: "few: a table of several levels", policy: .few, depth: 5, first: [entry(1), entry(0), absent],
        last: [absent], paths: [pages[0], pages[2], pages[3]], unlinks: false, isRare: false),
      ShadowExplorationScope(
        name: "few: rights, accessed and dirty bits", policy: .few, depth: 5, first: [entry(1)],
        last: [
          entry(2), entry(2, without: EntryBits.writable | EntryBits.dirty),
          entry(1, without: EntryBits.user),
          entry(2, without: EntryBits.accessed | EntryBits.dirty, with: EntryBits.noExecute), absent,
        ], paths: Array(pages.prefix(2)), unlinks: false, isRare: false),
      ShadowExplorationScope(
        name: "few: frames that come and go, pins, too little shadow memory", policy: .few, depth: 5,
        first: [entry(1), entry(2)], last: [absent], paths: [pages[0]], unlinks: true, isRare: true),
    ]

  func limited(_ depth: Int) -> ShadowExplorationScope {
    var result = self
    result.depth = depth
    return result
  }

  /// The beginning: frame 0 leads to itself and to frame 1, which is empty, and is loaded.
  func begin(_ world: ShadowWorld) throws(Divergence) {
    for frame in 0..<3 as Range<UInt64> { try world.acquire(MachineFrame(frame), writes: true) }
    for (slot, target) in [(0, 0), (511, 1)] as [(Int, UInt64)] {
      _ = try world.write(Self.entry(target), to: MachineFrame(0), slot: slot)
    }
    try world.load(MachineFrame(0), on: 0)
  }

  /// Whether a state is within the scope: frame 0 leads where it may, and frame 2 is empty.
  func contains(_ world: ShadowWorld) -> Bool {
    let frames = (0..<3).map { frame in
      Self.sizes.slots.map { world.entry(MachineFrame(UInt64(frame)), $0) }
    }
    return frames[0][0] == Self.entry(0) && (!frames[0][1].isPresent || frames[0][1] == Self.entry(1))
      && !frames[2][0].isPresent && !frames[2][1].isPresent
  }

  // MARK: Operations

  /// Of levels 3 … 0: which slot.
  private static func address(_ path: [Int], word: Int = 0) -> VirtualAddress {
    let address = path.reduce(0 as UInt64) { $0 << 9 | UInt64($1) } << 12 | UInt64(word * 8)
    return VirtualAddress(address >> 47 & 1 != 0 ? address | 0xffff_0000_0000_0000 : address)
  }

  var operations: [ShadowOperation] {
    paths.flatMap(uses) + hypercalls + (isRare ? rareOperations : [])
  }

  /// What a processor does at a page.
  private func uses(_ path: [Int]) -> [ShadowOperation] {
    var found: [ShadowOperation] = []
    func add(_ name: String, _ run: @escaping (ShadowWorld) throws(Divergence) -> Void) {
      found.append(ShadowOperation("\(name) at \(path)", run))
    }
    let page = Self.address(path)
    for (name, error) in [("load", []), ("user's fetch", [.user, .fetch])] as [(String, PageFault)] {
      add(name) { (world) throws(Divergence) in
        _ = try world.access(page, error, store: nil, vcpu: 0, expectsProgress: true)
      }
    }
    add("stale fault") { (world) throws(Divergence) in
      try world.fault(at: page, .write, on: 0, expectsProgress: true)
    }
    add("invalidate") { (world) throws(Divergence) in try world.invalidate(page, on: 0) }
    for (slot, value) in values {
      let address = Self.address(path, word: slot)
      add("store of \(String(value.rawValue, radix: 16)) to word \(slot)") { (world) throws(Divergence) in
        _ = try world.access(address, .write, store: value, vcpu: 0, expectsProgress: true)
      }
    }
    return found
  }

  /// What frame 1's entries may be.
  private var values: [(slot: Int, value: GuestTableEntry)] { first.map { (0, $0) } + last.map { (511, $0) } }

  private var hypercalls: [ShadowOperation] {
    var found: [ShadowOperation] = []
    func add(_ name: String, _ run: @escaping (ShadowWorld) throws(Divergence) -> Void) {
      found.append(ShadowOperation(name, run))
    }
    let uppers = unlinks ? [(table: 0, slot: 511, Self.entry(1)), (0, 511, Self.absent)] : []
    for (table, slot, value) in uppers + values.map({ (table: 1, $0.slot, $0.value) }) {
      add("write of \(String(value.rawValue, radix: 16)) to table \(table), slot \(slot)") {
        (world) throws(Divergence) in
        _ = try world.write(value, to: MachineFrame(UInt64(table)), slot: slot)
      }
    }
    add("flush") { (world) throws(Divergence) in try world.flush(0) }
    add("load of table 0") { (world) throws(Divergence) in try world.load(MachineFrame(0), on: 0) }
    add("return") { (world) in world.tables.returns(0) }
    return found
  }

  private var rareOperations: [ShadowOperation] {
    var found: [ShadowOperation] = []
    func add(_ name: String, _ run: @escaping (ShadowWorld) throws(Divergence) -> Void) {
      found.append(ShadowOperation(name, run))
    }
    for capacity in [5, 6, 8] {
      add("resize to \(capacity)") { (world) throws(Divergence) in try world.resize(to: capacity) }
    }
    for frame in 0..<3 as Range<UInt64> {
      let frame = MachineFrame(frame)
      add("surrender of frame \(frame)") { (world) throws(Divergence) in try world.surrender(frame) }
      for writes in [true, false] {
        add("acquire of frame \(frame), \(writes ? "to write" : "to read")") { (world) throws(Divergence) in
          try world.acquire(frame, writes: writes)
        }
      }
    }
    for frame in 0..<2 as Range<UInt64> {
      let frame = MachineFrame(frame)
      add("pin of table \(frame)") { (world) throws(Divergence) in try world.pin(frame) }
      add("unpin of table \(frame)") { (world) in world.tables.unpin(frame) }
    }
    return found
  }
}
