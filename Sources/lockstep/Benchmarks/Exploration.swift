// SPDX-License-Identifier: Apache-2.0

import Checker
import Specs

/// Distinct states a second of a whole exploration at the everyday scope, the time to compile it left out.
let explorationBenchmarks = [exploration("Ring"), exploration("Grants")]

private func exploration(_ machine: String) -> Benchmark {
  Benchmark(
    name: "explore/\(machine)", what: "distinct states found by an exploration at its everyday scope",
    unit: "states/s", required: 1_000_000
  ) {
    let subject = try chosenSubjects([machine])[0]
    let specification = try subject.specification(mutant: nil)
    // A core that shares its units with a busy neighbour explores at two thirds of its rate, for seconds at a time:
    // an exploration of 0.1 s has to be tried for longer than such a while.
    let clock = ContinuousClock()
    let end = clock.now + .seconds(6)
    var best = 0.0
    repeat {
      let exploration = try Explorer(specification, scope: subject.scopes[0]).run()
      guard exploration.holds else { throw CouldNotRun("\(machine) does not hold: see lockstep explore") }
      best = max(best, Double(exploration.states) / exploration.seconds)
    } while clock.now < end
    return best
  }
}
