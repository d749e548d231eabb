// SPDX-License-Identifier: Apache-2.0

import Logic

/// The state of a domain's dirty log, and the definitions that the steps in `DirtyLog` are made of.
public class DirtyLogState: Machine {
  public typealias Processor = ID<ShadowProcessorSort>

  @Var(anyOf: Choice<LogMethod>.self) var method: Choice<LogMethod>
  /// How many quiet reports it takes until write access goes.
  @Var(anyOf: Quiet.self) var limit: Quiet
  @Var var entries: Table<LogEntry, MappingPlace>
  @Var var held: Table<HeldEntry, Pair<Processor, MappingPlace>>
  /// Frames that something else than the shadow maps: a device model, a grant.
  @Var var isUnknown: Table<Bit, Frame>

  @Var var tracked: Table<Bit, Pair<Choice<Tracker>, Frame>>
  /// What the next report says.
  @Var var logged: Table<Bit, Pair<Choice<Tracker>, Frame>>

  /// A round is under way: entries are looked at, one after another; what the shadow does waits.
  @Var var isCollecting: Bit
  @Var var collected: Table<Bit, MappingPlace>
  /// Processors may hold more than memory has.
  @Var var isUnflushed: Bit

  @Var var stage: Choice<WatchStage>
  @Var var quiet: Quiet

  /// What was written since the last report that arrived, of what is tracked.
  @Ghost var written: Table<Bit, Pair<Choice<Tracker>, Frame>>
  /// Quiet reports since video memory was disturbed, up to `limit`.
  @Ghost var calm: Quiet
  /// Whether an entry has lost write access since it was made; and whether it had it again without a fault.
  @Ghost var lost: Table<Bit, MappingPlace>
  @Ghost var reopened: Table<Bit, MappingPlace>
  @Ghost var wasUnknown: Table<Bit, Frame>
  /// The entry through which a frame was written last.
  @Ghost var author: Table<MappingPlace, Frame>

  // MARK: What the rules mean

  private static var trackers: [Choice<Tracker>] { [Choice(.log), Choice(.video)] }

  func isTracked(_ f: Frame) -> Bit { tracked[Choice(.log), f] || tracked[Choice(.video), f] }

  /// Whether every report that the frame belongs in will have it.
  func isLogged(_ f: Frame) -> Bit {
    Self.trackers.map { tracked[$0, f].implies(logged[$0, f]) }.reduce(true) { $0 && $1 }
  }

  /// Whether an entry may let the guest write to the frame (R6), unnoticed or noticed already.
  func mayBeWritable(_ f: Frame) -> Bit {
    (stage == .writing || !tracked[Choice(.video), f]) && (method == .dirtyBit || isLogged(f))
  }

  /// Whether a frame is in a report however little is known of it.
  func isReported(_ t: Choice<Tracker>, _ f: Frame) -> Bit { tracked[t, f] && (logged[t, f] || isUnknown[f]) }

  // MARK: Steps in common

  /// A frame was written, or may have been: every tracker is to hear of it (R3).
  func log(_ f: Frame) {
    for t in Self.trackers { logged[t, f] = logged[t, f] || tracked[t, f] }
  }

  /// Video memory changes, or is about to.
  func thaw(_ f: Frame) {
    when(tracked[Choice(.video), f]) {
      stage = Choice(.writing)
      quiet = 0
      calm = 0
    }
  }

  /// What the guest, or a device, has done.
  func noteWritten(_ f: Frame) {
    for t in Self.trackers { written[t, f] = written[t, f] || tracked[t, f] }
  }

  /// Takes what an entry knows; what processors hold of it is then more than memory has (R4).
  func take(_ place: MappingPlace) {
    let entry = entries[place]
    when(method == .dirtyBit && entry.dirty) {
      log(entry.frame)
      entries[place].dirty = false
      isUnflushed = true
    }
    let closes = stage == .closing && tracked[Choice(.video), entry.frame]
    when((method == .writeProtection || closes) && entry.writable) {
      entries[place].writable = false
      lost[place] = true
      isUnflushed = true
    }
  }
}
