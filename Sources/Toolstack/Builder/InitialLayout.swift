// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Where everything lies in a PV guest's memory when it starts: a plan, computed before a byte is written.
///
/// The order is the ABI's (the start-of-day notes in xen/include/public/xen.h), and guests rely on it:
///
///     kernel │ RAM disk¹ │ P2M¹ │ start_info │ store ring │ console ring │ page tables │ boot stack │ padding
///     └──────────────────────── mapped at the kernel's virtual base ─────────────────────────────────────────┘
///     RAM disk² │ page tables for the P2M² │ P2M²
///
/// ¹ unless the kernel takes it unmapped (the RAM disk) or wants it elsewhere (the physical-to-machine list); ² then.
struct InitialLayout: Sendable, Hashable {
  /// One page table: `level` 1 … 4, and the first address that it translates.
  struct Table: Sendable, Hashable {
    var level: Int
    var base: UInt64
    var frame: GuestFrame
  }

  /// Frames of the guest in all.
  let frameCount: UInt64
  /// Where guest frame 0 is mapped.
  let virtualBase: UInt64
  /// Frames from 0 that are mapped at `virtualBase`.
  private(set) var mappedCount: UInt64 = 0
  /// The RAM disk's frames; empty without one.
  private(set) var ramdisk: Range<UInt64> = 0..<0
  private(set) var ramdiskIsMapped = false
  /// The frames of the list of machine frames.
  private(set) var list: Range<UInt64> = 0..<0
  /// Whether the list lies outside of the first mapping, and so has one of its own.
  private(set) var listIsSeparate = false
  /// Where the list is mapped.
  private(set) var listAddress: UInt64 = 0
  private(set) var startInfo = GuestFrame(0)
  private(set) var store = GuestFrame(0)
  private(set) var console = GuestFrame(0)
  /// The tables of the first mapping, the root first, then level by level.
  private(set) var tables: [Table] = []
  private(set) var stack = GuestFrame(0)
  /// Further tables, for a list that has an address of its own.
  private(set) var listTables: [Table] = []

  /// Bytes behind the boot stack that are mapped at least, and what the end is aligned to.
  private static let padding: UInt64 = 512 << 10
  private static let alignment: UInt64 = 4 << 20

  init(_ image: KernelImage, frameCount: UInt64, ramdiskSize: UInt64) throws(ImageProblem) {
    self.frameCount = frameCount
    virtualBase = image.virtualBase.rawValue
    var next = Self.frames(image.extent.upperBound)
    let ramdiskFrames = Self.frames(ramdiskSize)
    let listFrames = Self.frames(frameCount * 8)

    if !image.ramdiskUnmapped && ramdiskFrames > 0 {
      ramdisk = Self.take(ramdiskFrames, &next)
      ramdiskIsMapped = true
    }
    if image.physicalToMachine == nil {
      list = Self.take(listFrames, &next)
      listAddress = virtualBase &+ list.lowerBound << 12
    }
    startInfo = GuestFrame(Self.take(1, &next).lowerBound)
    store = GuestFrame(Self.take(1, &next).lowerBound)
    console = GuestFrame(Self.take(1, &next).lowerBound)
    try placeTables(&next)

    if image.ramdiskUnmapped && ramdiskFrames > 0 { ramdisk = Self.take(ramdiskFrames, &next) }
    if let address = image.physicalToMachine {
      try placeList(at: address.rawValue, frames: listFrames, &next)
    }
    guard next <= frameCount else { throw Self.tooLittle(needed: next) }
  }

  /// Frames that hold so many bytes; both are far below 2⁶⁴ for all callers.
  private static func frames(_ bytes: UInt64) -> UInt64 { (bytes + UInt64(frameSize) - 1) >> 12 }

  private static func take(_ count: UInt64, _ next: inout UInt64) -> Range<UInt64> {
    defer { next += count }
    return next..<(next + count)
  }

  private static func tooLittle(needed: UInt64) -> ImageProblem {
    ImageProblem("the domain's memory is too small for it: it needs at least memory = \((needed + 255) >> 8)")
  }

  /// The first mapping covers its own tables: more tables are added until they suffice.
  private mutating func placeTables(_ next: inout UInt64) throws(ImageProblem) {
    let first = next
    var count: UInt64 = 0
    while true {
      let minimum = (first + count + 1) << 12 + Self.padding
      mappedCount = ((minimum + Self.alignment - 1) & ~(Self.alignment - 1)) >> 12
      let needed = try Self.tables(from: virtualBase, frames: mappedCount)
      if UInt64(needed.count) == count {
        tables = needed
        break
      }
      count = UInt64(needed.count)
    }
    // A small guest's last mapped pages may not exist; their entries stay empty. The padding must.
    guard first + count + 1 + Self.padding >> 12 <= frameCount else {
      throw Self.tooLittle(needed: first + count + 1 + Self.padding >> 12)
    }
    for index in tables.indices { tables[index].frame = GuestFrame(first + UInt64(index)) }
    stack = GuestFrame(first + count)
    mappedCount = min(mappedCount, frameCount)
    next = max(first + count + 1, mappedCount)
  }

  /// The list's own mapping shares what tables it can with the first.
  private mutating func placeList(at address: UInt64, frames: UInt64, _ next: inout UInt64)
    throws(ImageProblem)
  {
    listIsSeparate = true
    listAddress = address
    let needed = try Self.tables(from: address, frames: frames)
    guard !Self.overlap(virtualBase, mappedCount, address, frames) else {
      throw ImageProblem("damaged: it wants its physical-to-machine list (INIT_P2M) where it lies itself")
    }
    listTables = needed.filter { new in !tables.contains { $0.level == new.level && $0.base == new.base } }
    let place = Self.take(UInt64(listTables.count), &next)
    for index in listTables.indices { listTables[index].frame = GuestFrame(place.lowerBound + UInt64(index)) }
    list = Self.take(frames, &next)
  }

  private static func overlap(
    _ first: UInt64, _ firstFrames: UInt64, _ second: UInt64, _ secondFrames: UInt64
  ) -> Bool {
    // Both lie in one half of the address space each, so neither end wraps beyond 0.
    let (low, high, frames) = first < second ? (first, second, firstFrames) : (second, first, secondFrames)
    return high - low < frames << 12
  }

  /// The tables that map so many frames from an address on, root first; their frames are still to be chosen.
  private static func tables(from address: UInt64, frames: UInt64) throws(ImageProblem) -> [Table] {
    let last = address &+ (frames << 12 &- 1)
    // Both ends in the same half, canonical, and outside the slots that belong to the hypervisor. Only of such ends the
    // first slot is not behind the last.
    guard last >= address, isCanonical(address), isCanonical(last), address >> 63 == last >> 63,
      !((address >> 39 & 511)...(last >> 39 & 511)).overlaps(256...271)
    else {
      throw ImageProblem(
        "the addresses it asks for have no room for \(frames >> 8) MiB; give the domain less memory")
    }
    var tables = [Table(level: 4, base: 0, frame: GuestFrame(0))]
    for level in [3, 2, 1] {
      let shift = UInt64(12 + 9 * level)
      for index in (address >> shift)...(last >> shift) {
        tables.append(Table(level: level, base: index << shift, frame: GuestFrame(0)))
      }
    }
    return tables
  }

  private static func isCanonical(_ address: UInt64) -> Bool {
    let top = address >> 47
    return top == 0 || top == 0x1ffff
  }
}
