// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension Trial {
  /// The self-balloon controller against its specification, words of real size.
  public static func selfBalloon<Control: SelfBalloonControl>(
    _ type: Control.Type, name: String = "SelfBalloon"
  ) -> Trial {
    Trial(
      name,
      makeRunner: { _ in
        let model = SelfBalloonModel(scope: .real)
        let oracle = Oracle(model.programs)
        return { bytes in runControllers(type, model, oracle, bytes) }
      })
  }
}

private func runControllers<Control: SelfBalloonControl>(
  _ type: Control.Type, _ model: SelfBalloonModel, _ oracle: Oracle, _ bytes: [UInt8]
) -> TrialOutcome {
  var outcome = TrialOutcome()
  var choices = Choices(bytes)
  let stepsBefore = oracle.stepCount
  do throws(Divergence) {
    while !choices.areExhausted { try runController(type, model, oracle, &choices, &outcome) }
  } catch {
    outcome.divergence = error
  }
  outcome.steps = oracle.stepCount - stepsBefore
  return outcome
}

/// Operations on one controller; now and then, or when there is none at such settings, the next one's turn comes.
private func runController<Control: SelfBalloonControl>(
  _ type: Control.Type, _ model: SelfBalloonModel, _ oracle: Oracle, _ choices: inout Choices,
  _ outcome: inout TrialOutcome
) throws(Divergence) {
  let maximum = choices.pages(below: 1 << 40)
  let floor = choices.bit() ? balloonFloor(maximum: maximum) : choices.pages(below: maximum &+ 1)
  let current = floor &+ choices.pages(below: maximum &- floor &+ 1)
  let (down, up) = (UInt64(choices.pick(16)), UInt64(choices.pick(16)))
  model.begin(oracle, floor: floor, maximum: maximum, pages: current)
  outcome.operations += 1
  let settings = SelfBalloonSettings(floor: floor, maximum: maximum, down: down, up: up)
  // Settings that the specification refuses there must not be.
  try oracle.take(model.configure, [down, up], expecting: [settings == nil ? 0 : 1])
  guard let settings else { return }
  guard var control = Control(settings, current: current) else {
    throw oracle.divergence(at: model.configure, [down, up], "it does not start")
  }
  while !choices.areExhausted, !choices.oneIn(64) {
    try model.follow(choices.operation(of: control), &control, oracle)
    outcome.operations += 1
  }
}

extension Choices {
  /// A number of pages below `limit`, 1 … 2⁴⁰: near nothing, near the limit, or anywhere.
  fileprivate mutating func pages(below limit: UInt64) -> UInt64 {
    switch pick(3) {
    case 0: return UInt64(pick(300)) % limit
    case 1: return limit - 1 - UInt64(pick(300)) % limit
    default: return (UInt64(word()) << 8 | UInt64(pick(256))) % limit
    }
  }

  fileprivate mutating func operation<Control: SelfBalloonControl>(of control: Control)
    -> SelfBalloonOperation
  {
    let (low, high) = (min(control.current, control.target), max(control.current, control.target))
    switch pick(12) {
    case 0: return .configure(down: UInt64(pick(16)), up: UInt64(pick(16)))
    case 1: return .turn(on: bit())
    case 2, 3: return .need(pages(below: oneIn(4) ? 1 << 40 : control.settings.maximum &+ 1))
    case 4: return .direct(pages(below: 1 << 40))
    case 5, 6, 7, 8: return .tick
    case 9, 10: return .move(control.target)
    default:
      let isBeyond = oneIn(8) && high &+ 1 < 1 << 40
      return .move(isBeyond ? high &+ 1 : low &+ pages(below: high &- low &+ 1))
    }
  }
}
