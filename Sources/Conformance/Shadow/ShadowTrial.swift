// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines

extension Trial {
  /// Shadow page tables under the three policies against their specification: a guest of two processors that uses,
  /// stores, flushes and asks for anything, while the other processor runs in the midst of what the hypervisor does; and
  /// shadow memory that does not suffice. The whole state is compared after every operation.
  public static func shadow(_ maker: ShadowMaker = .optimised) -> Trial {
    Trial("Shadow", makeRunner: { ShadowPlay(.small, maker, $0).run })
  }

  /// The same with four slots a table, more level-1 tables than can be out of sync, and more shadow memory. The
  /// whole state is compared after every fourth operation; steps as they are made.
  public static func crowdedShadow(_ maker: ShadowMaker = .optimised) -> Trial {
    Trial("Shadow, crowded", makeRunner: { ShadowPlay(.crowded, maker, $0).run })
  }
}

/// What a trial has. Its model is made once.
private struct ShadowSetting {
  /// Frames 0 … 2 are the tables above level 1, from the top down; these are the level-1 tables. All may be tables of
  /// any level.
  let leaves: Range<Int>
  let isCrowded: Bool
  let model: ShadowModel

  /// The lowest slot, and the last; at the top level that is the negative half.
  static let small = ShadowSetting(
    leaves: 3..<5, isCrowded: false, ShadowSizes(frames: 7, slots: [0, 511], vcpus: 2, pages: 9))
  static let crowded = ShadowSetting(
    leaves: 3..<8, isCrowded: true, ShadowSizes(frames: 10, slots: [0, 1, 300, 511], vcpus: 2, pages: 14))

  private init(leaves: Range<Int>, isCrowded: Bool, _ sizes: ShadowSizes) {
    (self.leaves, self.isCrowded) = (leaves, isCrowded)
    model = ShadowModel(sizes)
  }
}

/// One sequence of operations.
private final class ShadowPlay {
  private let setting: ShadowSetting
  private let sizes: ShadowSizes
  private let world: ShadowWorld
  private var choices = Choices([])
  private var outcome = TrialOutcome()
  private var isMeddled = false
  /// How sequences begin, by policy: made once, by the operations themselves.
  private var beginnings: [ShadowPolicy: ShadowWorld.Beginning] = [:]

  init(_ setting: ShadowSetting, _ maker: ShadowMaker, _ observer: (any StepObserver)?) {
    self.setting = setting
    sizes = setting.model.sizes
    world = ShadowWorld(setting.model, maker)
    world.oracle.observer = observer
  }

  func run(_ bytes: [UInt8]) -> TrialOutcome {
    outcome = TrialOutcome()
    let stepsBefore = world.oracle.stepCount
    choices = Choices(bytes)
    do throws(Divergence) {
      let (first, begins) = (choices.pick(3), !choices.oneIn(16))
      // Shadow-3 first: what is shrunk is about it, if it can be.
      let policy = [ShadowPolicy.few, .all, .none][first]
      world.reset(policy, to: begins ? beginnings[policy] : nil)
      if begins, beginnings[policy] == nil { try begin(policy) }
      while !choices.areExhausted { try move() }
      try world.compareThoroughly()
    } catch {
      outcome.divergence = error
    }
    world.tap.meddle = nil
    outcome.steps = world.oracle.stepCount - stepsBefore
    return outcome
  }

  /// All frames are the domain's, the tables lead to one another, and are loaded.
  private func begin(_ policy: ShadowPolicy) throws(Divergence) {
    for number in 0..<sizes.frames { try world.acquire(MachineFrame(UInt64(number)), writes: true) }
    let all =
      EntryBits.present | EntryBits.writable | EntryBits.user | EntryBits.accessed | EntryBits.dirty
    for table in 0..<setting.leaves.lowerBound {
      for (index, slot) in sizes.slots.enumerated() {
        let target = UInt64(table < 2 ? table + 1 : setting.leaves.lowerBound + index)
        _ = try world.write(
          GuestTableEntry(MachineFrame(target), all), to: MachineFrame(UInt64(table)), slot: slot)
      }
    }
    for vcpu in 0..<sizes.vcpus { try world.load(MachineFrame(0), on: vcpu) }
    try world.compareThoroughly()
    beginnings[policy] = world.beginning
  }

  // MARK: Choosing

  private func frame() -> MachineFrame { MachineFrame(UInt64(choices.pick(sizes.frames))) }

  /// A frame, seldom one that the machine does not know.
  private func anyFrame() -> MachineFrame {
    let choice = choices.pick(64)
    switch choice {
    case 63: return MachineFrame(.max)
    case 62: return MachineFrame(UInt64(sizes.frames))
    default: return MachineFrame(UInt64(choice % sizes.frames))
    }
  }

  private func slot() -> UInt64 { UInt64(choices.pick(sizes.slots.count)) }

  /// Most rights are given. Bits that mean nothing to a processor may be set.
  private func entry() -> GuestTableEntry {
    var bits =
      EntryBits.present | EntryBits.writable | EntryBits.user | EntryBits.accessed | EntryBits.dirty
    let choice = choices.pick(64)
    if choice & 7 == 1 { bits &= ~EntryBits.writable }
    if choice & 7 == 2 { bits &= ~EntryBits.user }
    if choice & 7 == 3 { bits &= ~EntryBits.dirty }
    if choice & 7 == 4 { bits &= ~(EntryBits.accessed | EntryBits.dirty) }
    if choice & 7 == 5 { bits &= ~EntryBits.present }
    if choice & 7 == 6 { bits |= EntryBits.noExecute }
    if choice >> 3 == 1 { bits |= 1 << 9 }
    if choice == 63 { bits |= EntryBits.large }
    let first = setting.leaves.lowerBound
    let target =
      choices.oneIn(32) ? anyFrame() : MachineFrame(UInt64(first + choices.pick(sizes.frames - first)))
    return GuestTableEntry(target, bits)
  }

  /// An entry for a table: of the upper three it mostly leads to the next one.
  private func entry(for table: MachineFrame) -> GuestTableEntry {
    let entry = entry()
    guard table.rawValue < 3, choices.pick(6) != 5 else { return entry }
    let target =
      table.rawValue < 2
      ? table.rawValue + 1 : UInt64(setting.leaves.lowerBound + choices.pick(setting.leaves.count))
    return GuestTableEntry(MachineFrame(target), entry.rawValue & ~EntryBits.frame)
  }

  /// A word of a page in the tree; seldom one that no processor translates.
  private func address() -> VirtualAddress {
    var address = 0 as UInt64
    for level in 0..<PagingLimits.levelCount {
      // The middle of the tree is narrow, so that sequences come back to where they were.
      let index = level == 1 || level == 0 ? choices.pick(sizes.slots.count) : choices.pick(8) == 7 ? 1 : 0
      address |= UInt64(sizes.slots[index]) << UInt64(12 + 9 * level)
    }
    if address >> 47 & 1 != 0 { address |= 0xffff_0000_0000_0000 }
    if choices.pick(128) == 127 { address ^= 1 << 63 }
    return VirtualAddress(address | UInt64(sizes.slots[Int(slot())] * 8))
  }

  private func vcpu() -> Int { choices.pick(sizes.vcpus) }

  // MARK: Moves

  private func move() throws(Divergence) {
    let vcpu = vcpu()
    isMeddled = choices.pick(8) == 7
    if isMeddled { meddle(vcpu) }
    switch choices.pick(21) {
    case 0...4:
      let error: PageFault = [[], .user, .fetch, [.user, .fetch]][choices.pick(4)]
      _ = try world.access(address(), error, store: nil, vcpu: vcpu, expectsProgress: !isMeddled)
    case 5...9:
      let error: PageFault = choices.bit() ? [.write, .user] : .write
      _ = try world.access(address(), error, store: entry(), vcpu: vcpu, expectsProgress: !isMeddled)
    case 10...12:
      let table = choices.oneIn(32) ? anyFrame() : frame()
      _ = try world.write(entry(for: table), to: table, slot: sizes.slots[Int(slot())])
    case 13: try world.load(choices.oneIn(4) ? anyFrame() : MachineFrame(0), on: vcpu)
    case 14: try world.flush(vcpu)
    case 15, 16: try world.invalidate(address(), on: vcpu)
    case 17: world.tables.returns(vcpu)
    case 18:
      let error: PageFault = [[], .write, .user, [.write, .user], .fetch][choices.pick(5)]
      try world.fault(at: address(), error, on: vcpu, expectsProgress: !isMeddled)
    default: try rare()
    }
    world.tap.meddle = nil
    outcome.operations += 1
    // A little of the time of the larger one.
    if !setting.isCrowded || outcome.operations % 4 == 0 { try world.compare() }
    if outcome.operations % 64 == 0 { try world.compareThoroughly() }
  }

  private func rare() throws(Divergence) {
    switch choices.pick(9) {
    case 0: try world.pin(choices.bit() ? MachineFrame(0) : anyFrame())
    case 1, 2: world.tables.unpin(anyFrame())
    case 3: try world.surrender(frame())
    case 4, 5:
      for number in 0..<sizes.frames where !world.tables.reach(of: MachineFrame(UInt64(number))).maps {
        try world.acquire(MachineFrame(UInt64(number)), writes: choices.pick(12) != 11)
      }
    case 6: try world.acquire(anyFrame(), writes: choices.bit())
    case 7: _ = world.tables.allowStore(at: address(), on: vcpu(), isTable: choices.bit())
    default: try world.resize(to: sizes.vcpus + 3 + choices.pick(sizes.pages))
    }
  }

  /// Once in the midst of the operation, another processor runs: it stores through an entry that it has, or walks.
  private func meddle(_ vcpu: Int) {
    var after = choices.pick(4) == 3 ? choices.pick(1200) : choices.pick(8)
    let other = (vcpu + 1) % sizes.vcpus
    let stores = choices.pick(4) != 3
    let (way, slot, entry, address) = (choices.pick(64), slot(), entry(), address())
    world.tap.meddle = { [unowned self] in
      after -= 1
      guard after < 0 else { return }
      world.tap.meddle = nil
      do throws(Divergence) {
        guard stores else {
          _ = try world.walk(address, PageFault(), other, refills: true)
          return
        }
        let ways = world.processors[other].filter { $0.place.level == 0 && $0.value.isWritable }
        guard !ways.isEmpty else { return }
        world.storeByGuest(entry, slot, through: ways[way % ways.count], other)
      } catch {
        world.complain(at: error.step, error.reason)
      }
    }
  }
}
