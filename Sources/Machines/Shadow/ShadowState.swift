// SPDX-License-Identifier: Apache-2.0
//
// What the optimised shadow keeps, all of it allocated at the beginning.

import Interfaces

/// How a frame stands to the guest's page tables.
enum SyncState: UInt8 {
  case plain, closing, inSync, outOfSync
}

/// What is known of each machine frame.
struct ShadowFrame {
  var sync = SyncState.plain
  var maps = false
  var writes = false
  var isLeaving = false
  var isPinned = false
  /// The place among the tables out of sync, and one.
  var seat: UInt16 = 0
  /// Its shadows by level; 0 for none.
  var shadows: (UInt16, UInt16, UInt16, UInt16) = (0, 0, 0, 0)
  /// The level-1 shadow entries that map it: lists of those that let the guest write, and of those that do not.
  var writers: UInt32 = 0
  var readers: UInt32 = 0

  @inline(__always) func shadow(at level: Int) -> Int {
    switch level {
    case 0: Int(shadows.0)
    case 1: Int(shadows.1)
    case 2: Int(shadows.2)
    default: Int(shadows.3)
    }
  }
  @inline(__always) mutating func setShadow(_ page: Int, at level: Int) {
    switch level {
    case 0: shadows.0 = UInt16(page)
    case 1: shadows.1 = UInt16(page)
    case 2: shadows.2 = UInt16(page)
    default: shadows.3 = UInt16(page)
    }
  }
  @inline(__always) var hasShadow: Bool { shadows.0 | shadows.1 | shadows.2 | shadows.3 != 0 }
  /// R1: shadowed as one level-1 table, and as nothing else.
  @inline(__always) var isOnlyLeaf: Bool { shadows.0 != 0 && shadows.1 | shadows.2 | shadows.3 == 0 }
  @inline(__always) var isBehind: Bool { sync == .closing || sync == .outOfSync }
  /// Whether a shadow may let the guest write to it (R2, R11).
  @inline(__always) var isWritable: Bool { (sync == .plain || sync == .outOfSync) && writes && !isLeaving }
}

/// What is known of each shadow page. Pages are numbered from 1.
struct ShadowPage {
  var isUsed = false
  /// It was used since the eviction's hand last came by.
  var isRecent = false
  /// It is being evicted.
  var isDoomed = false
  var level: UInt8 = 0
  var links: UInt16 = 0
  var frame = MachineFrame(0)
  /// The list of entries that lead to it.
  var parents: UInt32 = 0
}

/// A level-1 shadow entry that lets the guest write to a table out of sync.
struct ShadowFixup: Equatable {
  var isUsed = false
  var slot: UInt16 = 0
  var frame = MachineFrame(0)
}

/// A place for a table out of sync.
struct ShadowSeat {
  var isUsed = false
  /// Which of the two fix-ups goes next.
  var second = false
  var frame = MachineFrame(0)
  var fixups: (ShadowFixup, ShadowFixup) = (ShadowFixup(), ShadowFixup())
}

/// A vCPU.
struct ShadowProcessor {
  var isLoaded = false
  var isReflected = false
  /// Which of its places goes next.
  var hand: UInt8 = 0
  var root = MachineFrame(0)
  /// Of the latest fault that was reflected.
  var address = VirtualAddress(0)
}

/// What the shadow has done.
public struct ShadowStatistics: Sendable, Hashable {
  public var faults = 0
  public var pulls = 0
  public var unsyncs = 0
  public var resyncs = 0
  public var evictions = 0
  /// Runs of the stub, and what they stored.
  public var batches = 0
  public var downgrades = 0

  public init() {}
}

/// One shadow entry: the page, then the slot. None is 0, for pages begin with 1.
typealias EntryNumber = UInt32
