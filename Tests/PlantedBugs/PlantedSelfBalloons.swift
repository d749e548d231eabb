// SPDX-License-Identifier: Apache-2.0
//
// Self-balloon controllers with bugs planted in them, for the drivers to find.

import Interfaces
import Machines

/// What a planted controller does wrong.
public enum SelfBalloonBug: Int, CaseIterable, Sendable {
  /// Near the end a share is rounded down to nothing.
  case shareRoundedDown
  /// Its step down is a page more than the gap.
  case overshoot
  /// xenballoond's: a directed target may be below the floor.
  case floorSkipped
  /// xenballoond's: it sets targets while it is off.
  case alwaysOn
  /// xenballoond's: an upward hysteresis of 0 is said to be taken.
  case zeroTaken
}

/// A controller with the bug of that number.
public struct PlantedController<let number: Int>: SelfBalloonControl {
  private var sound: SelfBalloonController
  /// What the bug made of the target; nil where that is as it should be.
  private var wrong: UInt64?
  private var bug: SelfBalloonBug { SelfBalloonBug.allCases[number] }

  public var settings: SelfBalloonSettings { sound.settings }
  public var isOn: Bool { sound.isOn }
  public var current: UInt64 { sound.current }
  public var target: UInt64 { wrong ?? sound.target }
  public var goal: UInt64 { sound.goal }

  public init?(_ settings: SelfBalloonSettings, current: UInt64) {
    guard let sound = SelfBalloonController(settings, current: current) else { return nil }
    self.sound = sound
  }

  public init?(
    _ settings: SelfBalloonSettings, isOn: Bool, current: UInt64, target: UInt64, goal: UInt64
  ) {
    guard
      let sound = SelfBalloonController(settings, isOn: isOn, current: current, target: target, goal: goal)
    else { return nil }
    self.sound = sound
  }

  public mutating func configure(down: UInt64, up: UInt64) -> Bool {
    let isTaken = sound.configure(down: down, up: up)
    return isTaken || bug == .zeroTaken && up == 0
  }

  public mutating func turn(on: Bool) { sound.turn(on: on) }
  public mutating func need(_ pages: UInt64) { sound.need(pages) }

  public mutating func direct(_ pages: UInt64) -> Bool {
    let isTaken = sound.direct(pages)
    if isTaken { wrong = bug == .floorSkipped && pages < settings.floor ? pages : nil }
    return isTaken
  }

  public mutating func tick() -> UInt64? {
    if bug == .alwaysOn, !isOn { return target }
    guard sound.tick() != nil else { return nil }
    wrong = nil
    if goal < current {
      if bug == .shareRoundedDown { wrong = current - (current - goal) / settings.down }
      if bug == .overshoot, goal > settings.floor { wrong = goal - 1 }
    }
    return target
  }

  public mutating func move(_ pages: UInt64) -> Bool { sound.move(pages) }
}
