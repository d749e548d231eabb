// SPDX-License-Identifier: Apache-2.0

import Logic

/// What the machines have in common: the state of a host as far as it decides who reaches which frame.
public class IsolationState: Machine {
  public typealias Processor = ID<ShadowProcessorSort>

  @Var var life: Table<Choice<Life>, Domain>
  /// Balloon's: whose each frame is.
  @Var var frames: Table<HostFrame, Frame>
  /// Grants': what domains permit, as their tables say now; and what is mapped.
  @Var var permits: Table<Bit, Permission>
  @Var var mappings: Table<MappedGrant, Pair<Domain, Handle>>
  /// The devices': what back ends hold pointers to, by the mapping that it came from.
  @Var var windows: Table<Window, Pair<Domain, Handle>>
  /// Shadow's: what a domain's shadows may map, and why.
  @Var var reach: Table<Reach, Pair<Domain, Frame>>
  @Var var reasons: Table<Reason, Pair<Domain, Frame>>
  /// What a processor may go on using until it is flushed: its TLB, and what KVM derived from the shadow for it. The
  /// rights that are not about frames (user, execute) are left at "no" here.
  @Var var usable: Table<Translation, Triple<Domain, Processor, VirtualPage>>

  /// Whose data may lie in a frame.
  @Ghost var holds: Table<Bit, Pair<Frame, Domain>>
  /// What a domain's life was before what it is.
  @Ghost var was: Table<Choice<Life>, Domain>
  /// What a reach rested on when it began.
  @Ghost var began: Table<Reason, Pair<Domain, Frame>>
  /// Who was given a frame last.
  @Ghost var rightful: Table<Domain, Frame>
  @Ghost var past: Table<Past, Frame>
  /// What a domain permitted since it came to be.
  @Ghost var permitted: Table<Bit, Permission>

  // MARK: What the machines guarantee, in the words of each

  /// Shadow, R11, for one translation: `reach` allows it.
  func isWithinReach(_ d: Domain, _ translation: Translation) -> Bit {
    reach[d, translation.target].allows(translation)
  }

  /// Grants, R1: the entry permits the access now, and the frame is its domain's.
  func isPermitted(_ granter: Domain, _ grantee: Domain, _ f: Frame, writes: Bit) -> Bit {
    allows(permits, granter, grantee, f, writes: writes) && frames[f].belongs(to: granter)
  }

  /// Grants, R5: nobody maps the frame.
  func requireUnmapped(_ f: Frame) {
    requireAll("R4") { (m: Domain, h: Handle) in
      !(self.mappings[m, h].isUsed && self.mappings[m, h].frame == f)
    }
  }

  /// Shadow, R11: no shadow may map the frame.
  func requireUnreached(_ f: Frame) {
    requireAll("R4") { (d: Domain) in !self.reach[d, f].maps }
  }

  /// Shadow, R11: no processor of the domain can use a translation to the frame.
  func requireUnusable(_ d: Domain, _ f: Frame) {
    requireAll("R1") { (p: Processor, v: VirtualPage) in !self.usable[Triple(d, p, v)].maps(f) }
  }

  /// Grants and Balloon, R10: a domain maps nothing, is mapped by nobody, and has no frame.
  func requireEmpty(_ d: Domain) {
    requireAll("R6") { (f: Frame) in !self.frames[f].belongs(to: d) }
    requireAll("R6") { (m: Domain, h: Handle) in
      !(self.mappings[m, h].isUsed && (m == d || self.mappings[m, h].granter == d))
    }
  }

  // MARK: What the rules mean

  /// A domain's next stage of life.
  func become(_ d: Domain, _ next: Life) {
    was[d] = life[d]
    life[d] = Choice(next)
  }

  /// Whether a reason carries a domain's reach of a frame.
  func carries(_ reason: Reason, _ d: Domain, _ f: Frame, writes: Bit) -> Bit {
    choose(
      reason.isOwnership, frames[f].belongs(to: d), mappings[d, reason.handle].reaches(f, writes: writes))
  }

  /// Whether an access is among those permitted: who may write may read.
  func allows(
    _ permissions: Table<Bit, Permission>, _ granter: Domain, _ grantee: Domain, _ f: Frame, writes: Bit
  ) -> Bit {
    permissions[Permission(granter, grantee, f, writes: true)]
      || (!writes && permissions[Permission(granter, grantee, f, writes: false)])
  }

  /// Whether a domain may see or change what is in a frame, whatever the way.
  func mayReach(_ d: Domain, _ f: Frame, writes: Bit) -> Bit {
    frames[f].isOwned && (frames[f].owner == d || allows(permitted, frames[f].owner, d, f, writes: writes))
  }

  /// Whether the shadows' reach of a frame rests on a mapping.
  func rests(_ d: Domain, on h: Handle) -> Bit {
    let f = mappings[d, h].frame
    return reach[d, f].maps && !reasons[d, f].isOwnership && reasons[d, f].handle == h
  }

  /// Whether a frame may be given to somebody else as it is.
  func isPresentable(_ f: Frame) -> Bit { frames[f].isClean }

  /// Takes every trace of whose data a frame held.
  func erase(_ f: Frame) {
    holds.update { (frame: Frame, _: Domain, old) in choose(frame == f, false, old) }
  }
}
