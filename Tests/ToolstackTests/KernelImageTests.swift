// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Testing

@testable import Toolstack

@Suite("A kernel image")
struct KernelImageTests {
  @Test("of GRUB's shape is read")
  func grub() throws {
    let image = try KernelImage(SyntheticKernel.grub.file)
    #expect(image.virtualBase.rawValue == 0 && image.entry.rawValue == 0)
    #expect(image.hypercallPage == nil && image.physicalToMachine == nil && !image.ramdiskUnmapped)
    #expect(image.segments.map(\.offset) == [0, 0x41e1f0])
    #expect(image.extent == 0..<0x4221f0)
  }

  @Test("of Linux's shape is read")
  func linux() throws {
    let image = try KernelImage(SyntheticKernel.linux.file)
    #expect(image.virtualBase.rawValue == 0xffff_ffff_8000_0000)
    #expect(image.entry.rawValue == 0xffff_ffff_8100_0040)
    #expect(image.hypercallPage?.rawValue == 0xffff_ffff_8100_1000)
    #expect(image.physicalToMachine?.rawValue == 0x80_0000_0000)
    #expect(image.ramdiskUnmapped)
    #expect(image.extent == 0x1000000..<0x1212345)
  }

  @Test("with the older section has its hypercall page by number")
  func section() throws {
    let image = try KernelImage(SyntheticKernel.miniOS.file)
    #expect(image.hypercallPage?.rawValue == 0x2000)
    #expect(image.virtualBase.rawValue == 0)
  }

  @Test("whose physical addresses are virtual ones is loaded relative to its base")
  func noPhysicalOffset() throws {
    var kernel = SyntheticKernel.grub
    kernel.segments = [.init(physical: 0xffff_ffff_8010_0000, content: [1], memorySize: 1)]
    kernel.notes = [(3, SyntheticKernel.number(0xffff_ffff_8000_0000))]
    #expect(try KernelImage(kernel.file).segments.map(\.offset) == [0x10_0000])
  }

  @Test("with notes but no offset among them has its physical addresses counted from 0")
  func physicalAddresses() throws {
    var kernel = SyntheticKernel.grub
    kernel.segments = [.init(physical: 0x20_0000, content: [1], memorySize: 1)]
    kernel.notes = [(3, SyntheticKernel.number(0xffff_ffff_8000_0000))]
    #expect(try KernelImage(kernel.file).segments.map(\.offset) == [0x20_0000])
    kernel.notes = []
    kernel.guestSection = "XEN_VER=xen-3.0,VIRT_BASE=0x100000"
    #expect(try KernelImage(kernel.file).segments.map(\.offset) == [0x10_0000], "the older form")
  }

  @Test("that is no PV kernel is refused, saying what it is")
  func notPV() {
    var foreign = SyntheticKernel.grub
    foreign.machine = 3
    var plain = SyntheticKernel.grub
    plain.notes = []
    var pvh = SyntheticKernel.grub
    pvh.notes = [(18, [0, 0, 0x10, 0])]
    var old = SyntheticKernel.grub
    old.notes = [(5, Array("xen-2.0\0".utf8))]
    var translated = SyntheticKernel.grub
    translated.notes = [(10, Array("pae_pgdir_above_4gb|!auto_translated_physmap\0".utf8))]
    var empty = SyntheticKernel.grub
    empty.segments = []
    let table: [([UInt8], String)] = [
      ([], "not a PV kernel: it is no ELF file"),
      (Array("#!/bin/sh\n".utf8), "not a PV kernel: it is no ELF file"),
      (foreign.file, "an ELF file, but not for x86-64; only 64-bit PV kernels are supported"),
      (
        plain.file, "an ELF file but not a PV kernel: it has neither Xen notes nor a __xen_guest section"
      ),
      (pvh.file, "a PVH kernel: write type = \"pvh\", or give a PV kernel (for GRUB: grub-x86_64-xen.bin)"),
      (old.file, "made for the interface \"xen-2.0\"; only xen-3.0 is supported"),
      (translated.file, "it needs auto_translated_physmap, which PV domains do not have"),
      (empty.file, "not a PV kernel: it has nothing to load"),
    ]
    for (bytes, message) in table {
      #expect(throws: ImageProblem(message)) { try KernelImage(bytes) }
    }
  }

  @Test("cut off anywhere is refused or loads what is there, and never traps")
  func truncated() throws {
    let file = SyntheticKernel.grub.file
    for count in stride(from: 0, to: 400, by: 1) {
      #expect(throws: ImageProblem.self) { try KernelImage(Array(file.prefix(count))) }
    }
    #expect(throws: ImageProblem("the file is cut off; copy it again")) {
      try KernelImage(Array(file.dropLast()))
    }
  }

  /// Whether a domain can be built from the file; if not, it was refused in an orderly way.
  private static func canPlan(_ file: [UInt8]) -> Bool {
    guard let image = try? KernelImage(file) else { return false }
    return (try? DomainBuilder(image: image, ramdisk: [1], commandLine: "", frameCount: 16384)) != nil
  }

  @Test("mutated at random is refused or planned for, and never traps", arguments: [1, 2, 3, 4])
  func mutated(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    let originals = [SyntheticKernel.grub, .linux, .miniOS].map(\.file)
    var accepted = 0
    var refused = 0
    for _ in 0..<3000 {
      var file = originals[Int(random.next() % UInt64(originals.count))]
      // Headers and notes lie at the beginning and at the end; the middle is only content.
      for _ in 0...(random.next() % 4) {
        let window = min(file.count, 700)
        let distance = Int(random.next() % UInt64(window))
        let index = random.next() & 1 == 0 ? distance : file.count - 1 - distance
        file[index] =
          [0, 1, 0x7f, 0x80, 0xff, UInt8(truncatingIfNeeded: random.next())][Int(random.next() % 6)]
      }
      if Self.canPlan(file) { accepted += 1 } else { refused += 1 }
    }
    #expect(accepted > 100 && refused > 100)
  }
}

/// Steele, Lea and Flood's generator: the same numbers for the same seed everywhere.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}
