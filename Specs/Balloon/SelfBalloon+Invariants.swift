// SPDX-License-Identifier: Apache-2.0

import Logic

extension SelfBalloon {
  private func isWithin(_ pages: Memory) -> Bit { floor <= pages && pages <= maximum }

  /// Whether three numbers ascend or descend.
  private func isBetween(_ a: Memory, _ b: Memory, _ c: Memory) -> Bit {
    (a <= b && b <= c) || (a >= b && b >= c)
  }

  var claims: [Invariant] {
    [
      invariant("no target is out of bounds", "S1") {
        self.isStarted.implies(self.isWithin(self.target))
      },
      invariant("a domain is never below its floor or above its maximum", "S1") {
        self.isStarted.implies(self.isWithin(self.current))
      },
      invariant("no oscillation", "S2") { self.isStale || !(self.rose && self.fell) },
      invariant("what was begun from one side ends there", "S2") {
        self.isStale
          || ((!self.rose || self.current <= self.goal) && (!self.fell || self.current >= self.goal))
      },
      invariant("a target is never beyond what is needed", "S3") {
        self.isStale || self.isBetween(self.current, self.target, self.goal)
      },
      invariant("each step takes its share of the gap", "S3") {
        self.gapAfter <= self.gapBefore
          && self.times(self.gapBefore - self.gapAfter, self.used) >= MemoryProduct(resizing: self.gapBefore)
      },
      invariant("each step comes nearer", "S3") {
        self.gapBefore == 0 || self.gapAfter < self.gapBefore
      },
      invariant("no hysteresis is 0", "S4") { self.isStarted.implies(self.down != 0 && self.up != 0) },
      invariant("a controller that is off sets no target", "S5") { !self.meddled },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "S1", "No target is out of bounds, and no domain.", by: "no target is out of bounds",
        "a domain is never below its floor or above its maximum"),
      Rule(
        "S2", "While the need is constant, a domain never rises and falls both.", by: "no oscillation",
        "what was begun from one side ends there"),
      Rule(
        "S3", "Each step takes the gap's share and never passes what is needed.",
        by: "each step takes its share of the gap", "each step comes nearer",
        "a target is never beyond what is needed"),
      Rule("S4", "A hysteresis is never 0.", by: "no hysteresis is 0"),
      Rule("S5", "A controller that is off sets no target.", by: "a controller that is off sets no target"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("a domain falls to what it needs") {
        self.fell && !self.isStale && self.current == self.goal
      },
      sometimes("a domain rises to what it needs") {
        self.rose && !self.isStale && self.current == self.goal
      },
      sometimes("a step falls short of what is needed") {
        !self.isStale && self.gapAfter != 0 && self.current == self.target
      },
      sometimes("the floor holds up what needs less") {
        self.isStarted && self.needed < self.floor && self.current == self.floor
      },
      sometimes("a target is directed") { self.isStarted && !self.isOn && self.target != self.current },
    ]
  }
}
