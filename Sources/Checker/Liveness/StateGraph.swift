// SPDX-License-Identifier: Apache-2.0

import Logic

/// All states that a machine can reach, with the steps between them that change something, and where some conditions
/// hold.
struct StateGraph {
  /// A step: where it leads, and the action instance that it is.
  struct Edge {
    let target: UInt32
    let instance: UInt32
  }

  let instances: [ActionInstance]
  private let edges: [Edge]
  /// Where each state's edges begin; one more than there are states.
  private let starts: [Int]
  /// By condition, then by state.
  private let truths: [[Bool]]

  var count: Int { starts.count - 1 }

  func edges(of state: Int) -> ArraySlice<Edge> { edges[starts[state]..<starts[state + 1]] }

  func holds(_ condition: Int, in state: Int) -> Bool { truths[condition][state] }

  /// The graph of what an explorer has found: of every state, neither up to renaming nor with steps left out.
  init(_ explorer: Explorer) {
    precondition(!explorer.symmetry.isUseful && explorer.code.redundancy == nil, "every step is wanted")
    var edges: [Edge] = []
    var starts = [0]
    var truths = explorer.code.witnesses.map { _ in [Bool](repeating: false, count: explorer.stateCount) }
    for state in 0..<explorer.stateCount {
      explorer.forEachStep(from: state) { target, instance in
        guard target != state else { return }
        edges.append(
          Edge(
            target: UInt32(truncatingIfNeeded: target), instance: UInt32(truncatingIfNeeded: instance)))
      }
      starts.append(edges.count)
      for (condition, start) in explorer.code.witnesses.enumerated() {
        truths[condition][state] = explorer.executable.run(from: start, explorer.r) != 0
      }
    }
    instances = explorer.code.instances
    self.edges = edges
    self.starts = starts
    self.truths = truths
  }
}

extension Explorer {
  /// Every step from a state that was found: the number of the state that it leads to, and of the action instance.
  /// Leaves the state in the registers.
  func forEachStep(from number: Int, _ body: (_ target: Int, _ instance: Int) -> Void) {
    load(number)
    batch.clear()
    defer { batch.clear() }
    _ = batch.collect(
      from: store.state(number), number, redundant: store.redundant(number), executable, code.successors, r)
    for index in 0..<batch.count {
      guard let target = store.number(of: batch.successors + index * packed.words) else {
        preconditionFailure("a step leads to a state that was not found")
      }
      body(target, batch.instance(index))
    }
  }
}
