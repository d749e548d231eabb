// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces

/// Fills a new PV domain's memory: kernel, RAM disk, page tables, start-of-day page.
struct DomainBuilder: GuestBuilder {
  private(set) var image: KernelImage
  private(set) var ramdisk: any ImageContent
  let layout: InitialLayout
  let commandLine: String

  /// Plans the guest's memory; nothing is written yet.
  /// - Parameter frameCount: the guest's memory in frames.
  init(image: KernelImage, ramdisk: any ImageContent, commandLine: String, frameCount: UInt64)
    throws(ImageProblem)
  {
    guard commandLine.utf8.count <= StartInfo.maximumCommandLine else {
      throw ImageProblem(
        "the command line has \(commandLine.utf8.count) bytes; PV guests take at most "
          + "\(StartInfo.maximumCommandLine)")
    }
    layout = try InitialLayout(image, frameCount: frameCount, ramdiskSize: UInt64(ramdisk.count))
    self.image = image
    self.ramdisk = ramdisk
    self.commandLine = commandLine
    if let page = image.hypercallPage, hypercallFrame == nil {
      throw ImageProblem(
        "damaged: it wants its hypercall page at 0x\(String(page.rawValue, radix: 16)), outside of itself")
    }
  }

  mutating func keepOutOfMemory() {
    KeptContent.keep(&image.content)
    KeptContent.keep(&ramdisk)
  }

  var storeFrame: GuestFrame { layout.store }
  var consoleFrame: GuestFrame { layout.console }

  /// The guest frame of the hypercall page; nil if the kernel wants none.
  var hypercallFrame: GuestFrame? {
    guard let page = image.hypercallPage else { return nil }
    let offset = page.rawValue &- layout.virtualBase
    guard offset % UInt64(frameSize) == 0, offset < Self.roundUp(image.extent.upperBound) else { return nil }
    return GuestFrame(offset >> 12)
  }

  private static func roundUp(_ bytes: UInt64) -> UInt64 {
    (bytes + UInt64(frameSize) - 1) & ~(UInt64(frameSize) - 1)
  }

  func fill(_ memory: GuestMemory, _ surroundings: Surroundings) throws(ImageProblem) -> FirstState {
    .paravirtual(try build(in: memory, surroundings))
  }

  func build(in memory: GuestMemory, _ surroundings: Surroundings) throws(ImageProblem) -> InitialState {
    for segment in image.segments {
      try memory.write(image.content, segment.content, at: segment.offset)
    }
    try memory.write(ramdisk, 0..<ramdisk.count, at: layout.ramdisk.lowerBound << 12)
    writeList(in: memory)
    writeTables(in: memory)
    startInfo(memory, surroundings).write(to: memory, frame: layout.startInfo)
    return InitialState(
      entry: image.entry,
      stack: VirtualAddress(address(of: layout.stack) &+ UInt64(frameSize)),
      startInfo: VirtualAddress(address(of: layout.startInfo)),
      root: memory.machineFrame(layout.tables[0].frame))
  }

  /// Where a frame is seen through the first mapping.
  private func address(of frame: GuestFrame) -> UInt64 { layout.virtualBase &+ frame.rawValue << 12 }

  private func startInfo(_ memory: GuestMemory, _ surroundings: Surroundings) -> StartInfo {
    let firstFrame = layout.listTables.first?.frame.rawValue ?? layout.list.lowerBound
    let ownFrames = layout.listIsSeparate ? firstFrame..<layout.list.upperBound : 0..<0
    let start = layout.ramdisk.lowerBound
    return StartInfo(
      frameCount: layout.frameCount,
      sharedInfo: surroundings.sharedInfo,
      storeFrame: memory.machineFrame(layout.store), storePort: surroundings.storePort,
      consoleFrame: memory.machineFrame(layout.console), consolePort: surroundings.consolePort,
      tables: (address(of: layout.tables[0].frame), UInt64(layout.tables.count)),
      list: (layout.listAddress, ownFrames),
      ramdisk: ramdisk.count == 0
        ? (0, 0, false)
        : (
          layout.ramdiskIsMapped ? address(of: GuestFrame(start)) : start, UInt64(ramdisk.count),
          !layout.ramdiskIsMapped
        ),
      commandLine: commandLine)
  }

  /// The list of machine frames, by guest frame.
  private func writeList(in memory: GuestMemory) {
    for (index, frame) in memory.frames.enumerated() {
      let page = GuestFrame(layout.list.lowerBound + UInt64(index / 512))
      memory.store(frame.rawValue, in: page, at: index % 512 * 8)
    }
  }
}

/// Bits of a page-table entry. Source: Intel SDM, volume 3, chapter 4.
struct EntryFlags: OptionSet {
  let rawValue: UInt64

  static let present = EntryFlags(rawValue: 1 << 0)
  static let writable = EntryFlags(rawValue: 1 << 1)
  static let user = EntryFlags(rawValue: 1 << 2)
  static let accessed = EntryFlags(rawValue: 1 << 5)
  static let dirty = EntryFlags(rawValue: 1 << 6)

  /// A PV guest's kernel runs at CPL 3, so everything is user.
  static let readOnlyPage: EntryFlags = [.present, .user, .accessed]
  static let page: EntryFlags = [.readOnlyPage, .writable, .dirty]
}

extension DomainBuilder {
  /// The initial page tables; a guest's own tables are mapped read-only, as the ABI has it.
  private func writeTables(in memory: GuestMemory) {
    let all = layout.tables + layout.listTables
    let tableFrames = Set(all.map(\.frame))
    for table in all where table.level < 4 {
      guard let parent = all.first(where: { $0.contains(table) }) else { continue }
      enter(table.frame, as: .page, at: table.base, in: parent, memory)
    }
    let leaves = all.filter { $0.level == 1 }
    func map(_ frames: Range<UInt64>, at address: UInt64) {
      var table = leaves.first
      for number in frames {
        let frame = GuestFrame(number)
        let page = address &+ (number - frames.lowerBound) << 12
        if table?.translates(page) != true { table = leaves.first { $0.translates(page) } }
        guard let table else { continue }
        enter(frame, as: tableFrames.contains(frame) ? .readOnlyPage : .page, at: page, in: table, memory)
      }
    }
    map(0..<layout.mappedCount, at: layout.virtualBase)
    if layout.listIsSeparate { map(layout.list, at: layout.listAddress) }
  }

  private func enter(
    _ frame: GuestFrame, as flags: EntryFlags, at address: UInt64, in table: InitialLayout.Table,
    _ memory: GuestMemory
  ) {
    let entry = memory.machineFrame(frame).address.rawValue | flags.rawValue
    memory.store(entry, in: table.frame, at: table.index(of: address) * 8)
  }
}

extension InitialLayout.Table {
  /// Bits of an address below those that this table's level looks at.
  private var shift: UInt64 { UInt64(12 + 9 * (level - 1)) }

  /// The entry for an address.
  func index(of address: UInt64) -> Int { Int(address >> shift & 511) }

  func translates(_ address: UInt64) -> Bool { level == 4 || (address &- base) >> (shift + 9) == 0 }

  /// Whether the other table is one of this one's next level.
  func contains(_ other: InitialLayout.Table) -> Bool { level == other.level + 1 && translates(other.base) }
}
