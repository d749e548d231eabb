// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension Trial {
  /// One side of a byte stream against its specification.
  public static func stream<Side: StreamSide>(_ side: Side.Type, name: String? = nil) -> Trial {
    Trial(
      name ?? "Stream, \(side.role)",
      makeRunner: { observer in
        let world = StreamWorld(side.role, Choices([]))
        world.oracle.observer = observer
        return { bytes in runStreams(side, in: world, bytes) }
      })
  }
}

private func runStreams<Side: StreamSide>(_ side: Side.Type, in world: StreamWorld, _ bytes: [UInt8])
  -> TrialOutcome
{
  var outcome = TrialOutcome()
  let stepsBefore = world.oracle.stepCount
  world.choices = Choices(bytes)
  do throws(Divergence) {
    while !world.choices.areExhausted { try runStream(side, in: world, &outcome) }
  } catch {
    outcome.divergence = error
  }
  outcome.steps = world.oracle.stepCount - stepsBefore
  return outcome
}

/// One stream, from its beginning until the choices end or it breaks.
private func runStream<Side: StreamSide>(
  _ type: Side.Type, in world: StreamWorld, _ outcome: inout TrialOutcome
) throws(Divergence) {
  let size: UInt32 = 1 << UInt32(world.choices.pick(6))
  let hostile = world.choices.bit()
  // Near the wrap at 2³², as far as a few hundred bytes go, or anywhere.
  let base = world.choices.bit() ? 0 &- UInt32(world.choices.pick(256)) : world.choices.word()
  world.begin(size: size, hostile: hostile, at: base)
  let follower = StreamFollower(world.model, world.oracle, type.role, at: base, size: size, world)
  var side = Side(memory: StreamTap(size: size, accesses: follower), position: base)
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(size) + 2, alignment: 8)
  defer { buffer.deallocate() }

  while !world.choices.areExhausted {
    switch follower.step {
    case .broken: return
    case .asleep:
      world.move()
      world.oracle.attempt(world.model.wake, type.role.rawValue)
      continue
    case .idle, .moved: break
    }
    let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<world.choices.pick(buffer.count + 1)])
    if type.role == .writer {
      for offset in wanted.indices {
        wanted[offset] = world.byte(at: follower.progress.own.position &+ UInt32(offset))
      }
    }
    _ = try follower.follow(wanted, of: &side)
    outcome.operations += 1
    world.pass()
  }
}
