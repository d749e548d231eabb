// SPDX-License-Identifier: Apache-2.0

import Hypervisor

/// The ACPI tables of a PVH guest: its processors, and that there is no other hardware but a switch to turn it off.
/// Source: ACPI specification 6.5, sections 5.2.5 to 5.2.12.
struct ACPITables {
  var processorCount: Int

  private static let rootSize = 36
  private static let headerSize = 36

  /// All tables in one piece, the root pointer first.
  /// - Parameter address: where they are to lie, guest-physical; a multiple of 16.
  func bytes(at address: UInt64) -> [UInt8] {
    var all = TableBytes()
    all.fill(to: Self.rootSize)
    func place(_ table: [UInt8]) -> UInt64 {
      all.fill(to: (all.bytes.count + 15) & ~15)
      defer { all.bytes += table }
      return address + UInt64(all.bytes.count)
    }
    let definitions = place(Self.table("DSDT", revision: 2, Self.switchOff))
    let fixed = place(Self.table("FACP", revision: 6, Self.fixed(definitions)))
    let processors = place(Self.table("APIC", revision: 5, self.processors))
    var list = TableBytes()
    for table in [fixed, processors] { list.append(table) }
    let root = place(Self.table("XSDT", revision: 1, list.bytes))
    all.bytes.replaceSubrange(..<Self.rootSize, with: Self.rootPointer(root))
    return all.bytes
  }

  private static let maker = Array("LOCKST".utf8)

  /// A table with its header.
  private static func table(_ signature: String, revision: UInt8, _ content: [UInt8]) -> [UInt8] {
    var table = TableBytes(bytes: Array(signature.utf8))
    table.append(UInt32(headerSize + content.count))
    table.append(revision)
    table.append(UInt8(0))
    table.bytes += maker + Array("LOCKSTEP".utf8)
    table.append(UInt32(1))
    table.bytes += Array("LOCK".utf8)
    table.append(UInt32(1))
    table.bytes += content
    table.bytes[9] = checksum(table.bytes)
    return table.bytes
  }

  /// What makes the sum of all bytes 0.
  private static func checksum(_ bytes: some Sequence<UInt8>) -> UInt8 { 0 &- bytes.reduce(0, &+) }

  private static func rootPointer(_ list: UInt64) -> [UInt8] {
    var root = TableBytes(bytes: Array("RSD PTR ".utf8) + [0] + maker + [2])
    root.append(UInt32(0))
    root.append(UInt32(rootSize))
    root.append(list)
    root.append(UInt32(0))
    root.bytes[8] = checksum(root.bytes.prefix(20))
    root.bytes[32] = checksum(root.bytes)
    return root.bytes
  }

  /// FADT: nothing but where the definitions lie, and the switch; offsets count from the table's beginning.
  private static func fixed(_ definitions: UInt64) -> [UInt8] {
    var table = TableBytes()
    table.fill(to: headerSize)
    table.append(UInt32(0))
    table.append(UInt32(truncatingIfNeeded: definitions))
    table.fill(to: 109)
    // Neither a display nor a clock of the PC's.
    table.append(UInt16(1 << 2 | 1 << 5))
    table.fill(to: 112)
    // WBINVD works; buttons are no fixed hardware; no other is there (HW_REDUCED_ACPI).
    table.append(UInt32(1 << 0 | 1 << 4 | 1 << 5 | 1 << 20))
    table.fill(to: 140)
    table.append(definitions)
    table.fill(to: 244)
    for port in [SleepPort.control, SleepPort.status] {
      // A port, 8 bits, accessed by bytes.
      table.bytes += [1, 8, 0, 1]
      table.append(UInt64(port))
    }
    table.fill(to: 276)
    return Array(table.bytes[headerSize...])
  }

  /// MADT: a local APIC for each processor, and no PC's interrupt controllers.
  private var processors: [UInt8] {
    var table = TableBytes()
    table.append(UInt32(0xfee0_0000))
    table.append(UInt32(0))
    for number in 0..<UInt8(clamping: processorCount) {
      table.bytes += [0, 8, number, number]
      table.append(UInt32(1))
    }
    return table.bytes
  }

  /// AML: Name (\_S5, Package () { off, off, 0, 0 }).
  private static let switchOff: [UInt8] =
    [0x08] + Array("_S5_".utf8) + [0x12, 8, 4, 0x0a, SleepPort.off, 0x0a, SleepPort.off, 0, 0]
}
