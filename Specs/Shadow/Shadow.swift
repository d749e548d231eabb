// SPDX-License-Identifier: Apache-2.0
//
// Shadow page tables with level-1 tables out of sync ("Shadow-3"), of one domain.
//
// Processors never walk the guest's tables, but shadows of them, which the hypervisor fills at faults. What the
// guest may rely on is the *abstract MMU*: a processor may use any translation that the guest's entry offered since
// that processor last flushed it, and no other. It is stated entry by entry: a walk is a chain of entries. An entry
// offers nothing before its accessed bit is set, and no writing to a page before its dirty bit is.
//
// To keep up, the hypervisor write-protects the guest's tables, and does on the guest's behalf what it asks for by
// hypercall or by a store that faults. A level-1 table may instead go *out of sync*: its guest writes to it without
// a fault, its shadow lags behind like a TLB, and what is missing there is pulled through at a fault, entry by entry.
// It comes back into sync at the latest when somebody relies on it: write access goes first, and is gone for
// certain; then each entry that differs from the snapshot is looked at.
//
// A right given to the shadow takes effect at the next fault. A right taken stays with processors until a stub in
// ring 0 has stored the entry and flushed it (KVM derives tables of its own and does not see other stores), so
// downgrades are queued, and the queue is stored in one batch: every processor is out of the guest meanwhile.
//
// R1  Only level-1 tables go out of sync; a frame that is any other table too never does.
// R2  A table in sync has no writable mapping, neither in a shadow nor with a processor.
// R3  A processor uses only what the guest's entry offered since its last flush of that entry.
// R4  In sync, every right of a shadow is a right of the guest's entry; out of sync, of the snapshot's.
// R5  Tables come back into sync at CR3 load, flush, promotion and eviction.
// R6  A downgrade is relied on only when it is stored; what is stored, no processor exceeds.
// R7  Of a table out of sync every writable mapping is one of its two fix-ups, so that resync finds them.
// R8  At most three tables a processor are out of sync; none in Shadow-2, any number in Shadow-1.
// R9  References balance, and a shadow is freed only when no entry, no CR3, no pin and no processor leads to it.
// R10 Shadow memory is bounded, and an operation that is begun finds the pages that it needs.
// R11 A shadow maps only what the domain may reach, and a frame leaves only when no processor reaches it.
// R12 Guests store anything, through any writable translation that one of their processors holds.
//
// A guest's kernel and its user, each on a highest table of its own, are two processors here. Slots that the ABI keeps for
// the hypervisor are none of the guest's: no fault leads there, and what the guest writes there gives nothing.
//
// The three designs differ in `policy` alone. Each action is one step under the domain's lock; between two of them
// other processors run. A hypervisor's operation is several: promotion is protect, store, settle, create; resync is
// close, store, settle; a fault is prepare, create and link for each level that is missing, pull; eviction is unhook
// or clear, store, destroy.

import Logic

/// The specification of shadow page tables: read this file, then `ShadowState.swift` for what its words mean.
public class Shadow: ShadowState {
  // MARK: What guests and processors do

  /// A guest's store, through a translation that the processor holds (R12).
  func storeByGuest(
    processor: Processor, table: Frame, entry: Slot, slot: Slot, present: Bit, writable: Bit, user: Bit,
    noExecute: Bit, accessed: Bit, dirty: Bit, target: Frame
  ) {
    let path = translation(cachedBy: processor, at: Place(table, 0, entry))
    require(path.present && path.writable, "R12")
    write(path.target, slot, value(present, writable, user, noExecute, accessed, dirty, target))
  }

  /// A processor takes over an entry that it walks.
  func fill(processor: Processor, table: Frame, level: Level, slot: Slot) {
    let place = Place(table, level, slot)
    require(shadow[place].present)
    cached[Joined(processor, place)] = shadow[place]
  }

  // MARK: What the guest asks for

  /// An entry written by hypercall, or by a store that is emulated.
  func update(
    table: Frame, slot: Slot, present: Bit, writable: Bit, user: Bit, noExecute: Bit, accessed: Bit,
    dirty: Bit,
    target: Frame
  ) {
    require(reach[table].writes && !reach[table].isLeaving, "R11")
    requireAll("R9") { (l: Level) in l == 0 || !self.shadow[Place(table, l, slot)].present }
    let entry = value(present, writable, user, noExecute, accessed, dirty, target)
    write(table, slot, entry)
    when(!isBehind(table)) { revalidate(Place(table, 0, slot), entry) }
  }
  func revalidate(_ place: Place, _ entry: GuestEntry) {
    lower(place, to: shadow[place].restricted(to: entry.translation(at: 0)))
  }
  func value(
    _ present: Bit, _ writable: Bit, _ user: Bit, _ noExecute: Bit, _ accessed: Bit, _ dirty: Bit,
    _ target: Frame
  ) -> GuestEntry {
    var entry = GuestEntry()
    entry.present = present
    entry.writable = writable
    entry.user = user
    entry.noExecute = noExecute
    entry.accessed = accessed
    entry.dirty = dirty
    entry.target = target
    return choose(present, entry, GuestEntry())
  }

  func load(processor: Processor, table: Frame) {
    require(exists[table, .max], "R9")
    requireResynced()
    roots[processor].isLoaded = true
    roots[processor].frame = table
    forget(processor) { _ in true }
  }
  func flush(processor: Processor) {
    requireResynced()
    forget(processor) { _ in true }
  }
  /// One entry of an address that is flushed; the other levels' entries are flushed with it.
  func invalidate(processor: Processor, table: Frame, slot: Slot) {
    require(!isBehind(table), "R5")
    requireStored()
    forget(processor) { $0.frame == table && $0.slot == slot }
  }
  func pin(table: Frame) {
    require(exists[table, .max], "R9")
    pinned[table] = true
  }
  func unpin(table: Frame) { pinned[table] = false }

  // MARK: Faults

  /// Takes an entry of a level-1 table over into its shadow. `second` says which fix-up is used, if one is.
  func pull(table: Frame, slot: Slot, writes: Bit, second: Bit) {
    let entry = guest[table, slot]
    require(exists[table, 0] && entry.present && (!writes || entry.writable))
    requireAll("R8") { (f: Frame) in self.policy != .all || !self.isBehind(f) || f == entry.target }
    touch(table, slot, dirty: writes)
    let place = Place(table, 0, slot)
    let (old, new) = (shadow[place], projected(guest[table, slot]))
    require(old.isWithin(new), "R6")
    shadow[place] = new
    let isNewWay = new.writable && !old.writes(to: new.target) && sync[new.target] == .outOfSync
    when(isNewWay) { record(place, for: new.target, second: second) }
  }
  func record(_ place: Place, for table: Frame, second: Bit) {
    var fixup = Fixup()
    fixup.isUsed = true
    fixup.frame = place.frame
    fixup.slot = place.slot
    require(!choose(second, outOfSync[table].second, outOfSync[table].first).isUsed, "R7")
    when(second) {
      outOfSync[table].second = fixup
    } else: {
      outOfSync[table].first = fixup
    }
  }
  /// Takes a fix-up out of use: its entry loses the right to write.
  func dropFixup(table: Frame, second: Bit) {
    let fixup = choose(second, outOfSync[table].second, outOfSync[table].first)
    require(sync[table] == .outOfSync && fixup.isUsed)
    let place = Place(fixup.frame, 0, fixup.slot)
    lower(place, to: shadow[place].without(writingTo: table))
    when(second) {
      outOfSync[table].second = Fixup()
    } else: {
      outOfSync[table].first = Fixup()
    }
  }

  /// Lets an entry lead to the shadow of the table one level below.
  func link(table: Frame, level: Level, slot: Slot) {
    let entry = guest[table, slot]
    require(level != 0 && exists[table, level] && entry.present)
    require(exists[entry.target, level - 1] && !isFull(entry.target, level - 1), "R9")
    let place = Place(table, level, slot)
    require(!shadow[place].present, "R9")
    touch(table, slot, dirty: false)
    shadow[place] = guest[table, slot].translation(at: level)
    links.join(place, Pair(entry.target, level - 1))
  }
  func isFull(_ table: Frame, _ level: Level) -> Bit { links.isFull(Pair(table, level)) }

  /// An entry leads nowhere any more.
  func unhook(table: Frame, level: Level, slot: Slot) {
    let place = Place(table, level, slot)
    require(level != 0 && shadow[place].present, "R9")
    links.leave(place, linked(place))
    lower(place, to: Translation())
  }
  /// The shadow that an entry holds a reference on.
  func linked(_ place: Place) -> Pair<Frame, Level> { Pair(shadow[place].target, place.level - 1) }

  // MARK: In and out of sync

  func unsync(table: Frame, processor: Processor, position: Position) {
    require(policy != .none, "R8")
    require(sync[table] == .inSync, "R2")
    requireOnlyLeaf(table)
    sync[table] = Choice(.outOfSync)
    let guest = guest
    snapshot.update { frame, slot, old in choose(frame == table, guest[frame, slot], old) }
    outOfSync[table] = OutOfSync()
    when(policy == .few) { sit(table, processor, position) }
  }
  func sit(_ table: Frame, _ processor: Processor, _ position: Position) {
    require(position != .max && !seats[processor, position].isUsed, "R8")
    seats[processor, position].isUsed = true
    seats[processor, position].frame = table
    outOfSync[table].processor = processor
    outOfSync[table].position = position
  }

  /// Begins a resync: the guest loses write access to the table.
  func close(table: Frame) {
    require(sync[table] == .outOfSync)
    sync[table] = Choice(.closing)
    let fixups = outOfSync[table]
    lower { place, old in
      choose(place.level == 0 && fixups.names(place.frame, place.slot), old.without(writingTo: table), old)
    }
    when(policy == .few) { seats[fixups.processor, fixups.position] = Seat() }
    outOfSync[table] = OutOfSync()
  }
  /// Begins a promotion: the guest loses write access to a frame that is to be a table.
  func protect(frame: Frame) {
    require(sync[frame] == .plain)
    require(reach[frame].writes && !reach[frame].isLeaving, "R11")
    sync[frame] = Choice(.closing)
    lowerWrites(to: frame)
  }
  /// Ends a resync or a promotion: nobody writes any more, and the shadow catches up.
  func settle(table: Frame) {
    require(sync[table] == .closing)
    requireStored()
    let (guest, before) = (guest, snapshot)
    lower { place, old in
      let (now, then) = (guest[place.frame, place.slot], before[place.frame, place.slot])
      return choose(place.frame == table && place.level == 0, self.resynced(old, now, since: then), old)
    }
    snapshot.update { frame, _, old in choose(frame == table, GuestEntry(), old) }
    sync[table] = Choice(.inSync)
  }
  /// The stub stores what is queued, and flushes it, while every processor is out of the guest.
  func store() {
    let queue = queued
    cached.update { key, old in choose(queue[key.b], Translation(), old) }
    queued.update { _, _ in false }
  }

  // MARK: Shadow memory

  func resize(capacity: PageCount) {
    require(promised == 0 && pages.count[.init(.domain)] <= capacity, "R10")
    self.capacity = capacity
  }
  /// Makes sure of a page for each level before an operation begins.
  func prepare() {
    let end = pages.count[.init(.domain)] + PageCount(resizing: Level.max) + 1
    require(promised == 0, "R10")
    require(pages.count[.init(.domain)] < end && end <= capacity, "R10")
    promised = end
  }
  func finish() { promised = 0 }
  func create(table: Frame, level: Level) {
    require(sync[table] == .inSync, "R5")
    require(!exists[table, level], "R9")
    require(pages.count[.init(.domain)] < promised, "R10")
    exists[table, level] = true
    pages.join(Pair(table, level), .init(.domain))
  }
  /// Empties the shadow of a level-1 table.
  func clear(table: Frame) {
    lower { place, old in choose(place.frame == table && place.level == 0, Translation(), old) }
  }
  /// Frees a shadow page.
  func destroy(table: Frame, level: Level) {
    require(exists[table, level], "R9")
    require(promised == 0, "R10")
    require(sync[table] == .inSync, "R5")
    require(links.count[Pair(table, level)] == 0 && !(level == .max && pinned[table]), "R9")
    requireUnloaded(table, level)
    requireAll("R9") { (s: Slot) in !self.shadow[Place(table, level, s)].present }
    requireStored()
    exists[table, level] = false
    pages.leave(Pair(table, level), .init(.domain))
  }
  /// A frame is no table any more.
  func release(frame: Frame) {
    require(sync[frame] == .inSync, "R5")
    requireAll("R2") { (l: Level) in !self.exists[frame, l] }
    sync[frame] = Choice(.plain)
  }

  // MARK: Frames come and go

  func acquire(frame: Frame, writes: Bit) {
    require(!reach[frame].maps)
    reach[frame].maps = true
    reach[frame].writes = writes
  }
  func expel(frame: Frame) {
    require(reach[frame].maps && sync[frame] == .plain, "R11")
    reach[frame].isLeaving = true
    lower { place, old in choose(place.level == 0 && old.target == frame, Translation(), old) }
  }
  func surrender(frame: Frame) {
    require(reach[frame].isLeaving)
    requireStored()
    reach[frame] = Reach()
  }

  public override var actions: [Action] {
    [
      action(
        "storeByGuest(processor:table:entry:slot:present:writable:user:noExecute:accessed:dirty:target:)",
        storeByGuest),
      action("fill(processor:table:level:slot:)", fill),
      action(
        "update(table:slot:present:writable:user:noExecute:accessed:dirty:target:)", update),
      action("load(processor:table:)", load), action("flush(processor:)", flush),
      action("invalidate(processor:table:slot:)", invalidate),
      action("pin(table:)", pin), action("unpin(table:)", unpin),
      action("pull(table:slot:writes:second:)", pull), action("dropFixup(table:second:)", dropFixup),
      action("link(table:level:slot:)", link), action("unhook(table:level:slot:)", unhook),
      action("unsync(table:processor:position:)", unsync), action("close(table:)", close),
      action("protect(frame:)", protect), action("settle(table:)", settle), action("store()", store),
      action("resize(capacity:)", resize), action("prepare()", prepare), action("finish()", finish),
      action("create(table:level:)", create), action("clear(table:)", clear),
      action("destroy(table:level:)", destroy), action("release(frame:)", release),
      action("acquire(frame:writes:)", acquire), action("expel(frame:)", expel),
      action("surrender(frame:)", surrender),
    ]
  }
  public override var invariants: [Invariant] { claims + lemmas + censuses }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
}
