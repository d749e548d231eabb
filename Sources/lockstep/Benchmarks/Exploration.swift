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
    var best = 0.0
    for _ in 0..<3 {
      let exploration = try Explorer(specification, scope: subject.scopes[0]).run()
      guard exploration.holds else { throw CouldNotRun("\(machine) does not hold: see lockstep explore") }
      best = max(best, Double(exploration.states) / exploration.seconds)
    }
    return best
  }
}
