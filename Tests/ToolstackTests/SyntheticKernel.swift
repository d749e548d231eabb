// SPDX-License-Identifier: Apache-2.0

/// Builds small ELF files to be loaded.
struct SyntheticKernel {
  struct Segment {
    var physical: UInt64
    var content: [UInt8]
    var memorySize: UInt64
  }

  var entry: UInt64 = 0
  var machine: UInt16 = 62
  var segments: [Segment] = []
  /// Xen notes: type and value.
  var notes: [(type: UInt32, value: [UInt8])] = []
  /// The text of a `__xen_guest` section.
  var guestSection: String?

  static func number(_ value: UInt64) -> [UInt8] { little(value) }

  private static func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  private static func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes + Array(repeating: 0, count: (4 - bytes.count % 4) % 4)
  }

  private static func fill(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
    bytes + Array(repeating: 0, count: count - bytes.count)
  }

  /// Header, program headers, contents, section headers.
  var file: [UInt8] {
    var noteBytes: [UInt8] = []
    for note in notes {
      noteBytes += Self.little(UInt32(4))
      noteBytes += Self.little(UInt32(note.value.count))
      noteBytes += Self.little(note.type)
      noteBytes += Array("Xen\0".utf8)
      noteBytes += Self.padded(note.value)
    }
    var body: [UInt8] = []
    var programs: [UInt8] = []
    let programCount = segments.count + (notes.isEmpty ? 0 : 1)
    let bodyStart = 64 + 56 * programCount
    func program(_ type: UInt32, _ content: [UInt8], _ physical: UInt64, _ memorySize: UInt64) {
      programs += Self.little(type) + Self.little(UInt32(7)) + Self.little(UInt64(bodyStart + body.count))
      programs += Self.little(physical) + Self.little(physical) + Self.little(UInt64(content.count))
      programs += Self.little(memorySize) + Self.little(UInt64(8))
      body += content
    }
    for segment in segments { program(1, segment.content, segment.physical, segment.memorySize) }
    if !notes.isEmpty { program(4, noteBytes, 0, 0) }

    var sections: [UInt8] = []
    if let guestSection {
      let names = Array("\0__xen_guest\0".utf8)
      let namesStart = bodyStart + body.count
      body += names
      let textStart = bodyStart + body.count
      body += Array(guestSection.utf8) + [0]
      sections = Array(repeating: 0, count: 64)
      sections += section(name: 0, type: 3, offset: namesStart, size: names.count)
      sections += section(name: 1, type: 1, offset: textStart, size: guestSection.utf8.count + 1)
    }
    let sectionStart = sections.isEmpty ? 0 : bodyStart + body.count
    return header(programCount: programCount, sectionStart: sectionStart, sectionCount: sections.count / 64)
      + programs + body + sections
  }

  private func section(name: UInt32, type: UInt32, offset: Int, size: Int) -> [UInt8] {
    let head = Self.little(name) + Self.little(type) + Array(repeating: 0, count: 16)
    return Self.fill(head + Self.little(UInt64(offset)) + Self.little(UInt64(size)), 64)
  }

  private func header(programCount: Int, sectionStart: Int, sectionCount: Int) -> [UInt8] {
    var bytes = Self.fill([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 16)
    bytes += Self.little(UInt16(2)) + Self.little(machine) + Self.little(UInt32(1)) + Self.little(entry)
    bytes += Self.little(UInt64(64)) + Self.little(UInt64(sectionStart)) + Self.little(UInt32(0))
    bytes += Self.little(UInt16(64)) + Self.little(UInt16(56)) + Self.little(UInt16(programCount))
    bytes += Self.little(UInt16(64)) + Self.little(UInt16(sectionCount))
    return bytes + Self.little(UInt16(sectionCount == 0 ? 0 : 1))
  }

  /// Like Debian's GRUB: base 0, a second segment that begins within a page, no hypercall page.
  static var grub: SyntheticKernel {
    SyntheticKernel(
      segments: [
        Segment(physical: 0, content: Array(repeating: 0xaa, count: 5000), memorySize: 0x41e1f0),
        Segment(physical: 0x41e1f0, content: Array(repeating: 0xbb, count: 0x4000), memorySize: 0x4000),
      ],
      notes: [(6, Array("GRUB\0".utf8)), (5, Array("xen-3.0\0".utf8)), (1, number(0)), (3, number(0))])
  }

  /// Like Linux: high half, a list at an address of its own, the RAM disk unmapped.
  static var linux: SyntheticKernel {
    SyntheticKernel(
      entry: 0x1000000,
      segments: [
        Segment(physical: 0x1000000, content: Array(repeating: 0xcc, count: 12345), memorySize: 0x20_0000),
        Segment(physical: 0x1200000, content: Array(repeating: 0xdd, count: 77), memorySize: 0x1_2345),
      ],
      notes: [
        (1, number(0xffff_ffff_8100_0040)), (2, number(0xffff_ffff_8100_1000)),
        (3, number(0xffff_ffff_8000_0000)),
        (4, number(0)), (10, Array("!writable_page_tables|pae_pgdir_above_4gb\0".utf8)),
        (15, number(0x80_0000_0000)), (16, number(1)),
      ])
  }

  /// Like Mini-OS of old: a section instead of notes.
  static var miniOS: SyntheticKernel {
    SyntheticKernel(
      segments: [Segment(physical: 0, content: Array(repeating: 0xee, count: 100), memorySize: 0x8000)],
      guestSection:
        "GUEST_OS=Mini-OS,XEN_VER=xen-3.0,VIRT_BASE=0x0,ELF_PADDR_OFFSET=0x0,HYPERCALL_PAGE=0x2,LOADER=generic"
    )
  }
}
