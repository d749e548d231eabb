// SPDX-License-Identifier: Apache-2.0

import Conformance
import Interfaces

/// What page tables cost a guest under the three policies: exits, runs of the stub included, and operations a second with
/// an exit counted at 1 µs (hardware) and at 30 µs (software KVM).
let shadowBenchmarks =
  ShadowTrace.allCases.flatMap { trace in
    ShadowPolicy.allCases.map { exits(trace, $0) }
      + [1, 30].flatMap { cost in ShadowPolicy.allCases.map { rate(trace, $0, microseconds: cost) } }
  }
  + [exitRatio]
  + [ShadowTrace.exit, .fork, .exec].flatMap { trace in [1, 30].map { rateRatio(trace, microseconds: $0) } }

private let entriesPerTable = 256

extension ShadowPolicy {
  fileprivate var design: String {
    switch self {
    case .all: "Shadow-1"
    case .none: "Shadow-2"
    case .few: "Shadow-3"
    }
  }
}

private func exits(_ trace: ShadowTrace, _ policy: ShadowPolicy) -> Benchmark {
  Benchmark(
    name: "shadow/\(trace.rawValue)/\(policy.design)/exits", what: "exits that shadowing costs",
    unit: "per 100 operations"
  ) {
    let cost = ShadowWorkload(policy).run(trace, count: entriesPerTable)
    return 100 * Double(cost.exits + cost.batches) / Double(cost.operations)
  }
}

private func rate(_ trace: ShadowTrace, _ policy: ShadowPolicy, microseconds: Int) -> Benchmark {
  Benchmark(
    name: "shadow/\(trace.rawValue)/\(policy.design)/\(microseconds) µs",
    what: "operations, an exit counted at \(microseconds) µs", unit: "operations/s"
  ) { operations(trace, policy, microseconds) }
}

private func operations(_ trace: ShadowTrace, _ policy: ShadowPolicy, _ microseconds: Int) -> Double {
  let workload = ShadowWorkload(policy)
  var best = 0.0
  for _ in 0..<10 {
    let (cost, time) = workload.timed(trace, count: entriesPerTable)
    let seconds = time / .seconds(1) + Double((cost.exits + cost.batches) * microseconds) * 1e-6
    best = max(best, Double(cost.operations) / seconds)
  }
  return best
}

private let exitRatio = Benchmark(
  name: "shadow/demand fault/exits saved", what: "exits of Shadow-2 for one of Shadow-3", unit: "×",
  required: 3
) {
  let (two, three) = (
    ShadowWorkload(.none).run(.demandFault, count: entriesPerTable),
    ShadowWorkload(.few).run(.demandFault, count: entriesPerTable)
  )
  return Double(two.exits + two.batches) / Double(three.exits + three.batches)
}

private func rateRatio(_ trace: ShadowTrace, microseconds: Int) -> Benchmark {
  Benchmark(
    name: "shadow/\(trace.rawValue)/speed-up/\(microseconds) µs",
    what: "speed of Shadow-3 over Shadow-2, an exit counted at \(microseconds) µs", unit: "×", required: 2
  ) { operations(trace, .few, microseconds) / operations(trace, .none, microseconds) }
}
