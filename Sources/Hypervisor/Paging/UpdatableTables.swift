// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The tables whose entries `UpdateStub` updates, each through a mapping of the guest kernel's own: level-1 tables, as many
/// as one vCPU may have out of sync, to which it stores; and others, whose entries it only compares with what they are to
/// be, since kernels clear many that are clear.
///
/// While the vCPU is in the guest as its kernel, each listed address leads to its table or faults: that is looked up in
/// the shadow before each entry, and what it gives changes to another frame only with every vCPU out of the guest.
struct UpdatableTables {
  struct Place {
    var table: MachineFrame
    /// Where the guest kernel maps the table.
    var address: VirtualAddress
    /// Entries are stored there, or else compared.
    var isStored: Bool
  }
  fileprivate(set) var places: [Place] = []
  /// The tables of the latest single updates that took an exit; of two that take turns, both are there.
  private var latest = [MachineFrame?](repeating: nil, count: 2)
  /// The latest table that cannot be stored to, such as one of a higher level.
  fileprivate var refused: MachineFrame?

  private static let comparedCount = UpdateStub.listSize / 16 - 1 - PagingLimits.seatCount

  /// - Returns: whether the table was updated just before, too.
  fileprivate mutating func noteUpdate(of table: MachineFrame) -> Bool {
    let isRecent = latest.contains(table)
    if latest[0] != table { latest = [table, latest[0]] }
    return isRecent
  }

  fileprivate func lists(_ table: MachineFrame, stored: Bool) -> Bool {
    places.contains { $0.table == table && ($0.isStored || !stored) }
  }

  /// Lists a place, in that of the oldest of its kind if there are enough.
  fileprivate mutating func insert(_ place: Place) {
    places.removeAll { $0.table == place.table }
    let limit = place.isStored ? PagingLimits.seatCount : Self.comparedCount
    if places.count(where: { $0.isStored == place.isStored }) == limit,
      let oldest = places.firstIndex(where: { $0.isStored == place.isStored })
    {
      places.remove(at: oldest)
    }
    places.append(place)
  }
}

extension ParavirtualProcessor {
  var updatesWithoutExit: Bool { domain.host.monitor.updatesWithoutExit }

  private var updatableList: UnsafeMutablePointer<UInt64> {
    space.window.updatable + index * UpdateStub.listSize / 8
  }

  /// The guest has updated one entry by hypercall. Of a table that it updates twice in a row, or from its first entry on,
  /// more is to be expected: it goes out of sync as if the guest had stored the entry itself. If the entry was that
  /// already, more of that is.
  func noteUpdate(_ pointer: UInt64, changed: Bool) {
    guard updatesWithoutExit, mode == .kernel, pointer & 7 == 0 else { return }
    let table = MachineAddress(pointer).frame
    let isRecent = updatable.noteUpdate(of: table) || MachineAddress(pointer).offset == 0
    if changed && isRecent && updatable.refused != table && !updatable.lists(table, stored: true) {
      if list(table, stored: true) {
        statistics.count(.updatableTables)
      } else {
        updatable.refused = table
      }
    } else if !changed, !updatable.lists(table, stored: false) {
      _ = list(table, stored: false)
    }
  }

  /// - Returns: false if it cannot be.
  private func list(_ table: MachineFrame, stored: Bool) -> Bool {
    // The number is the guest's word, and so are its tables: that it maps the table there is looked up.
    let number = domain.frames.memory.machineToPhysical[table]
    let address = VirtualAddress(space.directMap &+ number &<< 12)
    let access = PageFaultError(rawValue: stored ? PageFaultError.present | PageFaultError.write : 0)
    guard number < 1 << 40, address.rawValue != table.address.rawValue,
      let place = try? levelOnePlace(for: address), domain.frames.entry(place).isPresent,
      domain.frames.entry(place).frame == table,
      case .resume = space.pager.fault(at: address, access, pagingView)
    else { return false }
    updatable.insert(UpdatableTables.Place(table: table, address: address, isStored: stored))
    writeUpdatableList()
    return true
  }

  /// Takes from the list what the vCPU does not reach without a fault. Called before the guest's kernel runs.
  /// - Parameter root: the shadow that it runs on.
  func dropUnreachable(root: MachineFrame) {
    guard !updatable.places.isEmpty else { return }
    let count = updatable.places.count
    updatable.places.removeAll { !reaches($0, root) }
    if updatable.places.count != count { writeUpdatableList() }
  }

  private func writeUpdatableList() {
    for (index, place) in updatable.places.enumerated() {
      updatableList[index * 2] = place.table.address.rawValue
      updatableList[index * 2 + 1] =
        place.address.rawValue &- place.table.address.rawValue | (place.isStored ? 0 : 1)
    }
    updatableList[updatable.places.count * 2 + 1] = 0
  }

  /// Whether the shadow lets the guest's kernel do to the table at the address what is listed.
  private func reaches(_ place: UpdatableTables.Place, _ root: MachineFrame) -> Bool {
    let memory = domain.frames.memory
    var table = root
    for level in stride(from: 4, through: 2, by: -1) {
      let entry = PageTableEntry(memory.monitorWords(table)[place.address.tableIndex(level)])
      guard entry.isPresent, entry.frame.rawValue < UInt64(memory.monitorFrameCount) else { return false }
      table = entry.frame
    }
    let entry = PageTableEntry(memory.monitorWords(table)[place.address.tableIndex(1)])
    return entry.isPresent && (!place.isStored || entry.has(PageTableEntry.writable))
      && entry.frame == place.table
  }

  // MARK: Leaving the stub early

  /// The vCPU came to a halt in the stub, by a fault or a kick, with the guest's own registers: the request is done as the
  /// hypercall that it is, unless it is done already.
  /// - Returns: false if it was not in the stub.
  func leaveStub() -> Bool {
    guard updatesWithoutExit, let progress = UpdateStub.progress(at: registers.pointee.rip) else {
      return false
    }
    switch progress {
    case .done:
      guard VirtualAddress(registers.pointee.rcx).isCanonical else { return false }
      registers.pointee.rax = 0
      resume(contextOfSystemCall)
      return true
    case .updateBegun:
      registers.pointee.rax = HypercallNumber.mmuUpdate.rawValue
      registers.pointee.rsi = 1
      registers.pointee.rdx = 0
      registers.pointee.r10 = UInt64(DomainID.current.rawValue)
    case .stackSwitchBegun:
      registers.pointee.rax = HypercallNumber.stackSwitch.rawValue
    case .none: break
    }
    statistics.count(.stubExits)
    virtual.registersChanged = true
    handleSystemCall()
    return true
  }

  /// An event may wait for the guest to leave the stub, and that may take long if it leaves without an exit.
  func leaveInterruptedStub() -> Bool {
    special.pointee.cs.dpl == 3 && special.pointee.cs.selector & 3 == 3 && !virtual.exceptionPending
      && leaveStub()
  }
}
