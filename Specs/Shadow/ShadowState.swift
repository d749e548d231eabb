// SPDX-License-Identifier: Apache-2.0

import Logic

/// The state of one domain's shadow page tables, and the definitions that the steps in `Shadow` are made of.
public class ShadowState: Machine {
  public typealias Processor = ID<ShadowProcessorSort>
  public typealias Position = Word<PositionSort>
  public typealias LinkCount = Word<LinkCountSort>
  public typealias PageCount = Word<PageCountSort>

  @Var(anyOf: Choice<SyncPolicy>.self) var policy: Choice<SyncPolicy>
  /// The domain's memory, read as page tables.
  @Var var guest: Table<GuestEntry, Pair<Frame, Slot>>
  @Var var reach: Table<Reach, Frame>
  @Var var sync: Table<Choice<Sync>, Frame>
  /// Whether a frame has a shadow, by level: a frame may be a table at several.
  @Var var exists: Table<Bit, Pair<Frame, Level>>
  /// The tables that processors walk, as the hypervisor decided them.
  @Var var shadow: Table<Translation, Place>
  /// Downgrades decided and not yet stored by the ring-0 stub.
  @Var var queued: Table<Bit, Place>
  /// What a processor may go on using: its TLB, and what KVM derived from the shadow for it.
  @Var var cached: Table<Translation, Joined<Processor, Place>>
  @Var var roots: Table<Root, Processor>
  @Var var pinned: Table<Bit, Frame>

  /// A table out of sync as it was when its shadow was last right.
  @Var var snapshot: Table<GuestEntry, Pair<Frame, Slot>>
  @Var var outOfSync: Table<OutOfSync, Frame>
  @Var var seats: Table<Seat, Pair<Processor, Position>>

  /// The references on each shadow; members are the entries one level above that lead to it.
  let links = Census<Pair<Frame, Level>, Place, LinkCountSort>()
  /// The shadow pages in use; members are shadows.
  let pages = Census<Choice<ShadowMemory>, Pair<Frame, Level>, PageCountSort>()
  /// How many shadow pages the domain has.
  @Var var capacity: PageCount
  /// How many pages may be in use when the operation under way is done; 0 between operations.
  @Var var promised: PageCount

  /// The abstract MMU: what each entry has offered since the processor last flushed it.
  @Ghost var offered: Table<Bit, Offer>

  // MARK: Reading

  func translation(cachedBy processor: Processor, at place: Place) -> Translation {
    cached[Joined(processor, place)]
  }

  /// Whether a table's shadow may be behind: nothing that the guest asks to be flushed is, until it is in sync.
  func isBehind(_ frame: Frame) -> Bit { sync[frame].isOne(of: .closing, .outOfSync) }

  /// Whether a shadow may let the guest write to the frame (R2, R11).
  func isWritable(_ frame: Frame) -> Bit {
    sync[frame].isOne(of: .plain, .outOfSync) && reach[frame].writes && !reach[frame].isLeaving
  }

  /// A guest's level-1 entry as its shadow may be.
  func projected(_ entry: GuestEntry) -> Translation {
    var result = entry.translation(at: 0)
    let isReached = reach[result.target].maps && !reach[result.target].isLeaving
    result.writable = result.writable && isWritable(result.target)
    return choose(result.present && isReached, result, Translation())
  }

  /// A shadow entry of a table that comes back into sync: only what changed since the snapshot is looked at.
  func resynced(_ old: Translation, _ entry: GuestEntry, since snapshot: GuestEntry) -> Translation {
    choose(entry == snapshot, old, old.restricted(to: entry.translation(at: 0)))
  }

  // MARK: Writing

  /// A store to the domain's memory, whoever makes it.
  func write(_ frame: Frame, _ slot: Slot, _ entry: GuestEntry) {
    guest[frame, slot] = entry
    offered.update { offer, old in
      old
        || (offer.place.frame == frame && offer.place.slot == slot
          && entry.offers(offer.translation, at: offer.place.level))
    }
  }

  /// What a fault does to a guest's entry that it uses, as the processor would.
  func touch(_ frame: Frame, _ slot: Slot, dirty: Bit) {
    var entry = guest[frame, slot]
    entry.accessed = true
    entry.dirty = entry.dirty || dirty
    write(frame, slot, entry)
    when(isBehind(frame)) { snapshot[frame, slot] = entry }
  }

  /// Takes rights out of the shadow's entries. They are gone when the stub has stored what is queued.
  func lower(_ body: (Place, Translation) -> Translation) {
    let before = shadow
    shadow.update(body)
    let after = shadow
    queued.update { place, old in old || !before[place].isWithin(after[place]) }
  }
  func lower(_ place: Place, to new: Translation) {
    let old = shadow[place]
    shadow[place] = new
    queued[place] = queued[place] || !old.isWithin(new)
  }

  /// Takes from every shadow entry the right to write to a frame: what a reverse map finds without a scan.
  func lowerWrites(to frame: Frame) {
    lower { place, old in choose(place.level == 0, old.without(writingTo: frame), old) }
  }

  /// Forgets what entries offered a processor, but for what they offer now.
  func forget(_ processor: Processor, _ isFlushed: (Place) -> Bit) {
    let guest = guest
    offered.update { offer, old in
      let now = guest[offer.place.frame, offer.place.slot]
      return choose(
        offer.processor == processor && isFlushed(offer.place),
        now.offers(offer.translation, at: offer.place.level), old)
    }
  }

  // MARK: Asking

  /// That the stub has stored every downgrade (R6).
  func requireStored() {
    requireAll("R6") { (f: Frame, l: Level, s: Slot) in !self.queued[Place(f, l, s)] }
  }

  /// That every table is in sync, in the shadow and for the processors (R5).
  func requireResynced() {
    requireAll("R5") { (f: Frame) in !self.isBehind(f) }
    requireStored()
  }

  /// That a frame is shadowed as one level-1 table, and as nothing else (R1).
  func requireOnlyLeaf(_ frame: Frame) {
    requireAll("R1") { (l: Level) in self.exists[frame, l] == (l == 0) }
  }

  /// That no processor walks from a shadow (R9).
  func requireUnloaded(_ frame: Frame, _ level: Level) {
    requireAll("R9") { (p: Processor) in
      !(level == .max && self.roots[p].isLoaded && self.roots[p].frame == frame)
    }
  }
}
