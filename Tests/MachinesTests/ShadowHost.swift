// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// The real accesses to the guest's tables, which notes what each entry has been.
final class NotedTables: GuestTableAccess {
  struct Place: Hashable {
    var table: MachineFrame
    var slot: Int
  }
  private let shared: SharedGuestTables
  let frameCount: Int
  /// What entries have been, and since when.
  private(set) var history: [Place: [(since: Int, entry: GuestTableEntry)]] = [:]
  private(set) var now = 0

  init(base: UnsafeMutableRawPointer, frameCount: Int) {
    shared = SharedGuestTables(base: base, frameCount: frameCount)
    self.frameCount = frameCount
  }

  func load(_ table: MachineFrame, _ slot: Int) -> GuestTableEntry { shared.load(table, slot) }
  func replace(_ table: MachineFrame, _ slot: Int, expected: GuestTableEntry, with entry: GuestTableEntry)
    -> Bool
  {
    guard shared.replace(table, slot, expected: expected, with: entry) else { return false }
    note(table, slot, entry)
    return true
  }
  func store(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry) {
    shared.store(table, slot, entry)
    note(table, slot, entry)
  }
  func made(_ step: ShadowStep) {}

  private func note(_ table: MachineFrame, _ slot: Int, _ entry: GuestTableEntry) {
    now += 1
    history[Place(table: table, slot: slot), default: []].append((now, entry))
  }

  /// What an entry has been since a time.
  func entries(_ table: MachineFrame, _ slot: Int, since time: Int) -> [GuestTableEntry] {
    let all = history[Place(table: table, slot: slot)] ?? []
    let last = all.lastIndex { $0.since <= time } ?? 0
    return all.dropFirst(last).map(\.entry)
  }
}

/// A guest with its memory, and processors that walk the shadow: each keeps entries until the stub takes them.
final class ShadowHost: ShadowStub {
  /// A shadow entry that a processor has taken over.
  private struct Cached {
    var value: ShadowTableEntry
    var target: MachineFrame
  }
  /// What a store of a processor came to.
  enum Access: Equatable {
    case done(MachineFrame)
    case fault(ShadowOutcome)
  }

  static let frameCount = 64
  let base: UnsafeMutableRawPointer
  let tables: NotedTables
  let machine: ShadowMachine<NotedTables>
  private var cached: [[MachineAddress: Cached]]
  private var flushed: [Int]
  private var invalidated: [[NotedTables.Place: Int]]
  /// A planted bug: processors go on using what the stub has taken from them.
  var keepsWhatIsStored = false
  private(set) var batches = 0
  private(set) var exits = 0
  /// What went wrong with processors or the stub.
  private(set) var problems: [String] = []

  init(_ policy: ShadowPolicy, vcpuCount: Int = 1, pageCount: Int = 16) {
    let frames = Self.frameCount + pageCount
    base = .allocate(byteCount: frames * frameSize, alignment: frameSize)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: frames * frameSize)
    tables = NotedTables(base: base, frameCount: Self.frameCount)
    cached = Array(repeating: [:], count: vcpuCount)
    flushed = Array(repeating: 0, count: vcpuCount)
    invalidated = Array(repeating: [:], count: vcpuCount)
    let stub = Stub()
    machine = ShadowMachine(
      tables: tables,
      pages: ShadowPages(
        base: base + Self.frameCount * frameSize, firstFrame: MachineFrame(UInt64(Self.frameCount)),
        count: pageCount),
      vcpuCount: vcpuCount, policy: policy, stub: stub)
    stub.host = self
    for frame in 0..<UInt64(Self.frameCount) { _ = machine.acquire(MachineFrame(frame), writes: true) }
  }
  deinit { base.deallocate() }

  private final class Stub: ShadowStub {
    weak var host: ShadowHost?
    func store(_ downgrades: UnsafeBufferPointer<Downgrade>) { host?.store(downgrades) }
  }

  func store(_ downgrades: UnsafeBufferPointer<Downgrade>) {
    batches += 1
    for downgrade in downgrades {
      (base + Int(downgrade.address.rawValue)).storeBytes(of: downgrade.value.rawValue, as: UInt64.self)
      if keepsWhatIsStored { continue }
      for vcpu in cached.indices { cached[vcpu][downgrade.address] = nil }
    }
  }

  // MARK: Tables

  static let all =
    EntryBits.present | EntryBits.writable | EntryBits.user | EntryBits.accessed | EntryBits.dirty

  /// Writes an entry by hypercall.
  @discardableResult
  func write(_ table: UInt64, _ slot: Int, _ target: UInt64, _ bits: UInt64 = all) -> ShadowStatus {
    machine.write(GuestTableEntry(MachineFrame(target), bits), to: MachineFrame(table), slot: slot)
  }

  /// Frames 0 … 3 are tables from the top level down; slot n of frame 3 maps frame n, for 1 … 31. All is loaded on
  /// every vCPU.
  func makeTables() {
    for table in 0..<3 as Range<UInt64> { write(table, 0, table + 1) }
    for slot in 1..<32 { write(3, slot, UInt64(slot)) }
    for vcpu in cached.indices { load(0, vcpu) }
  }
  /// The address that slot `slot` of the lowest table maps.
  static func page(_ slot: Int) -> VirtualAddress { VirtualAddress(UInt64(slot) << 12) }

  /// A word of a frame's level-3 shadow.
  func word(of table: UInt64, _ slot: Int) -> UInt64? {
    machine.inspect(MachineFrame(table), level: 3, slot: slot)?.value.rawValue
  }

  // MARK: Flushes

  @discardableResult func load(_ table: UInt64, _ vcpu: Int = 0) -> ShadowStatus {
    let status = machine.load(MachineFrame(table), on: vcpu)
    if status == .okay { flushed[vcpu] = tables.now }
    return status
  }
  func flush(_ vcpu: Int = 0) {
    machine.flush(vcpu)
    flushed[vcpu] = tables.now
  }
  func invalidate(_ address: VirtualAddress, _ vcpu: Int = 0) {
    machine.invalidate(address, on: vcpu)
    guard var table = machine.loadedTable(of: vcpu) else { return }
    for level in stride(from: 3, through: 0, by: -1) {
      let slot = address.slot(at: level)
      invalidated[vcpu][.init(table: table, slot: slot)] = tables.now
      guard level > 0, let entry = machine.inspect(table, level: level, slot: slot), entry.value.isPresent
      else {
        return
      }
      table = entry.target
    }
  }

  // MARK: Processors

  /// A processor's store of an entry to a page, or its load if `entry` is nil.
  func access(
    _ address: VirtualAddress, store entry: GuestTableEntry? = nil, user: Bool = false, vcpu: Int = 0
  )
    -> Access
  {
    var error: PageFault = entry == nil ? [] : .write
    if user { error.insert(.user) }
    for _ in 0..<12 {
      if let frame = translate(address, error, vcpu, refills: false)
        ?? translate(address, error, vcpu, refills: true)
      {
        if let entry { tables.store(frame, Int(address.rawValue & 0xfff) / 8, entry) }
        return .done(frame)
      }
      exits += 1
      let outcome = machine.fault(at: address, error, on: vcpu)
      switch outcome {
      case .resume: continue
      case .emulate(let table, let slot):
        guard let entry else { return .fault(outcome) }
        _ = machine.write(entry, to: table, slot: slot)
        return .done(table)
      default: return .fault(outcome)
      }
    }
    problems.append("no progress at \(address)")
    return .fault(.resume)
  }

  /// Walks the shadow as a processor does, from what it has; `refills`: from memory.
  private func translate(_ address: VirtualAddress, _ error: PageFault, _ vcpu: Int, refills: Bool)
    -> MachineFrame?
  {
    guard var page = machine.root(of: vcpu), var table = machine.loadedTable(of: vcpu) else { return nil }
    for level in stride(from: 3, through: 0, by: -1) {
      let slot = address.slot(at: level)
      let place = MachineAddress(page.address.rawValue + UInt64(slot) * 8)
      if refills || cached[vcpu][place] == nil {
        guard let entry = machine.inspect(table, level: level, slot: slot), entry.value.isPresent else {
          return nil
        }
        cached[vcpu][place] = Cached(value: entry.value, target: entry.target)
      }
      guard let used = cached[vcpu][place] else { return nil }
      if error.contains(.write), !used.value.isWritable { return nil }
      if error.contains(.user), !used.value.has(EntryBits.user) { return nil }
      check(used.value, used.target, table, level, slot, vcpu)
      (page, table) = (used.value.frame, used.target)
    }
    return table
  }

  /// The abstract MMU: the guest's entry offered that since the last flush.
  private func check(
    _ used: ShadowTableEntry, _ target: MachineFrame, _ table: MachineFrame, _ level: Int, _ slot: Int,
    _ vcpu: Int
  ) {
    let time = max(flushed[vcpu], invalidated[vcpu][.init(table: table, slot: slot)] ?? 0)
    let isOffered = tables.entries(table, slot, since: time).contains { entry in
      entry.has(EntryBits.present | EntryBits.accessed) && entry.frame == target
        && (!used.isWritable || entry.has(EntryBits.writable | (level == 0 ? EntryBits.dirty : 0)))
        && (!used.has(EntryBits.user) || entry.has(EntryBits.user))
        && (used.has(EntryBits.noExecute) || !entry.has(EntryBits.noExecute))
    }
    if !isOffered {
      problems.append("vCPU \(vcpu) uses what table \(table) never offered at \(level), \(slot)")
    }
    if used.isWritable, level == 0, machine.isTable(target), !machine.isOutOfSync(target) {
      problems.append("R2: vCPU \(vcpu) can write to table \(target)")
    }
    if !used.has(EntryBits.accessed) || (level == 0 && used.isWritable && !used.has(EntryBits.dirty)) {
      problems.append("a processor would have to set A or D")
    }
  }
}
