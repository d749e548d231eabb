// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic

/// The state of all grant tables of a host, and the definitions that the operations in `Grants` are made of.
public class GrantsState: Machine {
  @Var var life: Table<Choice<Life>, Domain>
  /// Which references a domain's table has grown to.
  @Var var covers: Table<Bit, Pair<Domain, Reference>>
  @Var var shared: Table<SharedEntry, Pair<Domain, Reference>>
  @Var var active: Table<ActiveEntry, Pair<Domain, Reference>>
  @Var var mappings: Table<Mapping, Pair<Domain, Handle>>
  @Var var frames: Table<FrameState, Frame>
  /// The four pin counts of each entry; members are the parts of mappings.
  let pins = Census<
    Triple<Domain, Reference, Choice<PinKind>>, Triple<Domain, Handle, Choice<Part>>, PinCountSort
  >()
  /// The references on each frame; members are mappings.
  let uses = Census<Frame, Pair<Domain, Handle>, UseCountSort>()

  /// Whether a domain stored to an entry otherwise than the protocol says.
  @Ghost var tampered: Table<Bit, Pair<Domain, Reference>>
  /// What a domain's life was before what it is.
  @Ghost var was: Table<Choice<Life>, Domain>
  /// Whether something was reached that no definition below allows.
  @Ghost var breached: Bit
  /// Whether a mapping was written across two page-table entries.
  @Ghost var straddling: Bit

  // MARK: What the rules mean

  /// A domain's next stage of life.
  func become(_ d: Domain, _ next: Life) {
    was[d] = life[d]
    life[d] = Choice(next)
  }

  /// Whether an entry is pinned at all; and for writing.
  func isPinned(_ d: Domain, _ r: Reference) -> Bit {
    pinCount(d, r, .hostRead) != 0 || pinCount(d, r, .deviceRead) != 0 || isPinnedForWriting(d, r)
  }
  func isPinnedForWriting(_ d: Domain, _ r: Reference) -> Bit {
    pinCount(d, r, .hostWrite) != 0 || pinCount(d, r, .deviceWrite) != 0
  }
  func pinCount(_ d: Domain, _ r: Reference, _ kind: PinKind) -> Word<PinCountSort> {
    pins.count[Triple(d, r, Choice(kind))]
  }
  func kind(_ part: Choice<Part>, readOnly: Bit) -> Choice<PinKind> {
    choose(
      part == .host, choose(readOnly, Choice(.hostRead), Choice(.hostWrite)),
      choose(readOnly, Choice(.deviceRead), Choice(.deviceWrite)))
  }

  /// Whether the pins that an entry has leave the shared entry to be consulted.
  func consults(_ d: Domain, _ r: Reference, writes: Bit) -> Bit {
    !isPinned(d, r) || (writes && !isPinnedForWriting(d, r))
  }

  /// Why an entry cannot be used, or okay: R1, R2, R5.
  func access(by caller: Domain, _ d: Domain, _ r: Reference, writes: Bit) -> Status {
    let entry = shared[d, r]
    let pinned = isPinned(d, r)
    let frame = choose(pinned, active[d, r].frame, entry.frame)
    return .first(
      (life[d] != .running, .badDomain),
      (!covers[d, r], .badReference),
      (isForeign(d, r, to: caller), .generalError),
      (consults(d, r, writes: writes) && entry.type != .permitAccess, .generalError),
      (consults(d, r, writes: writes) && entry.domain != caller, .generalError),
      (consults(d, r, writes: writes) && entry.bit2 && writes, .generalError),
      (!frames[frame].belongs(to: d), .generalError),
      (uses.isFull(frame), .generalError),
      otherwise: .okay)
  }

  /// The frame that a use of the entry reaches.
  func frame(_ d: Domain, _ r: Reference) -> Frame {
    choose(isPinned(d, r), active[d, r].frame, shared[d, r].frame)
  }

  /// Whether an entry is pinned for somebody else.
  func isForeign(_ d: Domain, _ r: Reference, to caller: Domain) -> Bit {
    isPinned(d, r) && active[d, r].domain != caller
  }

  /// Sets the flags that say how the entry is used, and fixes domain and frame at the first pin.
  func pin(_ d: Domain, _ r: Reference, writes: Bit) {
    when(!isPinned(d, r)) {
      active[d, r].domain = shared[d, r].domain
      active[d, r].frame = shared[d, r].frame
    }
    when(consults(d, r, writes: writes)) {
      shared[d, r].bit3 = true
      when(writes) { shared[d, r].bit4 = true }
    }
  }

  /// Clears the flags of uses that are over.
  func unflag(_ d: Domain, _ r: Reference) {
    when(!isPinnedForWriting(d, r)) { shared[d, r].bit4 = false }
    when(!isPinned(d, r)) {
      shared[d, r].bit3 = false
      active[d, r] = ActiveEntry()
    }
  }

  /// The definition of R1, from which the order of the operations' checks is independent: what is newly reached is
  /// permitted by the shared entry as it is; what is reached already, by the pins.
  func permits(_ caller: Domain, _ d: Domain, _ r: Reference, writes: Bit) -> Bit {
    let throughPins = isPinned(d, r) && active[d, r].domain == caller && (!writes || isPinnedForWriting(d, r))
    let throughEntry =
      shared[d, r].permits(caller, writes: writes) && (!isPinned(d, r) || active[d, r].domain == caller)
    return covers[d, r] && life[d] == .running && frames[frame(d, r)].belongs(to: d)
      && (throughPins || throughEntry)
  }

  func overflows(_ d: Domain, _ r: Reference, _ part: Part, _ readOnly: Bit) -> Bit {
    pins.isFull(Triple(d, r, kind(Choice(part), readOnly: readOnly)))
  }

  func joinPin(_ m: Domain, _ h: Handle, _ part: Part, _ d: Domain, _ r: Reference, _ readOnly: Bit) {
    pins.join(Triple(m, h, Choice(part)), Triple(d, r, kind(Choice(part), readOnly: readOnly)))
  }

  func leavePin(_ m: Domain, _ h: Handle, _ part: Part, _ d: Domain, _ r: Reference, _ readOnly: Bit) {
    pins.leave(Triple(m, h, Choice(part)), Triple(d, r, kind(Choice(part), readOnly: readOnly)))
  }

  /// A store outside the protocol; only its own table is a domain's to write.
  func tamper(_ d: Domain, _ r: Reference) {
    require(covers[d, r])
    tampered[d, r] = true
  }

  /// Whether an address at this offset is a page-table entry's.
  func isWhole(_ offset: EntryOffset) -> Bit { offset == 0 }

  /// Whether a domain's table reaches two entries.
  func covers(_ d: Domain, _ a: Reference, _ b: Reference) -> Bit { covers[d, a] && covers[d, b] }

  /// Whether an entry must stay where it is.
  func isBusy(_ d: Domain, _ r: Reference) -> Bit { isPinned(d, r) }

  /// Whether a handle names no mapping.
  func isFree(_ m: Domain, _ h: Handle) -> Bit { !mappings[m, h].isUsed }

  /// Whether unmapping some parts of a mapping ends it.
  func ends(_ mapping: Mapping, host: Bit, device: Bit) -> Bit {
    !(mapping.host && !host) && !(mapping.device && !device)
  }

  /// Whether unmapping some parts of a mapping drops its reference on the frame.
  func dropsReference(_ mapping: Mapping, host: Bit, device: Bit) -> Bit {
    ends(mapping, host: host, device: device)
  }

  /// Whether a frame is its owner's alone.
  func isUnused(_ f: Frame) -> Bit { uses.count[f] == 0 }
}
