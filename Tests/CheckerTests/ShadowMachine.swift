// SPDX-License-Identifier: Apache-2.0

import Logic

enum FrameSort: IdentitySort {
  static let sort = Sort.identity("Frame", realBits: 28, scopeCount: 2)
}
typealias Frame = ID<FrameSort>

enum SlotSort: IdentitySort {
  static let sort = Sort.identity("Slot", realBits: 9, scopeCount: 1)
}
typealias Slot = ID<SlotSort>

enum ProcessorSort: IdentitySort {
  static let sort = Sort.identity("Processor", realBits: 8, scopeCount: 1)
}
typealias Processor = ID<ProcessorSort>

/// A translation: absent, or of a frame, readable or writable.
struct Translation: Record {
  var present = Bit(false)
  var writable = Bit(false)
  var target = Frame(0)
  static var fields: [Field<Translation>] { [Field(\.present), Field(\.writable), Field(\.target)] }

  /// Whether every right that `self` gives, `other` gives.
  func isWithin(_ other: Translation) -> Bit {
    present.implies(other.present && target == other.target && writable.implies(other.writable))
  }
  func maps(_ frame: Frame) -> Bit { present && writable && target == frame }
  func without(writingTo frame: Frame) -> Translation {
    var result = self
    result.writable = writable && target != frame
    return result
  }
}

/// A processor, a guest entry, and a translation that it may have held.
struct Permission: TableKey {
  var processor: Processor
  var frame: Frame
  var slot: Slot
  var translation: Translation

  init(_ processor: Processor, _ frame: Frame, _ slot: Slot, _ translation: Translation) {
    self.processor = processor
    self.frame = frame
    self.slot = slot
    self.translation = translation
  }
  static var sorts: [Sort] {
    [Processor.sort, Frame.sort, Slot.sort] + Translation.scalars.map(\.sort)
  }
  init(keyNodes nodes: [Node]) {
    processor = Processor(node: nodes[0])
    frame = Frame(node: nodes[1])
    slot = Slot(node: nodes[2])
    translation = Translation(nodes: Array(nodes[3...]))
  }
  var keyNodes: [Node] { [processor.node, frame.node, slot.node] + translation.nodes }
}

enum Kind: ChoiceSort { case none, leaf, upper }

/// Shadow page tables with leaves out of sync, over an abstract MMU stated entry by entry: the stress test of the
/// induction engine, at 2²⁸ frames of 2⁹ entries and 2⁸ processors.
class ShadowMachine: Machine {
  @Var var guest: Table<Translation, Pair<Frame, Slot>>
  @Var var shadow: Table<Translation, Pair<Frame, Slot>>
  @Var var cached: Table<Translation, Triple<Processor, Frame, Slot>>
  @Var var kind: Table<Choice<Kind>, Frame>
  @Var var outOfSync: Table<Bit, Frame>
  /// The guest entry that a shadow entry was made from.
  @Ghost var shadowSource: Table<Translation, Pair<Frame, Slot>>
  @Ghost var cachedSource: Table<Translation, Triple<Processor, Frame, Slot>>
  /// The values that a processor may no longer use: it flushed, and the entry has not held them since.
  @Ghost var forgotten: Table<Bit, Permission>

  func isAllowed(
    _ processor: Processor, _ frame: Frame, _ slot: Slot, _ translation: Translation
  ) -> Bit {
    !forgotten[Permission(processor, frame, slot, translation)]
  }

  func isInSync(_ frame: Frame) -> Bit { kind[frame] != .none && !outOfSync[frame] }

  /// A guest entry as the shadow may hold it: not writable if that is a table kept in sync.
  func projected(_ entry: Translation) -> Translation {
    var result = entry
    result.writable = entry.writable && !isInSync(entry.target)
    return result
  }

  func guestStore(
    processor: Processor, through: Frame, at: Slot, slot: Slot, present: Bit, writable: Bit, target: Frame
  ) {
    let path = cached[processor, through, at]
    require(path.present && path.writable)
    var entry = Translation()
    entry.present = present
    entry.writable = writable
    entry.target = target
    guest[path.target, slot] = entry
    forgotten.update { (permission: Permission, old: Bit) in
      old
        && !(permission.frame == path.target && permission.slot == slot && permission.translation == entry)
    }
  }

  func unsync(table: Frame, frame: Frame, slot: Slot) {
    let entry = guest[frame, slot]
    require(kind[table] == .leaf && !outOfSync[table])
    require(kind[frame] == .leaf && !outOfSync[frame] && entry.maps(table))
    outOfSync[table] = true
    shadow[frame, slot] = entry
    shadowSource[frame, slot] = entry
  }

  func pullThrough(frame: Frame, slot: Slot) {
    require(kind[frame] != .none && !shadow[frame, slot].present)
    shadow[frame, slot] = projected(guest[frame, slot])
    shadowSource[frame, slot] = guest[frame, slot]
  }

  func resync(table: Frame) {
    require(outOfSync[table])
    outOfSync[table] = false
    let guest = guest
    shadow.update { frame, slot, old in
      var own = self.projected(guest[frame, slot])
      own.present = own.present && old.present
      return choose(frame == table, own, old).without(writingTo: table)
    }
    shadowSource.update { frame, slot, old in choose(frame == table, guest[frame, slot], old) }
    flushAll()
  }

  func flushAll() { cached.update { (_, _, _, _) in Translation() } }

  func fill(processor: Processor, frame: Frame, slot: Slot) {
    require(kind[frame] != .none && shadow[frame, slot].present)
    cached[processor, frame, slot] = shadow[frame, slot]
    cachedSource[processor, frame, slot] = shadowSource[frame, slot]
  }

  func requireInSync() { requireAll { (frame: Frame) in !self.outOfSync[frame] } }

  func flush(processor: Processor) {
    requireInSync()
    let guest = guest
    cached.update { who, _, _, old in choose(who == processor, Translation(), old) }
    forgotten.update { (permission: Permission, old: Bit) in
      choose(
        permission.processor == processor,
        permission.translation != guest[permission.frame, permission.slot], old)
    }
    shadowSource.update { frame, slot, _ in guest[frame, slot] }
  }

  func promote(table: Frame, to: Choice<Kind>) {
    require(kind[table] == .none && to != .none)
    kind[table] = to
    dropWrites(to: table)
    flushAll()
  }

  func dropWrites(to table: Frame) { shadow.update { _, _, old in old.without(writingTo: table) } }

  func unshadow(table: Frame) {
    require(kind[table] != .none)
    kind[table] = Choice(.none)
    outOfSync[table] = false
    shadow.update { frame, _, old in choose(frame == table, Translation(), old) }
    flushAll()
  }

  override var actions: [Action] {
    [
      action("guestStore(processor:through:at:slot:present:writable:target:)", guestStore),
      action("unsync(table:frame:slot:)", unsync), action("pullThrough(frame:slot:)", pullThrough),
      action("resync(table:)", resync), action("fill(processor:frame:slot:)", fill),
      action("flush(processor:)", flush), action("promote(table:to:)", promote),
      action("unshadow(table:)", unshadow),
    ]
  }

  override var invariants: [Invariant] {
    [
      invariant("no shadow entry writes to a table in sync") { (table: Frame, frame: Frame, slot: Slot) in
        self.isInSync(table).implies(!self.shadow[frame, slot].maps(table))
      },
      invariant("no cached translation writes to a table in sync") {
        (table: Frame, processor: Processor, frame: Frame, slot: Slot) in
        self.isInSync(table).implies(!self.cached[processor, frame, slot].maps(table))
      },
      invariant("only leaves go out of sync") { (table: Frame) in
        self.outOfSync[table].implies(self.kind[table] == .leaf)
      },
      invariant("in sync, the shadow is within the guest's entry") { (frame: Frame, slot: Slot) in
        self.isInSync(frame).implies(self.shadow[frame, slot].isWithin(self.guest[frame, slot]))
      },
      invariant("a shadow entry comes from an allowed one") {
        (processor: Processor, frame: Frame, slot: Slot) in
        let (entry, source) = (self.shadow[frame, slot], self.shadowSource[frame, slot])
        return entry.isWithin(source)
          && entry.present.implies(self.isAllowed(processor, frame, slot, source))
      },
      invariant("a cached translation comes from an allowed entry") {
        (processor: Processor, frame: Frame, slot: Slot) in
        let (entry, source) = (
          self.cached[processor, frame, slot], self.cachedSource[processor, frame, slot]
        )
        return entry.isWithin(source)
          && entry.present.implies(self.isAllowed(processor, frame, slot, source))
      },
      invariant("the present entry is allowed") { (processor: Processor, frame: Frame, slot: Slot) in
        self.isAllowed(processor, frame, slot, self.guest[frame, slot])
      },
      invariant("frames without a shadow have no shadow entries") { (frame: Frame, slot: Slot) in
        (self.kind[frame] == .none).implies(!self.shadow[frame, slot].present)
      },
    ]
  }
}

/// Forgets to flush the processors' translations when a table comes back into sync.
final class ShadowWithoutFlush: ShadowMachine {
  override func flushAll() {}
}

/// Flushes while tables are out of sync.
final class ShadowFlushedOutOfSync: ShadowMachine {
  override func requireInSync() {}
}

/// Shadows a page as a table while it is mapped writable.
final class ShadowPromotedWritable: ShadowMachine {
  override func dropWrites(to table: Frame) {}
}
