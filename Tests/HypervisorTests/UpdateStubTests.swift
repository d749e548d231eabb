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

  private func update(_ code: inout Assembler, _ index: Int, _ entry: UInt64) {
    code.store(guest.machine(Self.table) + UInt64(index) * 8, at: TinyGuest.scratch)
    code.store(entry, at: TinyGuest.scratch + 8)
    code.hypercall(1, TinyGuest.scratch, 1, 0, 0x7ff0)
  }

  /// An entry for a page of the guest's own, which was not accessed.
  private func entry(_ frame: Int) -> UInt64 { guest.machine(GuestFrame(UInt64(frame))) | 7 }

  /// Lets the stub store to the table.
  private func warmUp(_ code: inout Assembler) { for _ in 0..<3 { update(&code, 63, entry(63)) } }

  private func count(_ name: String) -> UInt64 {
    guest.domain.processors[0].statistics.all.first { $0.name == name }?.count ?? 0
  }
  private var exits: UInt64 { count("hypercall \(HypercallNumber.mmuUpdate.name)") }

  @Test("the stub's parts lie where a vCPU that was stopped in it looks for them")
  func parts() throws {
    let memory = guest.host.memory
    let pages = try MonitorPages(memory, updatesWithoutExit: true)
    let code = memory.monitorBytes(pages.systemCall)
    for processor in [0, 1, Domain.maximumVirtualCPUs - 1] {
      let start = Int(UpdateStub.address(of: processor) - MonitorWindow.systemCall)
      func progress(_ offset: Int) -> UpdateStub.Progress? {
        UpdateStub.progress(at: UpdateStub.address(of: processor) + UInt64(offset))
      }
      let found = (0..<120).map { progress($0) }
      let (begins, stored) = (found.firstIndex(of: .begun) ?? 0, found.firstIndex(of: .stored) ?? 0)
      let restores = (found.lastIndex(of: .stored) ?? 0) + 1
      let exits = (found.lastIndex(of: Optional(UpdateStub.Progress.none)) ?? 0)
      func bytes(_ offset: Int, _ count: Int) -> [UInt8] { (0..<count).map { code[start + offset + $0] } }
      #expect(bytes(begins, 3) == [0x48, 0x8b, 0x37])
      #expect(bytes(stored - 3, 7) == [0x48, 0x89, 0x16, 0x31, 0xc0, 0xff, 0xe1])
      #expect(bytes(restores, 5) == [0xb8, 1, 0, 0, 0])
      #expect(bytes(exits, 4) == [0xe6, UInt8(MonitorWindow.Port.systemCall), 0x0f, 0x0b])
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
      let store = UpdateStub.address(of: 0) + 87
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
