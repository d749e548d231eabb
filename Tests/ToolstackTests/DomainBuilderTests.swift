// SPDX-License-Identifier: Apache-2.0

import HostileInputs
import Hypervisor
import Interfaces
import Testing

@testable import Toolstack

extension FakeMachine {
  var guest: GuestMemory { GuestMemory(frames: frames, memory: self) }
}

/// A guest built in memory, and read back as its processor would.
private struct Built {
  let machine: FakeMachine
  let builder: DomainBuilder
  let memory: GuestMemory
  let state: InitialState

  init(_ kernel: SyntheticKernel, ramdisk: [UInt8] = [], commandLine: String = "", frames: Int = 8192) throws
  {
    machine = FakeMachine(count: frames)
    memory = machine.guest
    builder = try DomainBuilder(
      image: try KernelImage(kernel.file), ramdisk: ramdisk, commandLine: commandLine,
      frameCount: UInt64(frames))
    state = try builder.build(
      in: memory,
      .init(sharedInfo: MachineAddress(0x123000), storePort: EventPort(1), consolePort: EventPort(2)))
  }

  /// The leaf entry that translates an address, through the tables in memory; nil if there is none.
  func leaf(_ address: UInt64) -> UInt64? {
    var table = state.root
    for level in [4, 3, 2, 1] {
      let index = Int(address >> UInt64(12 + 9 * (level - 1)) & 511)
      guard let entry = machine.bytes(of: table)?.load(fromByteOffset: index * 8, as: UInt64.self),
        entry & 1 == 1
      else { return nil }
      if level == 1 { return entry }
      table = MachineFrame(entry >> 12)
    }
    return nil
  }

  /// Reads an integer through the page tables.
  func load<Value: FixedWidthInteger>(_ address: UInt64, as type: Value.Type = Value.self) -> Value? {
    guard let entry = leaf(address), let page = machine.bytes(of: MachineFrame(entry >> 12)) else {
      return nil
    }
    return page.loadUnaligned(fromByteOffset: Int(address & 0xfff), as: Value.self)
  }

  func startInfo<Value: FixedWidthInteger>(_ offset: UInt64, as type: Value.Type = Value.self) -> Value? {
    load(state.startInfo.rawValue + offset)
  }
}

@Suite("A built domain")
struct DomainBuilderTests {
  @Test("has its kernel where its page tables say, the rest of each segment zero")
  func kernel() throws {
    let grub = try Built(.grub)
    #expect(grub.state.entry.rawValue == 0)
    #expect(grub.load(0, as: UInt8.self) == 0xaa)
    #expect(grub.load(4999, as: UInt8.self) == 0xaa)
    #expect(grub.load(5000, as: UInt8.self) == 0)
    #expect(grub.load(0x41e1ef, as: UInt8.self) == 0)
    #expect(grub.load(0x41e1f0, as: UInt8.self) == 0xbb)
    let linux = try Built(.linux)
    #expect(linux.load(0xffff_ffff_8100_0000 + 12344, as: UInt8.self) == 0xcc)
    #expect(linux.load(0xffff_ffff_8120_0000 + 76, as: UInt8.self) == 0xdd)
    #expect(linux.builder.hypercallFrame == GuestFrame(0x1001))
    #expect(try Built(.miniOS).builder.hypercallFrame == GuestFrame(2))
  }

  @Test("lies in the ABI's order, mapped up to a multiple of 4 MiB with 512 KiB to spare")
  func order() throws {
    let layout = try Built(.grub).builder.layout
    let tableFrames = layout.tables.map(\.frame.rawValue)
    let order =
      [layout.list.lowerBound, layout.list.upperBound - 1]
      + [layout.startInfo, layout.store, layout.console].map(\.rawValue) + tableFrames + [
        layout.stack.rawValue
      ]
    #expect(order == order.sorted() && order.first == 0x423)
    #expect(tableFrames == Array(tableFrames[0]..<(tableFrames[0] + UInt64(tableFrames.count))))
    #expect(layout.tables.map(\.level) == [4, 3, 2] + Array(repeating: 1, count: tableFrames.count - 3))
    #expect(layout.mappedCount % 1024 == 0 && layout.mappedCount >= layout.stack.rawValue + 1 + 128)
    #expect(layout.tables.filter { $0.level == 1 }.count == Int(layout.mappedCount / 512))
  }

  @Test("sees its page tables read-only, and everything else that is mapped writable")
  func protection() throws {
    for built in [try Built(.grub), try Built(.linux)] {
      let layout = built.builder.layout
      let tables = Set((layout.tables + layout.listTables).map(\.frame.rawValue))
      for number in 0..<layout.mappedCount {
        let entry = try #require(built.leaf(layout.virtualBase &+ number << 12))
        #expect(entry >> 12 == built.memory.machineFrame(GuestFrame(number)).rawValue)
        #expect((entry & 2 == 0) == tables.contains(number) && entry & 4 == 4)
      }
      #expect(built.leaf(layout.virtualBase &+ layout.mappedCount << 12) == nil)
    }
  }

  @Test("finds its start-of-day page, and in it all that it needs")
  func startInfo() throws {
    let built = try Built(.grub, commandLine: "root=x")
    let layout = built.builder.layout
    let magic = (0..<15).compactMap { built.startInfo($0, as: UInt8.self) }
    #expect(String(decoding: magic, as: UTF8.self) == "xen-3.0-x86_64\0")
    #expect(built.startInfo(32) == UInt64(8192))
    #expect(built.startInfo(40) == UInt64(0x123000))
    #expect(built.startInfo(48) == UInt32(0))
    #expect(built.startInfo(56) == built.memory.machineFrame(layout.store).rawValue)
    #expect(built.startInfo(64) == UInt32(1))
    #expect(built.startInfo(72) == built.memory.machineFrame(layout.console).rawValue)
    #expect(built.startInfo(80) == UInt32(2))
    #expect(built.startInfo(88) == layout.tables[0].frame.rawValue << 12)
    #expect(built.startInfo(96) == UInt64(layout.tables.count))
    #expect(built.startInfo(104) == layout.list.lowerBound << 12)
    #expect(built.startInfo(112) == UInt64(0) && built.startInfo(120) == UInt64(0))
    #expect(built.startInfo(128) == UInt8(ascii: "r") && built.startInfo(134) == UInt8(0))
    #expect(built.startInfo(1160) == UInt64(0))
    #expect(built.state.stack.rawValue == (layout.stack.rawValue + 1) << 12)
  }

  @Test("finds the list of its machine frames, in either place")
  func list() throws {
    for built in [try Built(.grub), try Built(.linux)] {
      let address = try #require(built.startInfo(104, as: UInt64.self))
      for number in stride(from: UInt64(0), to: 8192, by: 511) {
        #expect(built.load(address + number * 8) == built.memory.machineFrame(GuestFrame(number)).rawValue)
      }
    }
    let linux = try Built(.linux)
    let layout = linux.builder.layout
    #expect(linux.startInfo(104) == UInt64(0x80_0000_0000))
    #expect(linux.startInfo(1152) == layout.listTables[0].frame.rawValue)
    #expect(linux.startInfo(1160) == UInt64(3 + 16))
    #expect(linux.startInfo(96) == UInt64(layout.tables.count))
  }

  @Test("finds its RAM disk: mapped by address, unmapped by frame")
  func ramdisk() throws {
    let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 / 3) }
    let mapped = try Built(.grub, ramdisk: bytes)
    let address = try #require(mapped.startInfo(112, as: UInt64.self))
    #expect(mapped.startInfo(120) == UInt64(10_000) && mapped.startInfo(48) == UInt32(0))
    #expect(mapped.load(address + 9_999) == bytes[9_999] && mapped.load(address + 10_000) == UInt8(0))

    let unmapped = try Built(.linux, ramdisk: bytes)
    let frame = try #require(unmapped.startInfo(112, as: UInt64.self))
    #expect(unmapped.startInfo(48) == UInt32(8) && frame >= unmapped.builder.layout.mappedCount)
    #expect(unmapped.memory.page(GuestFrame(frame + 2))[9_999 - 8192] == bytes[9_999])
  }

  @Test("that does not fit its memory is refused with the memory it needs")
  func tooSmall() throws {
    #expect(throws: ImageProblem("the domain's memory is too small for it: it needs at least memory = 5")) {
      try Built(.grub, frames: 1024)
    }
    _ = try Built(.grub, frames: 5 * 256)
    #expect(throws: ImageProblem("the domain's memory is too small for it: it needs at least memory = 39")) {
      try Built(.grub, ramdisk: Array(repeating: 1, count: 34 << 20), frames: 8192)
    }
  }

  @Test("whose kernel asks for addresses that are not to be had is refused")
  func addresses() throws {
    for base: UInt64 in [
      0x0000_8000_0000_0000, 0x7fff_ffff_f000, 0xffff_8000_0000_0000, 0xffff_87ff_ffff_f000,
      0xffff_ffff_ffff_f000,
    ] {
      var kernel = SyntheticKernel.grub
      kernel.notes = [(3, SyntheticKernel.number(base)), (4, SyntheticKernel.number(0))]
      #expect(throws: ImageProblem.self) { try Built(kernel) }
    }
    var overlapping = SyntheticKernel.grub
    overlapping.notes = [(3, SyntheticKernel.number(0)), (15, SyntheticKernel.number(0x10_0000))]
    #expect(
      throws: ImageProblem("damaged: it wants its physical-to-machine list (INIT_P2M) where it lies itself")
    ) { try Built(overlapping) }
    var page = SyntheticKernel.grub
    page.notes = [(3, SyntheticKernel.number(0)), (2, SyntheticKernel.number(0x5000_0000))]
    #expect(throws: ImageProblem("damaged: it wants its hypercall page at 0x50000000, outside of itself")) {
      try Built(page)
    }
  }

  @Test("takes a command line of 1023 bytes and no more")
  func commandLine() throws {
    let built = try Built(.grub, commandLine: String(repeating: "x", count: 1023))
    #expect(built.startInfo(128 + 1022) == UInt8(ascii: "x") && built.startInfo(128 + 1023) == UInt8(0))
    #expect(throws: ImageProblem("the command line has 1024 bytes; PV guests take at most 1023")) {
      try Built(.grub, commandLine: String(repeating: "x", count: 1024))
    }
  }
}
