// SPDX-License-Identifier: Apache-2.0

import Logic

public enum LevelSort: WordSort {
  /// Level 0 is what the manuals call level 1: its entries map pages. The highest is the one that CR3 names. Explored
  /// with two levels.
  public static let sort = Sort.word("Level", realBits: 2, scopeBits: 1)
}
public enum SlotSort: IdentitySort {
  /// 512 entries of a table.
  public static let sort = Sort.identity("Slot", realBits: 9, scopeCount: 1)
}
public enum ShadowProcessorSort: IdentitySort {
  public static let sort = Sort.identity("Processor", realBits: 8, scopeCount: 1)
}
public enum PositionSort: WordSort {
  /// Places for tables out of sync; the largest value is not one, which leaves three.
  public static let sort = Sort.word("Position", realBits: 2, scopeBits: 1)
}
public enum LinkCountSort: WordSort {
  /// Up to 4095 entries lead to one shadow: `link` refuses more.
  public static let sort = Sort.word("LinkCount", realBits: 12, scopeBits: 2)
}
public enum PageCountSort: WordSort {
  /// Shadow memory of up to 4095 pages, nearly 16 MiB.
  public static let sort = Sort.word("PageCount", realBits: 12, scopeBits: 2)
}

public typealias Level = Word<LevelSort>
public typealias Slot = ID<SlotSort>

/// Who may go out of sync: the three designs that Xen had, in one module.
public enum SyncPolicy: ChoiceSort {
  /// Shadow-3: three level-1 tables a processor.
  case few
  /// Shadow-1: every level-1 table; each fault brings the others back into sync.
  case all
  /// Shadow-2: none; each store to a table faults and is emulated.
  case none
}

/// How a frame stands to the guest's page tables.
public enum Sync: ChoiceSort {
  /// No table, as far as the shadow knows; writable.
  case plain
  /// It is to be a table in sync: no shadow lets the guest write to it any more, but processors may still.
  case closing
  /// Nobody but the hypervisor writes to it.
  case inSync
  /// A level-1 table that the guest writes to without a fault.
  case outOfSync
}

/// An entry of the guest's tables. Source: Intel SDM volume 3, section 4.5; large pages are not offered to PV guests.
public struct GuestEntry: Record {
  public var present: Bit = false
  public var writable: Bit = false
  public var user: Bit = false
  public var noExecute: Bit = false
  public var accessed: Bit = false
  public var dirty: Bit = false
  public var target = Frame(0)

  public init() {}
  public static var fields: [Field<GuestEntry>] {
    [
      Field(\.present), Field(\.writable), Field(\.user), Field(\.noExecute), Field(\.accessed),
      Field(\.dirty), Field(\.target),
    ]
  }

  /// What a processor may make of the entry: nothing before it is accessed, no writing to a page before it is dirty.
  func translation(at level: Level) -> Translation {
    var result = Translation()
    result.present = present && accessed
    result.writable = writable && (dirty || level != 0)
    result.user = user
    result.executable = !noExecute
    result.target = target
    return choose(result.present, result, Translation())
  }

  /// Whether the entry gives all that a translation gives.
  func offers(_ translation: Translation, at level: Level) -> Bit {
    translation.isWithin(self.translation(at: level))
  }
}

/// What an entry of a shadow, or of a processor, translates to: a page, or the table one level below.
public struct Translation: Record {
  public var present: Bit = false
  public var writable: Bit = false
  public var user: Bit = false
  public var executable: Bit = false
  public var target = Frame(0)

  public init() {}
  public static var fields: [Field<Translation>] {
    [Field(\.present), Field(\.writable), Field(\.user), Field(\.executable), Field(\.target)]
  }

  /// Whether `other` gives all that `self` gives.
  func isWithin(_ other: Translation) -> Bit {
    present.implies(
      other.present && target == other.target && writable.implies(other.writable)
        && user.implies(other.user) && executable.implies(other.executable))
  }

  func writes(to frame: Frame) -> Bit { present && writable && target == frame }
  func maps(_ frame: Frame) -> Bit { present && target == frame }

  func without(writingTo frame: Frame) -> Translation {
    var result = self
    result.writable = writable && target != frame
    return result
  }

  /// What both give.
  func restricted(to other: Translation) -> Translation {
    var result = self
    result.writable = writable && other.writable
    result.user = user && other.user
    result.executable = executable && other.executable
    return choose(present && other.maps(target), result, Translation())
  }
}

/// An entry: of the guest frame's shadow at a level, and so of the guest's frame read at that level.
public struct Place: TableKey {
  public let frame: Frame
  public let level: Level
  public let slot: Slot

  public init(_ frame: Frame, _ level: Level, _ slot: Slot) {
    self.frame = frame
    self.level = level
    self.slot = slot
  }
  public static var sorts: [Sort] { [Frame.sort, Level.sort, Slot.sort] }
  public init(keyNodes: [Node]) {
    self.init(Frame(node: keyNodes[0]), Level(node: keyNodes[1]), Slot(node: keyNodes[2]))
  }
  public var keyNodes: [Node] { [frame.node, level.node, slot.node] }
}

/// A processor, an entry, and a translation that the entry may have offered it.
public struct Offer: TableKey {
  public let processor: ID<ShadowProcessorSort>
  public let place: Place
  public let translation: Translation

  public static var sorts: [Sort] {
    [ID<ShadowProcessorSort>.sort] + Place.sorts + Translation.scalars.dropFirst().map(\.sort)
  }
  public init(keyNodes: [Node]) {
    processor = ID(node: keyNodes[0])
    place = Place(keyNodes: Array(keyNodes[1...3]))
    var translation = Translation()
    translation.present = true
    translation.writable = Bit(node: keyNodes[4])
    translation.user = Bit(node: keyNodes[5])
    translation.executable = Bit(node: keyNodes[6])
    translation.target = Frame(node: keyNodes[7])
    self.translation = translation
  }
  public var keyNodes: [Node] { [processor.node] + place.keyNodes + translation.nodes.dropFirst() }
}

/// A place in the set of tables out of sync.
public struct Seat: Record {
  public var isUsed: Bit = false
  public var frame = Frame(0)

  public init() {}
  public static var fields: [Field<Seat>] { [Field(\.isUsed), Field(\.frame)] }
}

/// A level-1 shadow entry that lets the guest write to a table out of sync.
public struct Fixup: Record {
  public var isUsed: Bit = false
  public var frame = Frame(0)
  public var slot = Slot(0)

  public init() {}
  public static var fields: [Field<Fixup>] { [Field(\.isUsed), Field(\.frame), Field(\.slot)] }

  func names(_ frame: Frame, _ slot: Slot) -> Bit { isUsed && self.frame == frame && self.slot == slot }
}

/// What is kept of a table out of sync.
public struct OutOfSync: Record {
  public var processor = ID<ShadowProcessorSort>(0)
  public var position = Word<PositionSort>(0)
  public var first = Fixup()
  public var second = Fixup()

  public init() {}
  public static var fields: [Field<OutOfSync>] {
    [Field(\.processor), Field(\.position), Field(\.first), Field(\.second)]
  }

  /// Whether an entry is known to write to the table.
  func names(_ frame: Frame, _ slot: Slot) -> Bit { first.names(frame, slot) || second.names(frame, slot) }
}

/// What the domain may do with a frame: its own frames, and what others granted it.
public struct Reach: Record {
  public var maps: Bit = false
  public var writes: Bit = false
  /// The frame is about to leave: no new use is made of it.
  public var isLeaving: Bit = false

  public init() {}
  public static var fields: [Field<Reach>] { [Field(\.maps), Field(\.writes), Field(\.isLeaving)] }

  func allows(_ translation: Translation) -> Bit {
    translation.present.implies(maps && translation.writable.implies(writes))
  }
}

/// The table that a processor walks from.
public struct Root: Record {
  public var isLoaded: Bit = false
  public var frame = Frame(0)

  public init() {}
  public static var fields: [Field<Root>] { [Field(\.isLoaded), Field(\.frame)] }
}

/// The one owner of all shadow pages of a domain.
public enum ShadowMemory: ChoiceSort { case domain }
