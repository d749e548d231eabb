// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Hypervisor

@Suite("Descriptors, arguments, time")
struct SmallPartsTests {
  @Test("code and data segments get privilege level 3, whatever was asked for")
  func segments() {
    for descriptor: UInt64 in [0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00cf_fb00_0000_ffff] {
      let checked = SegmentDescriptor.checked(descriptor)
      #expect(checked.map { $0 >> 45 & 3 } == 3)
      #expect(checked.map { $0 | 3 << 45 } == descriptor | 3 << 45 | 1 << 40)
    }
  }

  @Test(
    "gates, task states, local tables and conforming code are no segments of a guest's", arguments: 0..<16)
  func systemSegments(type: UInt64) {
    let present: UInt64 = 1 << 47
    #expect(SegmentDescriptor.checked(present | type << 40 | 0x1234) == nil)
    let conformingCode: UInt64 = 0x1c << 40
    #expect(SegmentDescriptor.checked(present | conformingCode) == nil)
  }

  @Test("a descriptor that is not present is harmless, and left out")
  func absentSegment() {
    #expect(SegmentDescriptor.checked(0) == 0)
    #expect(SegmentDescriptor.checked(0x0000_0c00_1234_5678) == 0)
  }

  @Test("fields of an argument block lie where the ABI has them")
  func argumentBlock() throws {
    var block = ArgumentBlock()
    try block.withBytes { bytes throws(HypercallError) in
      for index in bytes.indices { bytes[index] = UInt8(index) }
    }
    #expect(block.u64(8) == 0x0f0e_0d0c_0b0a_0908)
    #expect(block.u32(20) == 0x1716_1514)
    #expect(block.u16(34) == 0x2322)
    #expect(block.u8(63) == 63)
    block.set(20, u32: 0xffff_ffff)
    block.set(16, u16: 0)
    #expect(block.u64(16) == 0xffff_ffff_1312_0000)
  }

  @Test(
    "system time runs as fast as the counter",
    arguments: [800_000, 1_000_000, 2_095_078, 3_000_000, 5_200_000])
  func clock(kilohertz: UInt64) {
    let clock = SystemClock(kilohertz: kilohertz, origin: 1000)
    #expect(clock.nanoseconds(at: 1000) == 0)
    #expect(clock.nanoseconds(at: 0) == 0, "a counter that runs behind is no trap")
    let hour = kilohertz * 1000 * 3600
    let error = Int64(clock.nanoseconds(at: 1000 + hour)) - 3_600_000_000_000
    #expect(abs(error) < 10_000, "10 µs in an hour")
  }

  @Test("a wake-up between looking and sleeping is not missed")
  func wakeUp() {
    let wakeUp = WakeUp()
    let generation = wakeUp.generation
    wakeUp.notify()
    wakeUp.wait(after: generation, nanoseconds: nil)
    wakeUp.wait(after: wakeUp.generation, nanoseconds: 1000)
    wakeUp.wait(after: wakeUp.generation, nanoseconds: 0)
  }

  @Test("canonical addresses are those whose upper bits agree")
  func canonical() {
    for address: UInt64 in [0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, .max] {
      #expect(VirtualAddress(address).isCanonical)
    }
    for address: UInt64 in [0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 1 << 63] {
      #expect(!VirtualAddress(address).isCanonical)
    }
    #expect(VirtualAddress(0xffff_8000_0000_0000).isHypervisors)
    #expect(VirtualAddress(0xffff_87ff_ffff_ffff).isHypervisors)
    #expect(!VirtualAddress(0xffff_8800_0000_0000).isHypervisors)
    #expect(!VirtualAddress(0x0000_8000_0000_0000).isHypervisors)
  }

  @Test("exceptions with an error code are those of the processor's manual")
  func errorCodes() {
    #expect((0..<32).filter(Vector.hasError) == [8, 10, 11, 12, 13, 14, 17, 21, 29, 30])
  }
}
