// SPDX-License-Identifier: Apache-2.0

import Conformance

/// Random operations a second of an optimised machine beside its specification, both compared after every one.
let comparisonBenchmarks = Trial.all.map { trial in
  Benchmark(
    name: "conform/\(trial.name)", what: "random operations, both sides compared after every one",
    unit: "operations/s", required: 100_000
  ) {
    try bestRate(runs: 3) {
      let report = RandomDriver(trial, seed: 1).run(operations: 100_000)
      guard report.failure == nil else { throw CouldNotRun("\(trial.name) diverges: see lockstep conform") }
      return report.operations
    }
  }
}
