// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension Trial {
  /// One side of a ring against its specification.
  public static func ring<Side: RingSide>(_ side: Side.Type, name: String? = nil) -> Trial {
    Trial(
      name ?? "Ring, \(side.end) end",
      makeRunner: { observer in
        let world = RingWorld(side.end, Choices([]))
        world.oracle.observer = observer
        return { bytes in runRings(side, in: world, bytes) }
      })
  }
}

private func runRings<Side: RingSide>(_ side: Side.Type, in world: RingWorld, _ bytes: [UInt8])
  -> TrialOutcome
{
  var outcome = TrialOutcome()
  let stepsBefore = world.oracle.stepCount
  world.choices = Choices(bytes)
  do throws(Divergence) {
    while !world.choices.areExhausted { try runRing(side, in: world, &outcome) }
  } catch {
    outcome.divergence = error
  }
  outcome.steps = world.oracle.stepCount - stepsBefore
  return outcome
}

/// One ring, from its beginning until the choices end or it breaks.
private func runRing<Side: RingSide>(
  _ type: Side.Type, in world: RingWorld, _ outcome: inout TrialOutcome
) throws(Divergence) {
  let slotCount = 1 << world.choices.pick(6)
  world.begin(slotCount: slotCount, hostile: world.choices.bit())
  // Near the wrap at 2³², as far as a few hundred messages go, or anywhere.
  world.base = world.choices.bit() ? 0 &- UInt32(world.choices.pick(256)) : world.choices.word()
  let follower = RingFollower(world.model, world.oracle, type.end, at: world.base, world)
  let tap = RingTap(slotCount: UInt32(slotCount), slotSize: RingWorld.slotSize, accesses: follower)
  var side = Side(memory: tap, indices: RingIndices(quiescentAt: world.base))
  let slot = UnsafeMutableRawBufferPointer.allocate(byteCount: RingWorld.slotSize, alignment: 8)
  defer { slot.deallocate() }

  /// Since the last operation. With nothing under way, nobody may ever wake the side.
  var movesAsleep = 0
  while !world.choices.areExhausted {
    switch follower.step {
    case .broken: return
    case .asleep:
      guard movesAsleep < 32 else { return }
      movesAsleep += 1
      world.move()
      world.oracle.attempt(world.model.wake, type.end.rawValue)
      continue
    default: break
    }
    let own = follower.progress.own
    let operation = RingOperation.allCases[world.choices.pick(RingOperation.allCases.count)]
    let hasRoom = type.end == .front ? own.put &- own.taken < UInt32(slotCount) : own.put != own.taken
    if operation == .put {
      guard hasRoom else {
        world.move()
        continue
      }
      RingWorld.encode([type.end.rawValue, world.model.reduced(own.put &- world.base)], into: slot)
    }
    let answer = try follower.follow(operation, of: &side, with: slot)
    outcome.operations += 1
    movesAsleep = 0
    if operation == .take, answer == .answer(true),
      RingWorld.decode(UnsafeRawBufferPointer(slot)) != world.delivered
    {
      throw world.oracle.divergence(at: "\(type.end) take", "what it hands out is not what lay in the slot")
    }
    world.pass()
  }
}
