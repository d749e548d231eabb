// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@Suite("Self-balloon controller") struct SelfBalloonTests {
  /// 1 GB and Xen 3.3's floor for it.
  private func controller() throws -> SelfBalloonController {
    let settings = try #require(SelfBalloonSettings(maximum: 262_144))
    return try #require(SelfBalloonController(settings, current: 262_144))
  }

  @Test("the floor is Xen 3.3's", arguments: [(64, 40), (256, 104), (1024, 232), (4096, 424), (4, 4)])
  func floor(megabytes: UInt64, floor: UInt64) {
    #expect(balloonFloor(maximum: megabytes * 256) == floor * 256)
  }

  @Test("falls by a tenth of the gap each second, arrives at the floor, and rises at once")
  func converges() throws {
    var control = try controller()
    control.need(0)
    let first = control.tick()
    let floor: UInt64 = 232 * 256
    let gap: UInt64 = 262_144 - floor
    #expect(first == 262_144 - (gap + 9) / 10)
    var steps = 0
    while control.current != floor, steps < 200 {
      let before = control.current
      let target = control.tick() ?? before
      #expect(target < before)
      let hasMoved = control.move(target)
      #expect(hasMoved)
      steps += 1
    }
    #expect(control.current == floor)
    control.need(200_000)
    let last = control.tick()
    #expect(last == 200_000)
  }

  @Test("does what it is told only within its bounds, and only while it is off")
  func directed() throws {
    var control = try controller()
    let early = control.direct(200_000)
    control.turn(on: false)
    let step = control.tick()
    #expect(!early && step == nil)
    let low = control.direct(1)
    #expect(low && control.target == 232 * 256)
    let high = control.direct(.max)
    #expect(high && control.target == 262_144)
  }

  @Test("moves only towards its target")
  func moves() throws {
    var control = try controller()
    control.need(100_000)
    let target = try ticked(&control)
    let refused = [262_144, target - 1, 262_145].map { control.move($0) }
    #expect(refused == [false, false, false])
    let taken = [target + 1, target].map { control.move($0) }
    #expect(taken == [true, true] && control.current == target)
  }

  private func ticked(_ control: inout SelfBalloonController) throws -> UInt64 {
    let target = control.tick()
    return try #require(target)
  }

  @Test("takes no hysteresis of 0, and no floor above the maximum")
  func settings() throws {
    var control = try controller()
    let taken = [control.configure(down: 10, up: 0), control.configure(down: 16, up: 1)]
    #expect(taken == [false, false])
    #expect(control.settings.down == 10 && control.settings.up == 1)
    #expect(SelfBalloonSettings(floor: 2, maximum: 1) == nil)
    #expect(SelfBalloonSettings(maximum: 1 << 40) == nil)
  }
}
