// SPDX-License-Identifier: Apache-2.0
//
// The controller that balloons a domain to what it needs.
//
// Each second it looks at what the domain needs (the kernel's Committed_AS) and at what it has, and sets the target of the
// balloon driver: down by a share of the gap, for memory is sooner given than got back; up by all of it. It never
// asks for less than a floor, below which a kernel's own structures would not fit. The driver then moves towards the
// target as far as it can: the host may have no more to give, the kernel no more to release.
//
// In directed mode the controller is off, and the toolstack sets the target.
//
// S1  No target is below the floor or above the maximum, directed ones included; and so the domain never is.
// S2  While the need is constant, the domain never rises and falls both: there is no oscillation.
// S3  Each step takes at least the gap's share, one over the hysteresis, and never passes what is needed: what it has
//     converges to what it needs, monotonically, and arrives.
// S4  A hysteresis is never 0.
// S5  A controller that is off sets no target.
//
// The floor is any number up to the maximum here; that of Xen 3.3 is computed in Interfaces (`balloonFloor`).

import Interfaces
import Logic

public enum MemorySort: WordSort {
  /// Pages of one domain.
  public static let sort = Sort.word("Memory", realBits: 40, scopeBits: 2)
}
public enum HysteresisSort: WordSort {
  public static let sort = Sort.word("Hysteresis", realBits: 4, scopeBits: 2)
}
public enum MemoryProductSort: WordSort {
  /// A product of the two.
  public static let sort = Sort.word("MemoryProduct", realBits: 44, scopeBits: 4)
}

/// A number of pages of one domain.
public typealias Memory = Word<MemorySort>
/// The part of a gap that one step takes is one over this.
public typealias Hysteresis = Word<HysteresisSort>
typealias MemoryProduct = Word<MemoryProductSort>

/// The specification of the self-balloon controller of one domain.
public class SelfBalloon: Machine {
  @Var(anyOf: Memory.self) var floor: Memory
  @Var(anyOf: Memory.self) var maximum: Memory
  @Var var isOn: Bit = true
  /// What the domain has.
  @Var(anyOf: Memory.self) var current: Memory
  /// What its balloon driver is asked to reach.
  @Var(anyOf: Memory.self) var target: Memory
  /// What is needed, within the bounds.
  @Var(anyOf: Memory.self) var goal: Memory
  /// Those of Xen 3.3, until others are set.
  @Var var down = Hysteresis(10)
  @Var var up = Hysteresis(1)

  /// Whether nothing has changed since the last step.
  @Ghost var isSteady: Bit
  /// Whether the domain has risen, or fallen, since the first step after a change.
  @Ghost var rose: Bit
  @Ghost var fell: Bit
  /// Whether less is needed than the floor, or more than the maximum.
  @Ghost var isHeldUp: Bit
  @Ghost var isHeldDown: Bit
  /// The gap before the last step, the step, and the hysteresis.
  @Ghost var gapBefore: Memory
  @Ghost var taken: Memory
  @Ghost var used: Hysteresis
  /// Whether the controller has set a target while it was off.
  @Ghost var meddled: Bit

  // MARK: What the rules mean

  func bounded(_ pages: Memory) -> Memory {
    choose(pages < floor, floor, choose(pages > maximum, maximum, pages))
  }
  func distance(_ a: Memory, _ b: Memory) -> Memory { choose(a < b, b, a) - choose(a < b, a, b) }

  func times(_ pages: Memory, _ hysteresis: Hysteresis) -> MemoryProduct {
    let wide = MemoryProduct(resizing: pages)
    var power = wide
    var sum = MemoryProduct(0)
    for bit: UInt64 in [1, 2, 4, 8] {
      let isSet = Hysteresis(bit) & hysteresis != 0
      // At a small scope a hysteresis has fewer bits, and the constant is 0.
      sum += choose(isSet, power, 0)
      power = power + power
    }
    return sum
  }

  /// Whether a step is the gap's share, rounded up: the last page is given too.
  func isShare(_ step: Memory, of gap: Memory, _ hysteresis: Hysteresis) -> Bit {
    times(step, hysteresis) >= MemoryProduct(resizing: gap)
      && (step == 0 || times(step - 1, hysteresis) < MemoryProduct(resizing: gap))
  }

  /// Whether three numbers ascend or descend.
  func isBetween(_ a: Memory, _ b: Memory, _ c: Memory) -> Bit {
    (a <= b && b <= c) || (a >= b && b >= c)
  }
  func mayStep(to pages: Memory) -> Bit { isBetween(current, pages, goal) }

  func isAcceptable(_ hysteresis: Hysteresis) -> Bit { hysteresis != 0 }
  var mayTick: Bit { isOn }
  func directed(_ pages: Memory) -> Memory { bounded(pages) }

  // MARK: What happens

  /// - Returns: whether the hystereses are taken.
  func configure(down: Hysteresis, up: Hysteresis) -> Bit {
    let taken = isAcceptable(down) && isAcceptable(up)
    when(taken) {
      self.down = down
      self.up = up
    }
    return taken
  }

  func turn(on: Bit) {
    isOn = on
    isSteady = false
  }

  func need(pages: Memory) {
    goal = bounded(pages)
    isHeldUp = pages < floor
    isHeldDown = pages > maximum
    isSteady = false
  }

  /// The toolstack sets the target of a domain whose controller is off.
  func direct(pages: Memory) {
    require(!isOn, "S5")
    target = directed(pages)
    isSteady = false
  }

  /// The controller's step, each second, to a target that it chooses.
  func tick(pages: Memory) {
    require(mayTick, "S5")
    let gap = distance(current, goal)
    let step = distance(current, pages)
    let hysteresis = choose(goal < current, down, up)
    require(mayStep(to: pages), "S3")
    require(isShare(step, of: gap, hysteresis), "S3")
    target = pages
    rose = rose && isSteady
    fell = fell && isSteady
    isSteady = true
    gapBefore = gap
    taken = step
    used = hysteresis
    meddled = meddled || !isOn
  }

  /// The balloon driver gets, or gives, some of what lies between what the domain has and its target.
  func move(pages: Memory) {
    require(pages != current && isBetween(current, pages, target), "S1")
    rose = rose || current < pages
    fell = fell || pages < current
    current = pages
  }

  public override var actions: [Action] {
    [
      action("configure(down:up:)", configure),
      action("turn(on:)", turn),
      action("need(pages:)", need),
      action("direct(pages:)", direct),
      action("tick(step:)", tick),
      action("move(pages:)", move),
    ]
  }
  public override var assumptions: [Invariant] {
    [
      assume("a domain begins within its bounds, and needs what it has") {
        self.floor <= self.current && self.current <= self.maximum && self.target == self.current
          && self.goal == self.current
      }
    ]
  }
  public override var invariants: [Invariant] { claims }
  public override var witnesses: [Witness] { sightings }
  public override var rules: [Rule] { statedRules }
}
