// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// One entry of a 4-level x86-64 page table. Source: Intel SDM volume 3, section 4.5.
struct PageTableEntry: RawRepresentable, Hashable {
  var rawValue: UInt64
  init(rawValue: UInt64) { self.rawValue = rawValue }
  init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// An entry that maps, or points to, a frame.
  init(_ frame: MachineFrame, _ flags: UInt64) { rawValue = frame.rawValue << 12 & Self.frameMask | flags }

  static let present: UInt64 = 1 << 0
  static let writable: UInt64 = 1 << 1
  static let user: UInt64 = 1 << 2
  static let accessed: UInt64 = 1 << 5
  static let dirty: UInt64 = 1 << 6
  /// In a level-2 or level-3 entry: maps a large page.
  static let large: UInt64 = 1 << 7
  static let noExecute: UInt64 = 1 << 63
  /// Where the frame's number stands, shifted by 12.
  static let frameMask: UInt64 = 0x000f_ffff_ffff_f000

  var frame: MachineFrame { MachineFrame((rawValue & Self.frameMask) >> 12) }

  func has(_ flag: UInt64) -> Bool { rawValue & flag != 0 }
  var isPresent: Bool { has(Self.present) }
}

extension VirtualAddress {
  /// The index into a table of level 4 … 1.
  func tableIndex(_ level: Int) -> Int { Int(rawValue >> UInt64(3 + 9 * level)) & 0x1ff }

  /// Whether bits 63 … 47 are equal.
  var isCanonical: Bool { (Int64(bitPattern: rawValue) << 16) >> 16 == Int64(bitPattern: rawValue) }

  /// Whether the address lies in the part of the address space that the ABI reserves for the hypervisor (level-4
  /// slots 256 … 271): a guest's tables have no say there.
  var isHypervisors: Bool { isCanonical && (256...271).contains(tableIndex(4)) }
}

/// Entries in a table.
let entriesPerTable = 512
