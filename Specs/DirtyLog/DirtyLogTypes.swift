// SPDX-License-Identifier: Apache-2.0

import Logic

public enum MappingSort: IdentitySort {
  /// An entry of the shadow page tables: of 2³² tables, 512 each.
  public static let sort = Sort.identity("Mapping", realBits: 41, scopeCount: 2)
}
public enum QuietSort: WordSort {
  /// Reports on end in which nothing had changed: two seconds at 30 a second are 60.
  public static let sort = Sort.word("Quiet", realBits: 8, scopeBits: 1)
}

public typealias MappingPlace = ID<MappingSort>
public typealias Quiet = Word<QuietSort>

/// Who asks what was written: each has frames of its own to watch, and gets reports of its own.
public enum Tracker: ChoiceSort {
  /// Log-dirty: migration, of all of a domain's memory.
  case log
  /// Video memory: a range.
  case video
}

/// How it is found out what was written.
public enum LogMethod: ChoiceSort {
  /// By the bit that processors set in an entry at the first write through it.
  case dirtyBit
  /// By the fault at the first write.
  case writeProtection
}

/// Where the watch of video memory stands.
public enum WatchStage: ChoiceSort {
  case writing
  /// The round that is under way, or the next, takes write access and a last look.
  case closing
  /// Nobody can write; there is nothing to look at.
  case frozen
}

/// An entry of the shadow page tables.
public struct LogEntry: Record {
  public var present: Bit = false
  /// Whether the guest's own entry lets it write.
  public var mayWrite: Bit = false
  public var writable: Bit = false
  public var dirty: Bit = false
  public var frame = Frame(0)

  public init() {}
  public static var fields: [Field<LogEntry>] {
    [Field(\.present), Field(\.mayWrite), Field(\.writable), Field(\.dirty), Field(\.frame)]
  }

  func maps(_ frame: Frame) -> Bit { present && self.frame == frame }
}

/// What a processor holds of an entry. One that is dirty is written through without a look at memory.
public struct HeldEntry: Record {
  public var present: Bit = false
  public var writable: Bit = false
  public var dirty: Bit = false
  public var frame = Frame(0)

  public init() {}
  init(_ entry: LogEntry) {
    present = entry.present
    writable = entry.writable
    dirty = entry.dirty
    frame = entry.frame
  }
  public static var fields: [Field<HeldEntry>] {
    [Field(\.present), Field(\.writable), Field(\.dirty), Field(\.frame)]
  }
}
