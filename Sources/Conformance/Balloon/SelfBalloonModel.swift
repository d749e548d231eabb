// SPDX-License-Identifier: Apache-2.0
//
// How the controller's implementation and its specification correspond: number by number.

import Interfaces
import Logic
import Machines
import Specs

/// One operation of the controller, or of those around it.
enum SelfBalloonOperation: Hashable {
  case configure(down: UInt64, up: UInt64)
  case turn(on: Bool)
  case need(UInt64)
  case direct(UInt64)
  case tick
  case move(UInt64)
}

/// The specification's names as numbers, and what the two sides have to have in common.
struct SelfBalloonModel: Sendable {
  let programs: ProgramSet
  let configure, turn, need, direct, tick, move: Int
  let floor, maximum, isOn, current, target, goal, down, up: Int

  init(scope: Scope) {
    programs = .compiled(try SelfBalloon().trace(), at: scope)
    let (specification, layout) = (programs.layout.specification, programs.layout)
    configure = specification.action("configure")
    turn = specification.action("turn")
    need = specification.action("need")
    direct = specification.action("direct")
    tick = specification.action("tick")
    move = specification.action("move")
    floor = layout.require("floor")
    maximum = layout.require("maximum")
    isOn = layout.require("isOn")
    current = layout.require("current")
    target = layout.require("target")
    goal = layout.require("goal")
    down = layout.require("down")
    up = layout.require("up")
  }

  /// Puts the specification, before its first step, where a domain has and needs `pages`.
  func begin(_ oracle: Oracle, floor: UInt64, maximum: UInt64, pages: UInt64) {
    oracle.reset()
    let all = [
      (self.floor, floor), (self.maximum, maximum), (current, pages), (target, pages), (goal, pages),
    ]
    for (register, value) in all {
      precondition(oracle.set(register, to: value), "a domain's pages are numbers of 40 bits")
    }
  }

  /// An implementation as the specification stands; nil if it refuses that.
  func implementation<Control: SelfBalloonControl>(_ type: Control.Type, _ oracle: Oracle) -> Control? {
    let state = oracle.simulator
    guard
      let settings = SelfBalloonSettings(
        floor: state[floor], maximum: state[maximum], down: state[down], up: state[up])
    else { return nil }
    return Control(
      settings, isOn: state[isOn] == 1, current: state[current], target: state[target], goal: state[goal])
  }

  /// Lets the implementation do something, and the specification the same.
  /// - Throws: where the one does what the other does not.
  func follow<Control: SelfBalloonControl>(
    _ operation: SelfBalloonOperation, _ control: inout Control, _ oracle: Oracle
  ) throws(Divergence) {
    switch operation {
    case .configure(let down, let up):
      let isTaken = control.configure(down: down, up: up)
      try oracle.take(configure, [down, up], expecting: [isTaken ? 1 : 0])
    case .turn(let on):
      control.turn(on: on)
      try oracle.take(turn, on ? 1 : 0)
    case .need(let pages):
      control.need(pages)
      try oracle.take(need, pages)
    case .direct(let pages):
      try follow(control.direct(pages), direct, pages, oracle)
    case .tick:
      let target = control.tick()
      if let target, target != control.target {
        throw oracle.divergence(at: "tick", "it answers \(target), and its target is \(control.target)")
      }
      // The target is the implementation's choice; whether the specification allows it is checked.
      try follow(target != nil, tick, target ?? 0, oracle)
    case .move(let pages):
      try follow(control.move(pages), move, pages, oracle)
    }
    try compare(control, oracle, at: operation)
  }

  /// What the implementation refuses the specification does not allow.
  private func follow(_ isDone: Bool, _ action: Int, _ argument: UInt64, _ oracle: Oracle)
    throws(Divergence)
  {
    if isDone { return try oracle.take(action, argument) }
    guard isRefusable(action, argument, oracle) else { return }
    throw oracle.divergence(at: action, [argument], "it is refused, and the specification allows it")
  }

  /// Whether the specification allows what was refused; of a tick, any step at all.
  private func isRefusable(_ action: Int, _ argument: UInt64, _ oracle: Oracle) -> Bool {
    if action == tick { return oracle.simulator[isOn] == 1 }
    oracle.simulator.setArgument(0, to: argument)
    return oracle.simulator.run(action)
  }

  private func compare<Control: SelfBalloonControl>(
    _ control: Control, _ oracle: Oracle, at operation: SelfBalloonOperation
  ) throws(Divergence) {
    let state = oracle.simulator
    let sides: [(name: String, here: UInt64, there: UInt64)] = [
      ("floor", control.settings.floor, state[floor]),
      ("maximum", control.settings.maximum, state[maximum]),
      ("down", control.settings.down, state[down]),
      ("up", control.settings.up, state[up]),
      ("isOn", control.isOn ? 1 : 0, state[isOn]),
      ("current", control.current, state[current]),
      ("target", control.target, state[target]),
      ("goal", control.goal, state[goal]),
    ]
    for side in sides where side.here != side.there {
      throw oracle.divergence(
        at: "\(operation)", "\(side.name) is \(side.here), and \(side.there) in the specification")
    }
  }
}
