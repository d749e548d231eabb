// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The controller that balloons one domain to what it needs: a value of a few words.
///
/// The rules that it keeps, S1 … S5, stand in Specs/Balloon/SelfBalloon.swift.
public struct SelfBalloonController: SelfBalloonControl, Hashable {
  public private(set) var settings: SelfBalloonSettings
  public private(set) var isOn = true
  public private(set) var current: UInt64
  public private(set) var target: UInt64
  public private(set) var goal: UInt64

  public init?(_ settings: SelfBalloonSettings, current: UInt64) {
    guard settings.floor...settings.maximum ~= current else { return nil }
    self.settings = settings
    self.current = current
    target = current
    goal = current
  }

  public init?(
    _ settings: SelfBalloonSettings, isOn: Bool, current: UInt64, target: UInt64, goal: UInt64
  ) {
    let bounds = settings.floor...settings.maximum
    guard bounds ~= current, bounds ~= target, bounds ~= goal else { return nil }
    self.settings = settings
    self.isOn = isOn
    self.current = current
    self.target = target
    self.goal = goal
  }

  public mutating func configure(down: UInt64, up: UInt64) -> Bool {
    guard
      let taken = SelfBalloonSettings(
        floor: settings.floor, maximum: settings.maximum, down: down, up: up)
    else { return false }
    settings = taken
    return true
  }

  public mutating func turn(on: Bool) { isOn = on }

  public mutating func need(_ pages: UInt64) { goal = bounded(pages) }

  public mutating func direct(_ pages: UInt64) -> Bool {
    guard !isOn else { return false }
    target = bounded(pages)
    return true
  }

  public mutating func tick() -> UInt64? {
    guard isOn else { return nil }
    // A share is rounded up, or the last pages would never be given.
    if goal < current {
      target = current - share(of: current - goal, settings.down)
    } else {
      target = current + share(of: goal - current, settings.up)
    }
    return target
  }

  public mutating func move(_ pages: UInt64) -> Bool {
    guard pages != current, min(current, target)...max(current, target) ~= pages else { return false }
    current = pages
    return true
  }

  private func bounded(_ pages: UInt64) -> UInt64 { min(max(pages, settings.floor), settings.maximum) }

  /// Sizes are below 2⁴⁰: nothing wraps.
  private func share(of gap: UInt64, _ hysteresis: UInt64) -> UInt64 {
    (gap + hysteresis - 1) / hysteresis
  }
}
