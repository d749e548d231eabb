// SPDX-License-Identifier: Apache-2.0

import HostileInputs
import Hypervisor
import Interfaces
import Testing

@testable import Toolstack

/// A PVH guest as it was built, read back by guest-physical addresses.
private struct Built {
  static let frames = 4096
  let machine = FakeMachine(count: frames)
  let state: PhysicalState

  init(ramdisk: [UInt8] = Array("ramdisk".utf8), commandLine: String = "console=hvc0") throws {
    var kernel = SyntheticKernel()
    kernel.segments = [.init(physical: 0x10_0000, content: [1, 2, 3], memorySize: 0x2800)]
    kernel.notes = [(18, [0x50, 0, 0x10, 0])]
    let builder = try PhysicalBuilder(
      kernel: try PhysicalKernel(kernel.file), ramdisk: ramdisk, commandLine: commandLine,
      frameCount: UInt64(Self.frames), processorCount: 2)
    let memory = GuestMemory(frames: machine.frames, memory: machine)
    guard
      case .physical(let state) = try builder.fill(
        memory,
        Surroundings(sharedInfo: MachineAddress(0), storePort: EventPort(3), consolePort: EventPort(4)))
    else { throw ImageProblem("it is none of a PVH guest") }
    self.state = state
  }

  func bytes(_ address: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { offset in
      let place = address + UInt64(offset)
      let page = machine.bytes(of: machine.frames[Int(place >> 12)])
      return page?.load(fromByteOffset: Int(place & 0xfff), as: UInt8.self) ?? 0
    }
  }

  func word(_ address: UInt64, bytes count: Int = 8) -> UInt64 {
    bytes(address, count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}

@Suite("A built PVH domain")
struct PhysicalBuilderTests {
  @Test("has its kernel where it wants to be, and start info behind it")
  func startInfo() throws {
    let built = try Built()
    #expect(built.state.entry == 0x10_0050)
    #expect(built.bytes(0x10_0000, 4) == [1, 2, 3, 0])
    let info = UInt64(built.state.startInfo)
    #expect(info == 0x10_3000)
    #expect(built.word(info, bytes: 4) == 0x336e_c578)
    #expect(built.word(info + 4, bytes: 4) == 1)
    #expect(built.word(info + 12, bytes: 4) == 1, "one module")
    let module = built.word(info + 16)
    #expect(built.word(module + 8) == 7)
    #expect(built.bytes(built.word(module), 7) == Array("ramdisk".utf8))
    #expect(built.bytes(built.word(info + 24), 13) == Array("console=hvc0\0".utf8))
  }

  @Test("is told of all its memory, and what it may not use of it")
  func memoryMap() throws {
    let built = try Built()
    let info = UInt64(built.state.startInfo)
    let (map, count) = (built.word(info + 40), built.word(info + 48, bytes: 4))
    let regions = (0..<count).map { index in
      (0..<3).map { built.word(map + index * 24 + $0 * 8, bytes: $0 == 2 ? 4 : 8) }
    }
    let end = UInt64(Built.frames) << 12
    #expect(regions == [[0, end - 0x3000, 1], [end - 0x3000, 0x1000, 3], [end - 0x2000, 0x2000, 2]])
    #expect(built.state.consoleFrame == GuestFrame(UInt64(Built.frames) - 2))
    #expect(built.state.storeFrame == GuestFrame(UInt64(Built.frames) - 1))
    #expect(built.state.storePort == EventPort(3) && built.state.consolePort == EventPort(4))
  }

  @Test("has ACPI tables whose sums are right, with a local APIC for each processor and no other hardware")
  func tables() throws {
    let built = try Built()
    func sum(_ address: UInt64, _ count: Int) -> UInt8 { built.bytes(address, count).reduce(0, &+) }
    let root = built.word(UInt64(built.state.startInfo) + 32)
    #expect(built.bytes(root, 8) == Array("RSD PTR ".utf8))
    #expect(sum(root, 20) == 0 && sum(root, 36) == 0)
    func table(_ address: UInt64) -> String {
      let size = Int(built.word(address + 4, bytes: 4))
      #expect(sum(address, size) == 0)
      return String(decoding: built.bytes(address, 4), as: UTF8.self) + " \(size)"
    }
    let list = built.word(root + 24)
    #expect(table(list) == "XSDT 52")
    let (fixed, processors) = (built.word(list + 36), built.word(list + 44))
    #expect(table(fixed) == "FACP 276")
    #expect(built.word(fixed + 112, bytes: 4) & 1 << 20 != 0, "HW_REDUCED_ACPI")
    #expect(built.word(fixed + 248) == UInt64(SleepPort.control))
    #expect(built.word(fixed + 260) == UInt64(SleepPort.status))
    let definitions = built.word(fixed + 140)
    #expect(definitions == built.word(fixed + 40, bytes: 4))
    #expect(table(definitions) == "DSDT 50")
    #expect(table(processors) == "APIC 60")
    #expect(built.bytes(processors + 52, 8) == [0, 8, 1, 1, 1, 0, 0, 0])
  }

  @Test("without a RAM disk names none")
  func noRamdisk() throws {
    let built = try Built(ramdisk: [])
    #expect(built.word(UInt64(built.state.startInfo) + 12, bytes: 4) == 0)
  }

  @Test(
    "is not built of a kernel that has no such entry, is damaged or too large, or of too long a command line")
  func refused() throws {
    func refusal(_ change: (inout SyntheticKernel) -> Void, frames: UInt64 = 4096, line: String = "")
      -> String?
    {
      var kernel = SyntheticKernel()
      kernel.segments = [.init(physical: 0x10_0000, content: [1], memorySize: 0x1000)]
      kernel.notes = [(18, [0, 0, 0x10, 0])]
      change(&kernel)
      do throws(ImageProblem) {
        _ = try PhysicalBuilder(
          kernel: try PhysicalKernel(kernel.file), ramdisk: [UInt8](), commandLine: line, frameCount: frames,
          processorCount: 1)
        return nil
      } catch { return error.message }
    }
    #expect(refusal { _ in } == nil)
    #expect(
      refusal { $0.notes = [(1, [0, 0, 0, 0])] }
        == "not a PVH kernel: it has no note of its entry (XEN_ELFNOTE_PHYS32_ENTRY)")
    #expect(
      refusal { $0.notes = [(18, [0, 0])] }
        == "damaged: its entry's note (XEN_ELFNOTE_PHYS32_ENTRY) is no number")
    #expect(
      refusal { $0.segments[0].physical = 0xffff_ffff_8000_0000 }
        == "damaged: a segment lies outside of guest memory")
    #expect(refusal { $0.segments = [] } == "not a PVH kernel: it has nothing to load")
    #expect(
      refusal({ _ in }, frames: 256)
        == "the domain's memory is too small for it: it needs at least memory = 2")
    #expect(
      refusal({ _ in }, line: String(repeating: "x", count: 2048))
        == "the command line has 2048 bytes; PVH guests take at most 2047")
  }
}
