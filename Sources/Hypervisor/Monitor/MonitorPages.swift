// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The monitor's pages that all vCPUs of a host share: interrupt gates, exit stubs, the tables that map the
/// machine-to-physical table.
final class MonitorPages: Sendable {
  /// Pages of the window, from `MonitorWindow.Page.interrupts` on: gates, stubs, the landing place of SYSCALL, of which
  /// this is the first of `MonitorWindow.Page.systemCallCount` frames that follow one another.
  let interrupts: MachineFrame
  let stubs: MachineFrame
  let systemCall: MachineFrame
  let interruptsOfKernels: MachineFrame
  /// Level-2 tables of the machine-to-physical table.
  let machineToPhysicalTables: [MachineFrame]

  /// Whether `UpdateStub` runs where SYSCALL arrives.
  let updatesWithoutExit: Bool

  private let memory: MachineMemory

  /// - Parameter updatesWithoutExit: SYSCALL arrives at CPL 3, where `UpdateStub` may run.
  init(_ memory: MachineMemory, updatesWithoutExit: Bool = false) throws(HostError) {
    self.updatesWithoutExit = updatesWithoutExit
    self.memory = memory
    let bytesPerTable = 1 << 30
    let size = memory.machineToPhysical.byteCount
    let tables = (size + bytesPerTable - 1) / bytesPerTable
    guard tables <= MonitorWindow.machineToPhysicalSlots else {
      throw .badConfiguration("a host's memory is at most 1 TiB")
    }
    let pages = 3 + MonitorWindow.Page.systemCallCount
    let piece = try memory.monitor.allocate(pages + tables)
    let frames = piece.map { MachineFrame(UInt64($0)) }
    interrupts = frames[0]
    stubs = frames[1]
    interruptsOfKernels = frames[2]
    systemCall = frames[3]
    machineToPhysicalTables = Array(frames[pages...])
    for frame in frames { memory.monitorBytes(frame).initialize(repeating: 0, count: frameSize) }
    Self.writeStubs(memory.monitorBytes(stubs))
    Self.writeStoreStub(memory.monitorBytes(stubs) + MonitorWindow.storeStubOffset)
    Self.writeRunStub(memory.monitorBytes(stubs) + MonitorWindow.runStubOffset)
    Self.writeGates(memory.monitorWords(interrupts))
    Self.writeGates(memory.monitorWords(interruptsOfKernels))
    if updatesWithoutExit {
      for (index, byte) in InterruptFlagStub.code.bytes.enumerated() {
        memory.monitorBytes(stubs)[InterruptFlagStub.offset + index] = byte
      }
      let words = memory.monitorWords(interruptsOfKernels)
      Self.writeGate(words, Vector.generalProtection, InterruptFlagStub.address)
    }
    UpdateStub.write(memory.monitorBytes(systemCall), updatesWithoutExit: updatesWithoutExit)
    for (number, table) in machineToPhysicalTables.enumerated() {
      for index in 0..<entriesPerTable {
        let offset = number * bytesPerTable + index << 21
        guard offset < size else { break }
        // The machine-to-physical table begins with the pool.
        let flags =
          PageTableEntry.present | PageTableEntry.user | PageTableEntry.accessed | PageTableEntry.large
        memory.monitorWords(table)[index] =
          PageTableEntry(MachineFrame(UInt64(offset >> 12)), flags | PageTableEntry.noExecute).rawValue
      }
    }
  }

  /// General-protection faults of guests' kernels exit from now on, as others do.
  func withdrawInterruptFlagStub() {
    let vector = Vector.generalProtection
    let address = MonitorWindow.address(ofPage: MonitorWindow.Page.stubs) + UInt64(vector * Self.stubSize)
    Self.writeGate(memory.monitorWords(interruptsOfKernels), vector, address)
  }

  private static let stubSize = 4

  /// One stub a vector: out %al, $port; hlt.
  private static func writeStubs(_ bytes: UnsafeMutablePointer<UInt8>) {
    for vector in 0..<256 {
      let port = min(vector, Int(MonitorWindow.Port.firstShared))
      for (index, byte) in [0xe6, UInt8(port), 0xf4].enumerated() { bytes[vector * stubSize + index] = byte }
    }
  }

  /// Stores each word of a list of addresses, rsi, once more; as many as ecx says:
  /// lodsq; mov (%rax),%rdx; mov %rdx,(%rax); dec %ecx; jnz; out %al, $port; hlt.
  private static func writeStoreStub(_ bytes: UnsafeMutablePointer<UInt8>) {
    let code: [UInt8] = [
      0x48, 0xad, 0x48, 0x8b, 0x10, 0x48, 0x89, 0x10, 0xff, 0xc9, 0x75, 0xf4,
      0xe6, UInt8(MonitorWindow.Port.stored), 0xf4,
    ]
    for (index, byte) in code.enumerated() { bytes[index] = byte }
  }

  /// Stores words that follow one another once more: rcx of them at rsi and rdi, and then those of the list at rbx, until
  /// there have been edx such runs. Where ring 0 is emulated, a repeated instruction costs far less than others as often.
  private static func writeRunStub(_ bytes: UnsafeMutablePointer<UInt8>) {
    enum Label { case next, done }
    var code = StubCode<Label>()
    code.mark(.next)
    code.add(0xf3, 0x48, 0xa5)  // rep movsq
    code.add(0xff, 0xca)  // dec %edx
    code.jump(.ifEqual, to: .done)
    code.add(0x48, 0x8b, 0x33, 0x48, 0x8b, 0x4b, 0x08)  // mov (%rbx), %rsi; mov 8(%rbx), %rcx
    code.add(0x48, 0x89, 0xf7, 0x48, 0x83, 0xc3, 0x10)  // mov %rsi, %rdi; add $16, %rbx
    code.jump(.always, to: .next)
    code.mark(.done)
    code.add(0xe6, UInt8(MonitorWindow.Port.stored), 0xf4)  // out %al, $port; hlt
    code.finish()
    for (index, byte) in code.bytes.enumerated() { bytes[index] = byte }
  }

  /// Interrupt gates to ring 0. Gates that a guest may name with INT have DPL 3; others give a #GP.
  private static func writeGates(_ words: UnsafeMutablePointer<UInt64>) {
    for vector in 0..<256 {
      let address = MonitorWindow.address(ofPage: MonitorWindow.Page.stubs) + UInt64(vector * stubSize)
      writeGate(words, vector, address)
    }
  }

  private static func writeGate(_ words: UnsafeMutablePointer<UInt64>, _ vector: Int, _ address: UInt64) {
    let level: UInt64 = vector == 3 || vector == 4 ? 3 : 0
    let presentInterruptGate: UInt64 = 0x8e | level << 5
    words[vector * 2] =
      address & 0xffff | UInt64(Selector.monitorCode) << 16 | presentInterruptGate << 40
      | (address >> 16 & 0xffff) << 48
    words[vector * 2 + 1] = address >> 32
  }
}

extension MachineMemory {
  /// The bytes of one of the monitor's own frames.
  func monitorBytes(_ frame: MachineFrame) -> UnsafeMutablePointer<UInt8> {
    precondition(frame.rawValue < UInt64(monitorFrameCount), "not one of the monitor's frames")
    return (base + Int(frame.rawValue) * frameSize).assumingMemoryBound(to: UInt8.self)
  }

  /// The 512 words of one of the monitor's own frames.
  func monitorWords(_ frame: MachineFrame) -> UnsafeMutablePointer<UInt64> {
    precondition(frame.rawValue < UInt64(monitorFrameCount), "not one of the monitor's frames")
    return (base + Int(frame.rawValue) * frameSize).assumingMemoryBound(to: UInt64.self)
  }
}
