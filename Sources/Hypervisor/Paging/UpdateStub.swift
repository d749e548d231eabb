// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The code where SYSCALL arrives. On software KVM, where it runs at CPL 3, it does an `mmu_update` of one entry without
/// an exit, if the guest kernel could have stored the entry itself.
///
/// It has no rights that the guest has not: it reads the request and stores the entry through the guest's own mappings, and
/// what the guest makes of it by jumping into its middle, it could do without it. So nothing is to be trusted for the sake
/// of others. What is to be right is for the guest's own sake: that the entry goes where the hypercall would have put
/// it. The list of tables sees to that: see `UpdatableTables`. Whatever does not fit or faults takes the exit.
///
/// Of the flags, the arithmetic ones are lost; no caller of a hypercall relies on them.
enum UpdateStub {
  private static let size = 120
  /// Where the plain one lies, which always exits.
  private static let plainOffset = Domain.maximumVirtualCPUs * size
  static let plain = MonitorWindow.systemCall + UInt64(plainOffset)

  /// Bytes of one vCPU's list: pairs of a table's machine address and what is to be added to it for the address of the
  /// guest's mapping; the list ends with a zero in place of the latter.
  static let listSize = 64

  /// The landing place of a vCPU.
  static func address(of processor: Int) -> UInt64 { MonitorWindow.systemCall + UInt64(processor * size) }

  /// What has become of a request when the stub was stopped.
  enum Progress {
    /// Nothing; the registers are as they came.
    case none
    /// Nothing; rax, rsi, rdx and r10 are not as they came, but what they held is known.
    case begun
    case stored
  }

  // Offsets of instructions of the code below.
  private static let begins = 35
  private static let hasStored = 90
  private static let restores = 94
  private static let exits = 109

  /// - Returns: nil if the address is not of a stub that may store.
  static func progress(at instruction: UInt64) -> Progress? {
    guard instruction >= MonitorWindow.systemCall, instruction < plain else { return nil }
    switch Int(instruction - MonitorWindow.systemCall) % size {
    case ..<begins: return Progress.none
    case ..<hasStored: return .begun
    case ..<restores: return .stored
    case ..<exits: return .begun
    case exits: return Progress.none
    default: return nil
    }
  }

  static func write(_ bytes: UnsafeMutablePointer<UInt8>, updatesWithoutExit: Bool) {
    // out %al, $port; ud2
    let exit: [UInt8] = [0xe6, UInt8(MonitorWindow.Port.systemCall), 0x0f, 0x0b]
    func put(_ code: [UInt8], at offset: Int) {
      for (index, byte) in code.enumerated() { bytes[offset + index] = byte }
    }
    put(exit, at: plainOffset)
    for processor in 0..<Domain.maximumVirtualCPUs {
      put(updatesWithoutExit ? code(processor) + exit : exit, at: processor * size)
    }
  }

  private static func code(_ processor: Int) -> [UInt8] {
    let list = MonitorWindow.updatable + UInt64(processor * listSize)
    let checks: [UInt8] = [
      0x48, 0x83, 0xf8, 0x01, 0x75, 103,  // cmp $1, %rax (mmu_update); jne exit
      0x48, 0x83, 0xfe, 0x01, 0x75, 97,  // cmp $1, %rsi (one request); jne exit
      0x48, 0x85, 0xd2, 0x75, 92,  // test %rdx, %rdx (done is not asked for); jnz exit
      0x49, 0x81, 0xfa, 0xf0, 0x7f, 0x00, 0x00, 0x75, 83,  // cmp $DOMID_SELF, %r10; jne exit
      0x41, 0xf7, 0xc3, 0x00, 0x45, 0x04, 0x00, 0x75, 74,  // test $(TF|DF|NT|AC), %r11d; jnz exit
    ]
    let begins: [UInt8] =
      [
        0x48, 0x8b, 0x37,  // mov (%rdi), %rsi
        0x48, 0x8b, 0x57, 0x08,  // mov 8(%rdi), %rdx
        0x49, 0xba,  // mov $list, %r10
      ] + (0..<8).map { UInt8(truncatingIfNeeded: list >> (8 * $0)) }
    let search: [UInt8] = [
      0x49, 0x83, 0x7a, 0x08, 0x00, 0x74, 35,  // next: cmpq $0, 8(%r10); je restore
      0x48, 0x89, 0xf0, 0x49, 0x2b, 0x02,  // mov %rsi, %rax; sub (%r10), %rax
      0x48, 0x3d, 0x00, 0x10, 0x00, 0x00, 0x72, 6,  // cmp $4096, %rax; jb found
      0x49, 0x83, 0xc2, 0x10, 0xeb, 0xe5,  // add $16, %r10; jmp next
      0xa8, 0x07, 0x75, 11,  // found: test $7, %al (another kind of request); jnz restore
      0x49, 0x03, 0x72, 0x08, 0x48, 0x89, 0x16,  // add 8(%r10), %rsi; mov %rdx, (%rsi)
      0x31, 0xc0, 0xff, 0xe1,  // xor %eax, %eax; jmp *%rcx
    ]
    let restore: [UInt8] = [
      0xb8, 0x01, 0x00, 0x00, 0x00, 0x89, 0xc6,  // mov $1, %eax; mov %eax, %esi
      0x31, 0xd2, 0x41, 0xba, 0xf0, 0x7f, 0x00, 0x00,  // xor %edx, %edx; mov $DOMID_SELF, %r10d
    ]
    return checks + begins + search + restore
  }
}

/// The level-1 tables, as many as one vCPU may have out of sync, to which its guest kernel stores entries through a
/// mapping of its own, and the stub for it.
///
/// While the vCPU is in the guest as its kernel, each listed address leads to its table or faults: that is looked up in
/// the shadow before each entry, and what it gives changes to another frame only with every vCPU out of the guest.
struct UpdatableTables {
  struct Place {
    var table: MachineFrame
    /// Where the guest kernel maps the table.
    var address: VirtualAddress
  }
  fileprivate(set) var places: [Place] = []
  /// The table of the latest single update that took an exit.
  fileprivate var latest: MachineFrame?
  /// The latest table that cannot be listed, such as one of a higher level.
  fileprivate var refused: MachineFrame?
}

extension ParavirtualProcessor {
  var updatesWithoutExit: Bool { domain.host.monitor.updatesWithoutExit }

  private var updatableList: UnsafeMutablePointer<UInt64> {
    space.window.updatable + index * UpdateStub.listSize / 8
  }

  /// The guest has updated one entry by hypercall. Of a table that it updates twice in a row, more is to be expected: it
  /// goes out of sync as if the guest had stored the entry itself.
  func noteUpdate(_ pointer: UInt64) {
    guard updatesWithoutExit, mode == .kernel, pointer & 7 == 0 else { return }
    let table = MachineAddress(pointer).frame
    defer { updatable.latest = table }
    guard updatable.latest == table, updatable.refused != table,
      !updatable.places.contains(where: { $0.table == table })
    else { return }
    // The number is the guest's word, and so are its tables: that it maps the table there is looked up.
    let number = domain.frames.memory.machineToPhysical[table]
    let address = VirtualAddress(space.directMap &+ number &<< 12)
    guard number < 1 << 40, address.rawValue != table.address.rawValue,
      let place = try? levelOnePlace(for: address), domain.frames.entry(place).isPresent,
      domain.frames.entry(place).frame == table,
      case .resume = space.pager.fault(
        at: address, PageFaultError(rawValue: PageFaultError.present | PageFaultError.write), pagingView)
    else {
      updatable.refused = table
      return
    }
    statistics.count(.updatableTables)
    if updatable.places.count == PagingLimits.seatCount { updatable.places.removeFirst() }
    updatable.places.append(UpdatableTables.Place(table: table, address: address))
    writeUpdatableList()
  }

  /// Takes from the list what the vCPU does not store to without a fault. Called before the guest's kernel runs.
  /// - Parameter root: the shadow that it runs on.
  func dropUnwritable(root: MachineFrame) {
    guard !updatable.places.isEmpty else { return }
    let count = updatable.places.count
    updatable.places.removeAll { !writes(to: $0, root) }
    if updatable.places.count != count { writeUpdatableList() }
  }

  private func writeUpdatableList() {
    for (index, place) in updatable.places.enumerated() {
      updatableList[index * 2] = place.table.address.rawValue
      updatableList[index * 2 + 1] = place.address.rawValue &- place.table.address.rawValue
    }
    updatableList[updatable.places.count * 2 + 1] = 0
  }

  /// Whether the shadow lets the guest's kernel store to the table at the address.
  private func writes(to place: UpdatableTables.Place, _ root: MachineFrame) -> Bool {
    let memory = domain.frames.memory
    var table = root
    for level in stride(from: 4, through: 2, by: -1) {
      let entry = PageTableEntry(memory.monitorWords(table)[place.address.tableIndex(level)])
      guard entry.isPresent, entry.frame.rawValue < UInt64(memory.monitorFrameCount) else { return false }
      table = entry.frame
    }
    let entry = PageTableEntry(memory.monitorWords(table)[place.address.tableIndex(1)])
    return entry.isPresent && entry.has(PageTableEntry.writable) && entry.frame == place.table
  }

  // MARK: Leaving it early

  /// The vCPU came to a halt in the stub, by a fault or a kick, with the guest's own registers: the request is done as the
  /// hypercall that it is, unless it is done already.
  /// - Returns: false if it was not in the stub.
  func leaveStub() -> Bool {
    guard updatesWithoutExit, let progress = UpdateStub.progress(at: registers.pointee.rip) else {
      return false
    }
    switch progress {
    case .stored:
      guard VirtualAddress(registers.pointee.rcx).isCanonical else { return false }
      registers.pointee.rax = 0
      resume(
        GuestContext(
          instruction: registers.pointee.rcx, codeSelector: Selector.code, flags: registers.pointee.r11,
          stack: registers.pointee.rsp, stackSelector: Selector.data))
      return true
    case .begun:
      registers.pointee.rax = HypercallNumber.mmuUpdate.rawValue
      registers.pointee.rsi = 1
      registers.pointee.rdx = 0
      registers.pointee.r10 = UInt64(DomainID.current.rawValue)
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
