// SPDX-License-Identifier: Apache-2.0

/// A figure, mostly one that is promised, and how it is measured.
struct Benchmark: Sendable {
  /// `group/machine`.
  let name: String
  /// What is counted.
  let what: String
  /// Of the figure: "actions/s".
  let unit: String
  /// The least figure promised; nil where it is there to be compared with others.
  let required: Double?
  /// The figure, on one core, and what it was worked out from. Throws `CouldNotRun`.
  let measure: @Sendable () throws -> (figure: Double, note: String)

  init(
    name: String, what: String, unit: String, required: Double? = nil,
    noted measure: @escaping @Sendable () throws -> (figure: Double, note: String)
  ) {
    self.name = name
    self.what = what
    self.unit = unit
    self.required = required
    self.measure = measure
  }

  init(
    name: String, what: String, unit: String, required: Double? = nil,
    measure: @escaping @Sendable () throws -> Double
  ) {
    self.init(name: name, what: what, unit: unit, required: required, noted: { (try measure(), "") })
  }
}

/// Every benchmark; each group has a file of its own in this folder.
let benchmarks: [Benchmark] =
  specificationBenchmarks + explorationBenchmarks + comparisonBenchmarks + dirtyLogBenchmarks
  + shadowBenchmarks

/// The most that several runs do in a second.
/// - Parameter run: does the work, and says how much of it was done.
func bestRate(runs: Int = 5, _ run: () throws -> Int) rethrows -> Double {
  var best = 0.0
  for _ in 0..<runs {
    var done = 0
    let time = try ContinuousClock().measure { done = try run() }
    best = max(best, Double(done) / (time / .seconds(1)))
  }
  return best
}
