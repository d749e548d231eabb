// SPDX-License-Identifier: Apache-2.0
//
// The shadow page tables of one domain, optimised: no allocation after the beginning, no scan to find who maps a frame,
// and work in proportion to what changes. The rules stand in Specs/Shadow; each step here has its name there. What the
// guest may write at any time is touched only through `Tables`; shadow pages are the hypervisor's.

import Interfaces

/// Shadow page tables over machine memory.
public typealias OptimisedShadowTables = ShadowMachine<SharedGuestTables>

/// Shadow page tables over any access to the guest's tables.
public final class ShadowMachine<Tables: GuestTableAccess>: ShadowTables {
  let tables: Tables
  public let policy: ShadowPolicy
  let stub: any ShadowStub
  let pool: ShadowPages
  let vcpuCount: Int
  public internal(set) var statistics = ShadowStatistics()

  let frames: UnsafeMutablePointer<ShadowFrame>
  /// By number; the first is not used.
  let pages: UnsafeMutablePointer<ShadowPage>
  /// The lists of the reverse map, by entry: the next one, and the one before.
  let next: UnsafeMutablePointer<EntryNumber>
  let previous: UnsafeMutablePointer<EntryNumber>
  let processors: UnsafeMutablePointer<ShadowProcessor>
  let seats: UnsafeMutablePointer<ShadowSeat>
  let seatCount: Int
  /// 512 entries a seat.
  let snapshots: UnsafeMutablePointer<GuestTableEntry>

  /// Entries whose downgrade is not stored, and room to tell the stub of them.
  let queue: UnsafeMutablePointer<EntryNumber>
  let downgrades: UnsafeMutablePointer<Downgrade>
  var queueCount = 0
  static var queueLimit: Int { 4096 }

  var capacity = 0
  var used = 0
  var pinnedCount = 0
  var isPrepared = false
  /// Where the search for a page to evict, and for a free one, goes on.
  var hand = 1
  var firstFree = 1
  /// Places in use.
  var outOfSyncCount = 0

  /// - Parameters:
  ///   - tables: how the guest's tables are accessed.
  ///   - pages: where shadows lie: at least one for each vCPU, and four. The domain cannot reach those frames.
  ///   - stub: is kept.
  public init(
    tables: Tables, pages pool: ShadowPages, vcpuCount: Int, policy: ShadowPolicy, stub: any ShadowStub
  ) {
    precondition(1...PagingLimits.vcpuCount ~= vcpuCount, "a domain has vCPUs")
    precondition(
      vcpuCount + PagingLimits.levelCount...PagingLimits.shadowPageCount ~= pool.count,
      "too little shadow memory")
    self.tables = tables
    self.policy = policy
    self.stub = stub
    self.pool = pool
    self.vcpuCount = vcpuCount
    seatCount =
      switch policy {
      case .few: vcpuCount * PagingLimits.seatCount
      case .all: pool.count
      case .none: 0
      }
    let entryCount = (pool.count + 1) * PagingLimits.slotCount
    frames = .allocate(capacity: tables.frameCount)
    frames.initialize(repeating: ShadowFrame(), count: tables.frameCount)
    pages = .allocate(capacity: pool.count + 1)
    pages.initialize(repeating: ShadowPage(), count: pool.count + 1)
    next = .allocate(capacity: entryCount)
    next.initialize(repeating: 0, count: entryCount)
    previous = .allocate(capacity: entryCount)
    previous.initialize(repeating: 0, count: entryCount)
    processors = .allocate(capacity: vcpuCount)
    processors.initialize(repeating: ShadowProcessor(), count: vcpuCount)
    seats = .allocate(capacity: seatCount)
    seats.initialize(repeating: ShadowSeat(), count: seatCount)
    snapshots = .allocate(capacity: seatCount * PagingLimits.slotCount)
    snapshots.initialize(
      repeating: GuestTableEntry(rawValue: 0), count: seatCount * PagingLimits.slotCount)
    queue = .allocate(capacity: Self.queueLimit)
    downgrades = .allocate(capacity: Self.queueLimit)
    pool.base.initializeMemory(as: UInt8.self, repeating: 0, count: pool.count * frameSize)
    capacity = pool.count
    tables.made(.resize(capacity: capacity))
  }

  deinit {
    frames.deallocate()
    pages.deallocate()
    next.deallocate()
    previous.deallocate()
    processors.deallocate()
    seats.deallocate()
    snapshots.deallocate()
    queue.deallocate()
    downgrades.deallocate()
  }

  @inline(__always) func isKnown(_ frame: MachineFrame) -> Bool { frame.rawValue < UInt64(tables.frameCount) }
  @inline(__always) func state(_ frame: MachineFrame) -> UnsafeMutablePointer<ShadowFrame> {
    frames + Int(frame.rawValue)
  }
  func requireProcessor(_ vcpu: Int) { precondition(0..<vcpuCount ~= vcpu, "no such vCPU") }

  // MARK: Frames come and go

  public func acquire(_ frame: MachineFrame, writes: Bool) -> ShadowStatus {
    guard isKnown(frame), !state(frame).pointee.maps else { return .denied }
    state(frame).pointee.maps = true
    state(frame).pointee.writes = writes
    tables.made(.acquire(frame: frame, writes: writes))
    return .okay
  }

  public func surrender(_ frame: MachineFrame) -> ShadowStatus {
    guard isKnown(frame), state(frame).pointee.maps else { return .denied }
    guard dismantle(frame) else { return .busy }
    makeQueueRoom()
    state(frame).pointee.isLeaving = true
    while state(frame).pointee.writers != 0 { replace(state(frame).pointee.writers, with: .absent) }
    while state(frame).pointee.readers != 0 { replace(state(frame).pointee.readers, with: .absent) }
    tables.made(.expel(frame: frame))
    store()
    state(frame).pointee = ShadowFrame()
    tables.made(.surrender(frame: frame))
    return .okay
  }

  // MARK: Roots

  public func load(_ root: MachineFrame, on vcpu: Int) -> ShadowStatus {
    requireProcessor(vcpu)
    guard isKnown(root), state(root).pointee.writes else { return .denied }
    resync()
    guard prepare() else { return .exhausted }
    protectForTables(root)
    promote(root, PagingLimits.topLevel)
    finish()
    store()
    let before = processors[vcpu].isLoaded ? processors[vcpu].root : root
    processors[vcpu].isLoaded = true
    processors[vcpu].isReflected = false
    processors[vcpu].root = root
    tables.made(.load(vcpu: vcpu, table: root))
    giveUp(before)
    return .okay
  }

  public func root(of vcpu: Int) -> MachineFrame? {
    requireProcessor(vcpu)
    guard processors[vcpu].isLoaded else { return nil }
    return machineFrame(of: state(processors[vcpu].root).pointee.shadow(at: PagingLimits.topLevel))
  }

  public func pin(_ table: MachineFrame) -> ShadowStatus {
    guard isKnown(table), state(table).pointee.writes else { return .denied }
    guard !state(table).pointee.isPinned else { return .okay }
    guard pinnedCount + 1 + vcpuCount + PagingLimits.levelCount <= capacity, prepare() else {
      return .exhausted
    }
    protectForTables(table)
    promote(table, PagingLimits.topLevel)
    finish()
    state(table).pointee.isPinned = true
    pinnedCount += 1
    tables.made(.pin(table: table))
    return .okay
  }

  public func unpin(_ table: MachineFrame) {
    guard isKnown(table) else { return }
    if state(table).pointee.isPinned {
      state(table).pointee.isPinned = false
      pinnedCount -= 1
      tables.made(.unpin(table: table))
    }
    giveUp(table)
  }

  public func reserve(_ slot: Int, _ entry: ShadowTableEntry, in table: MachineFrame) {
    precondition(PagingLimits.reservedSlots.contains(slot) && entry.isPresent, "not one of the hypervisor's")
    let page = isKnown(table) ? state(table).pointee.shadow(at: PagingLimits.topLevel) : 0
    if page != 0 { fill(number(page, slot), with: entry) }
  }

  // MARK: Flushes

  public func flush(_ vcpu: Int) {
    requireProcessor(vcpu)
    resync()
    tables.made(.flush(vcpu: vcpu))
  }

  public func invalidate(_ address: VirtualAddress, on vcpu: Int) {
    requireProcessor(vcpu)
    guard processors[vcpu].isLoaded, isGuests(address) else { return }
    // What the vCPU may use of the address is what the shadow leads it to.
    var table = processors[vcpu].root
    for level in stride(from: PagingLimits.topLevel, through: 0, by: -1) {
      if level == 0, state(table).pointee.isBehind { resync(table) }
      store()
      tables.made(.invalidate(vcpu: vcpu, table: table, slot: address.slot(at: level)))
      guard level != 0 else { break }
      let entry = self[number(state(table).pointee.shadow(at: level), address.slot(at: level))]
      guard entry.isPresent else { break }
      table = pages[pageNumber(entry.frame)].frame
    }
  }
}
