// SPDX-License-Identifier: Apache-2.0

/// What a PVH guest finds of itself in its first moment, all in one page (`struct hvm_start_info`, version 1).
/// Source: xen/include/public/arch-x86/hvm/start_info.h.
struct PhysicalStartInfo {
  /// A piece of guest-physical addresses, and what it is for, in the numbers of the e820 map.
  struct Region: Hashable {
    enum Kind: UInt32 {
      case memory = 1
      case reserved = 2
      case tables = 3
    }
    /// Bytes.
    var range: Range<UInt64>
    var kind: Kind
  }

  var memoryMap: [Region]
  /// The RAM disk's bytes; nil if there is none.
  var ramdisk: Range<UInt64>?
  var commandLine: String
  /// The address of the ACPI tables' root pointer.
  var tables: UInt64

  static let magic: UInt32 = 0x336e_c578
  /// Bytes that the kernel's command line may have: what Linux has room for, less a zero.
  static let maximumCommandLine = 2047

  private static let moduleOffset = 0x40
  private static let mapOffset = 0x80
  private static let commandLineOffset = 0x400

  /// The page's content.
  /// - Parameter address: where it lies, guest-physical.
  func bytes(at address: UInt64) -> [UInt8] {
    var page = TableBytes()
    page.append(Self.magic)
    page.append(UInt32(1))
    page.append(UInt32(0))
    page.append(UInt32(ramdisk == nil ? 0 : 1))
    page.append(ramdisk == nil ? 0 : address + UInt64(Self.moduleOffset))
    page.append(address + UInt64(Self.commandLineOffset))
    page.append(tables)
    page.append(address + UInt64(Self.mapOffset))
    page.append(UInt32(memoryMap.count))
    page.append(UInt32(0))
    page.fill(to: Self.moduleOffset)
    if let ramdisk {
      for word in [ramdisk.lowerBound, UInt64(ramdisk.count), 0, 0] { page.append(word) }
    }
    page.fill(to: Self.mapOffset)
    for region in memoryMap {
      page.append(region.range.lowerBound)
      page.append(UInt64(region.range.count))
      page.append(region.kind.rawValue)
      page.append(UInt32(0))
    }
    page.fill(to: Self.commandLineOffset)
    page.bytes += Array(commandLine.utf8.prefix(Self.maximumCommandLine)) + [0]
    return page.bytes
  }
}

/// Bytes of a structure as they are put together.
struct TableBytes {
  var bytes: [UInt8] = []

  /// Appends a number, its lowest byte first.
  mutating func append(_ value: some FixedWidthInteger & UnsignedInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }

  /// Appends zeros up to an offset.
  mutating func fill(to offset: Int) {
    precondition(bytes.count <= offset, "what stands before \(offset) is too long")
    bytes += [UInt8](repeating: 0, count: offset - bytes.count)
  }
}
