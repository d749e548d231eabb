// SPDX-License-Identifier: Apache-2.0

import Logic

extension SelfBalloon {
  private func isWithin(_ pages: Memory) -> Bit { floor <= pages && pages <= maximum }

  var claims: [Invariant] {
    [
      invariant("no target is out of bounds", "S1") {
        self.isWithin(self.target)
      },
      invariant("a domain is never below its floor or above its maximum", "S1") {
        self.isWithin(self.current)
      },
      invariant("no oscillation", "S2") { !self.isSteady || !(self.rose && self.fell) },
      invariant("what was begun from one side ends there", "S2") {
        !self.isSteady
          || ((!self.rose || self.current <= self.goal) && (!self.fell || self.current >= self.goal))
      },
      invariant("a target is never beyond what is needed", "S3") {
        !self.isSteady || self.isBetween(self.current, self.target, self.goal)
      },
      invariant("each step takes its share of the gap", "S3") {
        self.times(self.taken, self.used) >= MemoryProduct(resizing: self.gapBefore)
      },
      invariant("no step takes a page more than its share", "S3") {
        self.taken == 0
          || self.times(self.taken - 1, self.used) < MemoryProduct(resizing: self.gapBefore)
      },
      invariant("each step comes nearer", "S3") {
        self.gapBefore == 0 || self.taken != 0
      },
      invariant("what is needed is within bounds", "S1") {
        self.isWithin(self.goal)
      },
      invariant("what is out of bounds is brought to them", "S1") {
        self.isHeldUp.implies(self.goal == self.floor)
          && self.isHeldDown.implies(self.goal == self.maximum)
      },
      invariant("no hysteresis is 0", "S4") { self.down != 0 && self.up != 0 },
      invariant("a controller that is off sets no target", "S5") { !self.meddled },
    ]
  }

  var statedRules: [Rule] {
    [
      Rule(
        "S1", "No target is out of bounds, and no domain.", by: "no target is out of bounds",
        "a domain is never below its floor or above its maximum", "what is needed is within bounds",
        "what is out of bounds is brought to them"),
      Rule(
        "S2", "While the need is constant, a domain never rises and falls both.", by: "no oscillation",
        "what was begun from one side ends there"),
      Rule(
        "S3", "Each step takes the gap's share and never passes what is needed.",
        by: "each step takes its share of the gap", "no step takes a page more than its share",
        "each step comes nearer",
        "a target is never beyond what is needed"),
      Rule("S4", "A hysteresis is never 0.", by: "no hysteresis is 0"),
      Rule("S5", "A controller that is off sets no target.", by: "a controller that is off sets no target"),
    ]
  }

  var sightings: [Witness] {
    [
      sometimes("a domain falls to what it needs") {
        self.fell && self.isSteady && self.current == self.goal
      },
      sometimes("a domain rises to what it needs") {
        self.rose && self.isSteady && self.current == self.goal
      },
      sometimes("a step falls short of what is needed") {
        self.isSteady && self.taken != self.gapBefore && self.current == self.target
      },
      sometimes("the floor holds up what needs less") {
        self.isHeldUp && self.current == self.floor
      },
      sometimes("a share needs no rounding") {
        self.taken != 0 && self.times(self.taken, self.used) == MemoryProduct(resizing: self.gapBefore)
      },
      sometimes("other shares are set") { self.down == 3 && self.up == 2 },
      sometimes("a target is directed before any step") { self.used == 0 && self.target != self.current },
      sometimes("a target is directed") { !self.isOn && self.target != self.current },
    ]
  }
}
