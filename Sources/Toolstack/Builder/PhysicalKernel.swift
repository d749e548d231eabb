// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A PVH kernel's image: what to load where, and where to begin, in 32-bit protected mode.
///
/// Its note PHYS32_ENTRY says so (xen/include/public/elfnote.h).
struct PhysicalKernel: Sendable {
  var content: any ImageContent
  /// Pieces to load, at guest-physical addresses.
  let segments: [KernelImage.Segment]
  let entry: UInt32

  init(_ bytes: [UInt8]) throws(ImageProblem) {
    let file = try ExecutableFile(bytes)
    let physicalEntry: UInt32 = 18
    guard let note = file.notes.first(where: { $0.owner == "Xen" && $0.type == physicalEntry }) else {
      throw ImageProblem("not a PVH kernel: it has no note of its entry (XEN_ELFNOTE_PHYS32_ENTRY)")
    }
    guard note.content.count >= 4,
      let entry = file.reader.integer(at: UInt64(note.content.lowerBound), as: UInt32.self)
    else { throw ImageProblem("damaged: its entry's note (XEN_ELFNOTE_PHYS32_ENTRY) is no number") }
    self.entry = entry
    content = bytes
    segments = try file.segments.map { segment throws(ImageProblem) in
      // It runs without paging: all of it lies below 4 GiB.
      let end: UInt64 = 1 << 32
      guard segment.physicalAddress <= end, segment.memorySize <= end - segment.physicalAddress else {
        throw ImageProblem("damaged: a segment lies outside of guest memory")
      }
      return KernelImage.Segment(
        offset: segment.physicalAddress, content: segment.content, memorySize: segment.memorySize)
    }
    guard segments.contains(where: { $0.memorySize > 0 }) else {
      throw ImageProblem("not a PVH kernel: it has nothing to load")
    }
  }

  /// Behind the last byte loaded.
  var end: UInt64 { segments.map { $0.offset + $0.memorySize }.max() ?? 0 }
}
