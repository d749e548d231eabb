// SPDX-License-Identifier: Apache-2.0
//
// The dirty log: which frames a domain has written to since somebody last asked.
//
// Two ask: migration, of all memory (log-dirty), and the display, of the frames that are video memory. What was written
// is learnt from the shadow page tables: from the dirty bit that a processor sets in an entry at its first write
// through it, or from the fault at the first write to a frame whose entries are write-protected. Either is reset when
// it is taken, and either is *cached*: a processor that holds an entry as dirty, or as writable, goes on writing and
// tells nobody, until it is flushed. So a round takes entry after entry, then flushes, and only then hands the report
// over; what was written before that moment is in the report, for its reader looks at the frames afterwards.
//
// Video memory that nobody changes costs a walk over its entries at each report. Therefore, when nothing has changed for
// `limit` reports (two seconds), the next round takes write access from its entries too; if that finds nothing either,
// the range is *frozen*: reports are empty without a look. The first write faults, and thaws it.
//
// R1  What was written since a tracker's last report that arrived is in its next one.
// R2  A report that could not be handed over counts for nothing.
// R3  What is learnt for one tracker is every tracker's: none takes another's news away, none stops another.
// R4  An entry that was taken is relied on only when processors have been flushed since.
// R5  A frame that something else than the shadow maps is in every report, and once more when that ends.
// R6  Of frozen video memory nobody has a writable translation, in tables or held, and there is nothing to report.
// R7  A mapping that the guest has read-only stays so.
// R8  Write access goes only when nothing has changed for `limit` reports on end.
//
// Each action of the hypervisor's is one step under the domain's lock; processors run between any two.

import Logic

/// The specification of the dirty log: read this file, then `DirtyLogState.swift` for what its words mean.
public class DirtyLog: DirtyLogState {
  // MARK: Processors

  func fill(processor: Processor, place: MappingPlace) { held[processor, place] = HeldEntry(entries[place]) }
  /// A write through an entry that is held as dirty.
  func store(processor: Processor, place: MappingPlace) {
    let entry = held[processor, place]
    require(entry.present && entry.writable && entry.dirty)
    noteWritten(entry.frame)
    author[entry.frame] = place
  }
  /// Any other: the processor looks at the entry in memory, and marks it.
  func storeFirst(processor: Processor, place: MappingPlace) {
    let entry = entries[place]
    require(entry.present && entry.writable)
    entries[place].dirty = true
    held[processor, place] = HeldEntry(entries[place])
    noteWritten(entry.frame)
    author[entry.frame] = place
  }
  func evict(processor: Processor, place: MappingPlace) { held[processor, place] = HeldEntry() }

  // MARK: The shadow

  func map(place: MappingPlace, frame: Frame, writes: Bit) {
    require(!isCollecting && !entries[place].present)
    var entry = LogEntry()
    entry.present = true
    entry.mayWrite = writes
    entry.writable = writes && mayBeWritable(frame)
    entry.frame = frame
    entries[place] = entry
    lost[place] = false
    reopened[place] = false
  }
  func unmap(place: MappingPlace) {
    let entry = entries[place]
    when(method == .dirtyBit && entry.dirty) { log(entry.frame) }
    entries[place] = LogEntry()
    lost[place] = false
    reopened[place] = false
    isUnflushed = true
  }
  /// A write that faulted.
  func fault(place: MappingPlace) {
    let entry = entries[place]
    require(!isCollecting && entry.present && !entry.writable)
    require(entry.mayWrite, "R7")
    log(entry.frame)
    thaw(entry.frame)
    entries[place].writable = true
    reopened[place] = false
  }

  /// What lost write access for video memory's sake has it again, before anybody asks: of many entries, one faults.
  func reopen(place: MappingPlace) {
    let entry = entries[place]
    require(!isCollecting, "R4")
    require(entry.present && entry.mayWrite && !entry.writable)
    require(mayBeWritable(entry.frame), "R6")
    entries[place].writable = true
    reopened[place] = true
  }

  // MARK: Mappings that the shadow does not know

  func mapUnknown(frame: Frame) {
    isUnknown[frame] = true
    wasUnknown[frame] = true
    thaw(frame)
  }
  func unmapUnknown(frame: Frame) {
    require(isUnknown[frame])
    isUnknown[frame] = false
    log(frame)
  }
  func storeUnknown(frame: Frame) {
    require(isUnknown[frame])
    noteWritten(frame)
  }

  // MARK: Trackers

  /// A frame is watched from now on: what it holds now is news.
  func track(tracker: Choice<Tracker>, frame: Frame) {
    require(!isCollecting)
    tracked[tracker, frame] = true
    logged[tracker, frame] = true
    when(tracker == .video) { thaw(frame) }
  }
  func untrack(tracker: Choice<Tracker>, frame: Frame) {
    tracked[tracker, frame] = false
    logged[tracker, frame] = false
    written[tracker, frame] = false
  }

  // MARK: A round

  func begin() {
    isCollecting = true
    collected.update { _, _ in false }
  }
  func collect(place: MappingPlace) {
    collected[place] = true
    when(entries[place].present && isTracked(entries[place].frame)) { take(place) }
  }
  func flush() {
    held.update { (_: Processor, _: MappingPlace, _) in HeldEntry() }
    isUnflushed = false
  }
  /// Hands the report over. `changed` is a frame of video memory that is in it, where there is one.
  func deliver(tracker: Choice<Tracker>, arrives: Bit, isQuiet: Bit) {
    requireRound(tracker)
    when(tracker == .video) { age(isQuiet) }
    requireAll("R8") { (f: Frame) in
      isQuiet.implies(tracker == .video && !self.isReported(tracker, f))
    }
    when(arrives) {
      let (logged, unknown) = (logged, isUnknown)
      written.update { (t: Choice<Tracker>, f: Frame, old) in
        old && !(t == tracker && (logged[t, f] || unknown[f]))
      }
      self.logged.update { (t: Choice<Tracker>, _: Frame, old) in old && t != tracker }
    }
    isCollecting = false
  }
  /// That every entry of a tracker's was taken, and processors flushed since (R4).
  func requireRound(_ tracker: Choice<Tracker>) {
    require(isCollecting)
    requireTaken(tracker)
    require(!isUnflushed, "R4")
  }
  func requireTaken(_ tracker: Choice<Tracker>) {
    requireAll("R4") { (p: MappingPlace) in
      (self.entries[p].present && self.tracked[tracker, self.entries[p].frame]).implies(self.collected[p])
    }
  }
  /// How long video memory has been quiet.
  func age(_ isQuiet: Bit) {
    when(isQuiet) {
      quiet = choose(quiet == limit, quiet, quiet + 1)
      calm = choose(calm == limit, calm, calm + 1)
      when(stage == .closing) { stage = Choice(.frozen) }
    } else: {
      quiet = 0
      calm = 0
      stage = Choice(.writing)
    }
  }
  /// What follows when video memory has been quiet: the next round takes write access, and a last look.
  var closed: WatchStage { .closing }
  func close() {
    require(!isCollecting && stage == .writing)
    require(quiet == limit, "R8")
    stage = Choice(closed)
  }

  public override var actions: [Action] {
    [
      action("fill(processor:place:)", fill), action("store(processor:place:)", store),
      action("storeFirst(processor:place:)", storeFirst), action("evict(processor:place:)", evict),
      action("map(place:frame:writes:)", map), action("unmap(place:)", unmap), action("fault(place:)", fault),
      action("reopen(place:)", reopen),
      action("mapUnknown(frame:)", mapUnknown), action("unmapUnknown(frame:)", unmapUnknown),
      action("storeUnknown(frame:)", storeUnknown),
      action("track(tracker:frame:)", track), action("untrack(tracker:frame:)", untrack),
      action("begin()", begin), action("collect(place:)", collect), action("flush()", flush),
      action("deliver(tracker:arrives:isQuiet:)", deliver), action("close()", close),
    ]
  }
  public override var invariants: [Invariant] { claims + lemmas }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
  public override var assumptions: [Invariant] {
    [assume("it takes a quiet report until write access goes") { self.limit != 0 }]
  }
}
