// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

/// `mmu_update` of one entry without an exit. Where SYSCALL arrives at CPL 0, the same calls all exit.
@Suite("Updates without exit on /dev/kvm", .enabled(if: haveKVM, "no usable /dev/kvm"), .serialized)
final class UpdateStubTests: HostileSetting {
  private static let table = TinyGuest.levelOne
  private var isFast: Bool { guest.host.system.kind == .software }

  override init() throws {
    try super.init()
    // The tiny guest maps all its memory from address 0 on.
    guest.paravirtual.directMap = 0
  }

  private func update(
    _ code: inout Assembler, _ index: Int, _ entry: UInt64, in table: GuestFrame = UpdateStubTests.table
  ) {
    code.store(guest.machine(table) + UInt64(index) * 8, at: TinyGuest.scratch)
    code.store(entry, at: TinyGuest.scratch + 8)
    code.hypercall(1, TinyGuest.scratch, 1, 0, 0x7ff0)
  }

  /// An entry for a page of the guest's own, which was not accessed.
  private func entry(_ frame: Int) -> UInt64 { guest.machine(GuestFrame(UInt64(frame))) | 7 }

  /// Lets the stub store to the table.
  private func warmUp(_ code: inout Assembler) { for index in 61..<64 { update(&code, 63, entry(index)) } }

  private func count(_ name: String) -> UInt64 {
    guest.domain.processors[0].statistics.all.first { $0.name == name }?.count ?? 0
  }
  private var exits: UInt64 { count("hypercall \(HypercallNumber.mmuUpdate.name)") }

  @Test("the stub's parts lie where a vCPU that was stopped in it looks for them")
  func parts() throws {
    let memory = guest.host.memory
    let pages = try MonitorPages(memory, updatesWithoutExit: true)
    let code = memory.monitorBytes(pages.systemCall)
    // What has become of a request from an instruction on, and that instruction.
    let expected: [(UpdateStub.Progress?, [UInt8])] = [
      (Optional(.none), [0x48, 0x83, 0xf8, 3]), (nil, [0x0f, 0x0b]), (.updateBegun, [0x48, 0x8b, 0x37]),
      (.done, [0x31, 0xc0, 0xff, 0xe1]), (.updateBegun, [0x48, 0x39, 0x56, 0xff]),
      (Optional(.none), [0x48, 0x83, 0xff, 0x18]), (.stackSwitchBegun, [0x48, 0xa3]),
      (.done, [0x31, 0xc0, 0xff, 0xe1]), (nil, [0]),
    ]
    let size = UpdateStub.address(of: 1) - UpdateStub.address(of: 0)
    for processor in [0, 1, Domain.maximumVirtualCPUs - 1] {
      let start = UpdateStub.address(of: processor)
      let found = (0..<size).map { UpdateStub.progress(at: start + $0) }
      let changes = found.indices.filter { $0 == 0 || found[$0] != found[$0 - 1] }
      #expect(changes.map { found[$0] } == expected.map(\.0))
      func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { code[Int(start - MonitorWindow.systemCall) + offset + $0] }
      }
      for (offset, (_, instruction)) in zip(changes, expected) {
        #expect(bytes(offset, instruction.count) == instruction)
      }
      // The stores are the last thing before it is done, and OUT before what is not reached.
      #expect(bytes(changes[3] - 3, 3) == [0x48, 0x89, 0x16])
      #expect(bytes(changes[7] - 10, 2) == [0x48, 0xa3])
      #expect(bytes(changes[1] - 2, 2) == [0xe6, UInt8(MonitorWindow.Port.systemCall)])
    }
    #expect(UpdateStub.progress(at: UpdateStub.plain) == nil && UpdateStub.progress(at: 0) == nil)
    #expect(code[Int(UpdateStub.plain - MonitorWindow.systemCall)] == 0xe6)
  }

  @Test("entries of a table that is updated again and again are stored without exits, and take effect")
  func updates() throws {
    guest.store(0x1234, at: 41 << 12)
    let end = try guest.run { code in
      for index in 40..<63 { update(&code, index, entry(41)) }
      // The pages were mapped before: until then the vCPU may go on with what it has.
      flush(&code)
      code.loadRAX(from: 62 << 12)
      code.storeRAX(at: TinyGuest.results)
      // The table is back in sync. Once more.
      for index in 40..<50 { update(&code, index, entry(index)) }
      update(&code, 50, 0)
      code.storeRAX(at: TinyGuest.results + 8)
      flush(&code)
      code.loadRAX(from: 49 << 12)
      code.storeRAX(at: TinyGuest.results + 16)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == 0x1234 && guest.result(1) == 0 && guest.result(2) == 0)
    let accessedAndDirty: UInt64 = 0x60
    func found(_ index: Int) -> UInt64 {
      guest.word(UInt64(Self.table.rawValue) << 12 + UInt64(index) * 8) & ~accessedAndDirty
    }
    for index in 40..<50 { #expect(found(index) == entry(index)) }
    #expect(found(50) == 0)
    for index in 51..<63 { #expect(found(index) == entry(41)) }
    #expect(isFast ? exits <= 8 : exits == 34, "\(exits) of 34 updates took an exit")
  }

  @Test("an entry of any table that is already what it is to be takes no exit; one that is not, does")
  func unchanged() throws {
    let (tables, spare) = (TinyGuest.tables, GuestFrame(TinyGuest.spare >> 12))
    guest.store(guest.machine(GuestFrame(41)) | 7, at: TinyGuest.spare)
    guest.store(0x1234, at: 41 << 12)
    let end = try guest.run { code in
      for index in 2..<40 { update(&code, index, 0, in: tables.levelTwo) }
      for index in 2..<40 { update(&code, index, 0, in: tables.levelThree) }
      update(&code, 1, guest.machine(spare) | 7, in: tables.levelTwo)
      code.loadRAX(from: 1 << 21)
      code.storeRAX(at: TinyGuest.results)
      update(&code, 1, 0, in: tables.levelTwo)
      code.storeRAX(at: TinyGuest.results + 8)
      flush(&code)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    #expect(guest.result() == 0x1234 && guest.result(1) == 0)
    #expect(guest.word(UInt64(tables.levelTwo.rawValue) << 12 + 8) == 0)
    #expect(isFast ? exits <= 8 : exits == 78, "\(exits) of 78 updates took an exit")
  }

  @Test("two tables that are updated in turn are both stored to without exits")
  func inTurn() throws {
    let other = GuestFrame(42)
    let end = try guest.run { code in
      for index in 20..<52 {
        update(&code, index + 5, entry(index + 5))
        update(&code, index, entry(41), in: other)
      }
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff)
    for index in 20..<52 { #expect(guest.word(42 << 12 + UInt64(index) * 8) == entry(41)) }
    #expect(isFast ? exits <= 10 : exits == 64, "\(exits) of 64 updates took an exit")
  }

  @Test("stack_switch takes an exit only for a selector that may be a number of a file")
  func stackSwitch() throws {
    for (selector, stack) in [(0xe02b, 0x16000), (8, 0x17000), (0x18, 0x8000_0000_0000)] as [(UInt64, UInt64)]
    {
      let guest = try TinyGuest()
      let end = try guest.run { code in
        code.hypercall(3, selector, stack)
        code.storeRAX(at: TinyGuest.results)
        code.shutdown(scratch: TinyGuest.scratch)
      }
      #expect(end == .poweroff && guest.result() == 0)
      let processor = guest.paravirtual.processors[0]
      #expect(processor.kernelStack == stack)
      let exits = processor.statistics.all.first { $0.name == "hypercall stack_switch" }?.count
      #expect(exits == (isFast && selector >= 24 ? 0 : 1))
    }
  }

  @Test("a guest writes the words of its kernels' stacks itself, and nothing else there")
  func kernelStacks() throws {
    let end = try guest.run { code in
      code.store(0x16000, at: MonitorWindow.kernelStacks)
      code.store(0x6666, at: MonitorWindow.kernelStacks + 4088)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff && guest.paravirtual.processors[0].kernelStack == 0x16000)
    for address in [
      MonitorWindow.updatable, MonitorWindow.kernelStacks + 4096, MonitorWindow.machineToPhysical,
    ] {
      let other = try HostileSetting()
      try other.expectCrash("exception 14") { $0.store(0, at: address) }
    }
  }

  @Test("an entry for another domain's frame, stored without an exit, is refused when it is used")
  func foreignFrame() throws {
    try expectCrash("neither the domain's nor granted to it") { code in
      warmUp(&code)
      update(&code, 40, target << 12 | 0x67)
      flush(&code)
      code.loadRAX(from: 40 << 12)
      code.storeRAX(at: TinyGuest.results)
    }
    #expect(exits <= 3 || !isFast)
  }

  @Test("requests that the guest cannot read, or not for a listed table, end as those of the hypercall")
  func badRequests() throws {
    let pointers: [UInt64] = [
      0, .max - 7, 1 << 47, MonitorWindow.base, MonitorWindow.pool, MonitorWindow.list,
      MonitorWindow.systemCall, 0xffff_8000_0000_0000,
    ]
    // Another's frame as a table; a kind that does not exist; half an entry.
    let requests = [target << 12, guest.machine(Self.table) | 3, guest.machine(Self.table) | 4]
    let end = try guest.run { code in
      warmUp(&code)
      for (index, pointer) in pointers.enumerated() {
        code.hypercall(1, pointer, 1, 0, 0x7ff0)
        code.storeRAX(at: TinyGuest.results + UInt64(index) * 8)
      }
      for (index, request) in requests.enumerated() {
        code.store(request, at: TinyGuest.scratch)
        code.store(0, at: TinyGuest.scratch + 8)
        code.hypercall(1, TinyGuest.scratch, 1, 0, 0x7ff0)
        code.storeRAX(at: TinyGuest.results + UInt64(index + 8) * 8)
      }
      code.shutdown(scratch: TinyGuest.scratch)
    }
    #expect(end == .poweroff, "\(end)")
    #expect((0..<8).map(guest.result) == [Int64](repeating: -14, count: 8))
    #expect((8..<11).map(guest.result) == [-22, -38, -22])
    #expect(victim.word(TinyGuest.spare) == Self.secret)
  }

  @Test(
    "a guest that jumps to the store itself reaches nothing of the monitor's",
    arguments: [
      MonitorWindow.base, MonitorWindow.pool, MonitorWindow.list, MonitorWindow.systemCall,
      MonitorWindow.updatable, MonitorWindow.machineToPhysical, 1 << 63,
    ])
  func jump(address: UInt64) throws {
    let end = try guest.run { code in
      warmUp(&code)
      let store = UpdateStub.address(of: 0) + UInt64((UpdateStub.code(0).offsets[.stored] ?? 0) - 3)
      code.move(address, to: .rsi)
      code.move(0x6666, to: .rdx)
      code.move(0, to: .rdi)
      code.move(store, to: .rax)
      // lea 2(%rip), %rcx; jmp *%rax: it is to go on behind.
      code.raw(0x48, 0x8d, 0x0d, 2, 0, 0, 0, 0xff, 0xe0)
      code.storeRAX(at: TinyGuest.results)
      code.shutdown(scratch: TinyGuest.scratch)
    }
    guard isFast else { return }
    // Taken as a request at address 0, where nothing is.
    #expect(end == .poweroff && guest.result() == -14)
  }
}
