// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A PV kernel's image: what to load where, and how the kernel wants its first memory laid out.
///
/// Its notes say so (xen/include/public/elfnote.h), or an older kernel's `__xen_guest` section.
struct KernelImage: Sendable {
  /// One piece to load.
  struct Segment: Sendable, Hashable {
    /// Bytes from the beginning of guest memory.
    var offset: UInt64
    var content: Range<Int>
    /// At least `content.count`; the rest is zero.
    var memorySize: UInt64
  }

  var content: any ImageContent
  let segments: [Segment]
  /// Where guest memory as a whole is mapped: page-aligned.
  let virtualBase: VirtualAddress
  let entry: VirtualAddress
  /// Where the kernel wants its hypercall page; nil if it issues hypercalls itself.
  let hypercallPage: VirtualAddress?
  /// Where the kernel wants the physical-to-machine table; nil for: within the first mapping.
  let physicalToMachine: VirtualAddress?
  /// The kernel takes a RAM disk by frame number, unmapped (SIF_MOD_START_PFN).
  let ramdiskUnmapped: Bool

  /// Bytes of guest memory from the first to behind the last byte loaded.
  var extent: Range<UInt64> {
    let start = segments.map(\.offset).min() ?? 0
    return start..<(segments.map { $0.offset + $0.memorySize }.max() ?? start)
  }

  /// The most memory that a kernel's own segments may reach to: 64 GiB.
  static let maximumExtent: UInt64 = 1 << 36

  init(_ bytes: [UInt8]) throws(ImageProblem) {
    let file = try ExecutableFile(bytes)
    let wishes = try KernelWishes(file)
    content = bytes
    virtualBase = wishes.virtualBase
    entry = wishes.entry ?? VirtualAddress(file.entry)
    hypercallPage = wishes.hypercallPage
    physicalToMachine = wishes.physicalToMachine
    ramdiskUnmapped = wishes.ramdiskUnmapped
    // Without that note physical addresses count from 0, unless they are virtual ones.
    let areVirtual = file.segments.contains { $0.physicalAddress > Self.maximumExtent }
    let paddrOffset = wishes.physicalOffset ?? (areVirtual ? virtualBase.rawValue : 0)
    segments = try file.segments.map { segment throws(ImageProblem) in
      let offset = segment.physicalAddress &- paddrOffset
      guard offset <= Self.maximumExtent, segment.memorySize <= Self.maximumExtent else {
        throw ImageProblem("damaged: a segment lies outside of guest memory")
      }
      return Segment(offset: offset, content: segment.content, memorySize: segment.memorySize)
    }
    guard segments.contains(where: { $0.memorySize > 0 }) else {
      throw ImageProblem("not a PV kernel: it has nothing to load")
    }
  }
}

/// What the notes of a kernel ask for.
private struct KernelWishes {
  var virtualBase = VirtualAddress(0)
  var entry: VirtualAddress?
  var hypercallPage: VirtualAddress?
  var physicalToMachine: VirtualAddress?
  var physicalOffset: UInt64?
  var ramdiskUnmapped = false
  private var features = ""
  private var interface: String?

  init(_ file: ExecutableFile) throws(ImageProblem) {
    let notes = file.notes.filter { $0.owner == "Xen" }
    if !notes.isEmpty {
      try read(notes, file)
    } else if let section = file.guestSection {
      try read(section: file.reader.text(in: section))
      // In the days of this form, physical addresses in ELF headers were virtual ones.
      physicalOffset = physicalOffset ?? virtualBase.rawValue
    } else {
      throw ImageProblem(
        "an ELF file but not a PV kernel: it has neither Xen notes nor a __xen_guest section")
    }
    try check()
  }

  private mutating func read(_ notes: [ExecutableFile.Note], _ file: ExecutableFile) throws(ImageProblem) {
    // A kernel with only the PVH entry (PHYS32_ENTRY, 18) can not start as a PV guest.
    if notes.contains(where: { $0.type == 18 }), !notes.contains(where: { $0.type == 1 }) {
      throw ImageProblem(
        "a PVH kernel: write type = \"pvh\", or give a PV kernel (for GRUB: grub-x86_64-xen.bin)")
    }
    for note in notes {
      let number = Self.number(note.content, file.reader)
      switch note.type {
      case 1: entry = number.map { VirtualAddress($0) }
      case 2: hypercallPage = number.map { VirtualAddress($0) }
      case 3: virtualBase = VirtualAddress(number ?? 0)
      case 4: physicalOffset = number
      case 5: interface = file.reader.text(in: note.content)
      case 10: features = file.reader.text(in: note.content)
      case 15: physicalToMachine = number.map { VirtualAddress($0) }
      case 16: ramdiskUnmapped = (number ?? 0) != 0
      default: break
      }
    }
  }

  /// A note's number: 4 or 8 bytes.
  private static func number(_ range: Range<Int>, _ reader: ByteReader) -> UInt64? {
    switch range.count {
    case 8...: reader.integer(at: UInt64(range.lowerBound), as: UInt64.self)
    case 4...7: reader.integer(at: UInt64(range.lowerBound), as: UInt32.self).map { UInt64($0) }
    default: nil
    }
  }

  /// The older form: `KEY=value,KEY=value`.
  private mutating func read(section: String) throws(ImageProblem) {
    var page: UInt64?
    for field in section.split(separator: ",") {
      let parts = field.split(separator: "=", maxSplits: 1)
      guard let key = parts.first else { continue }
      let value = parts.count == 2 ? String(parts[1]).trimmed : ""
      switch String(key).trimmed {
      case "VIRT_BASE": virtualBase = VirtualAddress(try Self.number(value, in: key))
      case "VIRT_ENTRY": entry = VirtualAddress(try Self.number(value, in: key))
      case "ELF_PADDR_OFFSET": physicalOffset = try Self.number(value, in: key)
      case "HYPERCALL_PAGE": page = try Self.number(value, in: key)
      case "XEN_VER": interface = value
      case "FEATURES": features = value
      default: break
      }
    }
    // Here it is the number of a page, counted from the base; in notes it is an address.
    hypercallPage = page.map { VirtualAddress(virtualBase.rawValue &+ $0 &* UInt64(frameSize)) }
  }

  private static func number(_ text: String, in key: Substring) throws(ImageProblem) -> UInt64 {
    let value = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    guard let value else { throw ImageProblem("damaged: \(key) in its __xen_guest section is no number") }
    return value
  }

  private func check() throws(ImageProblem) {
    if let interface, interface != "xen-3.0" {
      throw ImageProblem("made for the interface \"\(interface.prefix(32))\"; only xen-3.0 is supported")
    }
    guard virtualBase.rawValue % UInt64(frameSize) == 0,
      (physicalToMachine?.rawValue ?? 0) % UInt64(frameSize) == 0
    else { throw ImageProblem("damaged: it asks for a mapping that does not begin at a page") }
    for feature in ["auto_translated_physmap", "supervisor_mode_kernel"]
    where features.split(separator: "|").contains("!" + feature[...]) {
      throw ImageProblem("it needs \(feature), which PV domains do not have")
    }
  }
}
