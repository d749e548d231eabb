// SPDX-License-Identifier: Apache-2.0
//
// A guest kernel that maps, unmaps and forks, on a processor without TLB that walks the optimised shadow: what its page
// tables cost under each policy.

import Interfaces
import Machines

/// Something that kernels do to page tables.
public enum ShadowTrace: String, Sendable, CaseIterable {
  /// As "Xen 3.3 Feature: Shadow 3" has it: fault; write a transition value; write the real value; access. The handler
  /// returns by hypercall, as PV kernels do.
  case demandFault = "demand fault"
  /// The same, of a kernel that returns without an exit.
  case silentReturn = "demand fault, no exit at return"
  /// A process ends: its entries are cleared, another's tables are loaded.
  case exit
  /// A process forks: its entries lose the right to write, and all is flushed.
  case fork
  /// A process takes another program: its entries are cleared and written anew, all is flushed, and each is used.
  case exec
}

/// What a trace came to.
public struct ShadowCost: Sendable, Equatable {
  /// Faults of a demand-fault trace, else entries written.
  public var operations = 0
  /// Faults, emulated stores among them. The hypercalls of a trace, the same in all policies, are not counted.
  public var exits = 0
  /// Runs of the stub in ring 0, each an exit too.
  public var batches = 0

  public init() {}
}

/// Runs traces; no instance is used by two threads.
public final class ShadowWorkload {
  private final class CountingStub: ShadowStub {
    var batches = 0
    func store(_ downgrades: UnsafeBufferPointer<Downgrade>) { batches += 1 }
  }

  private static let frameCount = 1024
  private static let pageCount = 64
  private static let rights =
    EntryBits.present | EntryBits.writable | EntryBits.user | EntryBits.accessed | EntryBits.dirty
  /// Frames: 0 and 1 are level-3 tables; 2 and 3 the process's tables of levels 2 and 1; 4 … 9 map all frames for the
  /// kernel, at level-3 slot 300; 16 … its level-1 tables.
  private static let leaves = 16..<18
  private static let kernelSlot: UInt64 = 300
  private static let firstPage: UInt64 = 64

  private let base: UnsafeMutableRawPointer
  private let stub = CountingStub()
  private let machine: OptimisedShadowTables
  private var exits = 0

  public init(_ policy: ShadowPolicy) {
    let frames = Self.frameCount + Self.pageCount
    base = .allocate(byteCount: frames * frameSize, alignment: frameSize)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: frames * frameSize)
    machine = OptimisedShadowTables(
      tables: SharedGuestTables(base: base, frameCount: Self.frameCount),
      pages: ShadowPages(
        base: base + Self.frameCount * frameSize, firstFrame: MachineFrame(UInt64(Self.frameCount)),
        count: Self.pageCount), vcpuCount: 1, policy: policy, stub: stub)
    for frame in 0..<Self.frameCount { _ = machine.acquire(MachineFrame(UInt64(frame)), writes: true) }
    build()
  }

  deinit { base.deallocate() }

  private func build() {
    for root in 0..<2 as Range<UInt64> { put(root, Int(Self.kernelSlot), entry(4)) }
    put(4, 0, entry(5))
    for table in 0..<UInt64(Self.frameCount / 512) {
      put(5, Int(table), entry(6 + table))
      for slot in 0..<512 { put(6 + table, slot, entry(table * 512 + UInt64(slot))) }
    }
    put(0, 0, entry(2))
    put(2, 0, entry(3))
    for (slot, leaf) in Self.leaves.enumerated() { put(3, slot, entry(UInt64(leaf))) }
    // As kernels do with the tables of a process that lives.
    for root in 0..<2 as Range<UInt64> { _ = machine.pin(MachineFrame(root)) }
    _ = machine.load(MachineFrame(0), on: 0)
  }

  /// Runs a trace once, from where the process has all its entries in use (none, for demand faults).
  /// - Parameter count: entries of each of the process's tables, 4 … 512.
  public func run(_ trace: ShadowTrace, count: Int) -> ShadowCost { timed(trace, count: count).cost }

  /// `run`, and the time of the trace itself, the guest's own stores and walks included.
  public func timed(_ trace: ShadowTrace, count: Int) -> (cost: ShadowCost, time: Duration) {
    let isDemand = trace == .demandFault || trace == .silentReturn
    for leaf in Self.leaves {
      for slot in 0..<512 {
        let isMapped = !isDemand && slot < count
        put(UInt64(leaf), slot, isMapped ? entry(page(slot)) : GuestTableEntry(rawValue: 0))
      }
    }
    _ = machine.load(MachineFrame(0), on: 0)
    if isDemand {
      // The table is linked by the first fault, and out of sync after the second.
      for leaf in Self.leaves { for slot in 0..<2 { demand(leaf, slot, trace) } }
    } else {
      for leaf in Self.leaves { for slot in 0..<count { use(leaf, slot) } }
    }
    let before = (exits, stub.batches)
    var cost = ShadowCost()
    let time = ContinuousClock().measure { cost.operations = perform(trace, count) }
    cost.exits = exits - before.0
    cost.batches = stub.batches - before.1
    return (cost, time)
  }

  /// - Returns: how many operations were done.
  private func perform(_ trace: ShadowTrace, _ count: Int) -> Int {
    switch trace {
    case .demandFault, .silentReturn:
      for leaf in Self.leaves { for slot in 2..<count { demand(leaf, slot, trace) } }
      return Self.leaves.count * (count - 2)
    case .exit:
      for leaf in Self.leaves { for slot in 0..<count { store(leaf, slot, GuestTableEntry(rawValue: 0)) } }
      _ = machine.load(MachineFrame(1), on: 0)
      return Self.leaves.count * count
    case .fork:
      let shared = Self.rights & ~EntryBits.writable
      for leaf in Self.leaves {
        for slot in 0..<count { store(leaf, slot, GuestTableEntry(MachineFrame(page(slot)), shared)) }
      }
      machine.flush(0)
      return Self.leaves.count * count
    case .exec:
      for leaf in Self.leaves { for slot in 0..<count { store(leaf, slot, GuestTableEntry(rawValue: 0)) } }
      machine.flush(0)
      for leaf in Self.leaves { for slot in 0..<count { store(leaf, slot, entry(page(slot + 1))) } }
      machine.flush(0)
      for leaf in Self.leaves { for slot in 0..<count { use(leaf, slot) } }
      return 2 * Self.leaves.count * count
    }
  }

  // MARK: The guest

  private func entry(_ frame: UInt64) -> GuestTableEntry { GuestTableEntry(MachineFrame(frame), Self.rights) }
  private func page(_ slot: Int) -> UInt64 { Self.firstPage + UInt64(slot) }
  private func put(_ table: UInt64, _ slot: Int, _ entry: GuestTableEntry) {
    _ = machine.write(entry, to: MachineFrame(table), slot: slot)
  }

  private func address(_ leaf: Int, _ slot: Int) -> VirtualAddress {
    VirtualAddress(UInt64(leaf - Self.leaves.lowerBound) << 21 | UInt64(slot) << 12)
  }

  private func demand(_ leaf: Int, _ slot: Int, _ trace: ShadowTrace) {
    let address = address(leaf, slot)
    exits += 1
    guard case .reflect = machine.fault(at: address, .write, on: 0) else {
      fatalError("the page is not there yet")
    }
    store(leaf, slot, GuestTableEntry(rawValue: Self.rights & ~EntryBits.present))
    store(leaf, slot, entry(page(slot)))
    if trace == .demandFault { machine.returns(0) }
    use(leaf, slot)
  }

  private func use(_ leaf: Int, _ slot: Int) {
    let address = address(leaf, slot)
    while translate(address) == nil {
      exits += 1
      guard machine.fault(at: address, .write, on: 0) == .resume else { fatalError("the page is there") }
    }
  }

  /// The kernel's store to one of its tables.
  private func store(_ table: Int, _ slot: Int, _ entry: GuestTableEntry) {
    let address = VirtualAddress(
      0xffff_0000_0000_0000 | Self.kernelSlot << 39 | UInt64(table) << 12 | UInt64(slot) << 3)
    while true {
      if let frame = translate(address) {
        (base + Int(frame.address.rawValue) + slot * 8).storeBytes(of: entry.rawValue, as: UInt64.self)
        return
      }
      exits += 1
      switch machine.fault(at: address, .write, on: 0) {
      case .resume: continue
      case .emulate(let table, let slot):
        _ = machine.write(entry, to: table, slot: slot)
        return
      default: fatalError("the kernel maps all frames")
      }
    }
  }

  /// Walks the shadow for a write.
  private func translate(_ address: VirtualAddress) -> MachineFrame? {
    guard var table = machine.root(of: 0) else { return nil }
    for level in stride(from: PagingLimits.topLevel, through: 0, by: -1) {
      let place = base + Int(table.address.rawValue) + address.slot(at: level) * 8
      let entry = ShadowTableEntry(rawValue: place.load(as: UInt64.self))
      guard entry.isPresent, entry.isWritable else { return nil }
      table = entry.frame
    }
    return table
  }
}
