// SPDX-License-Identifier: Apache-2.0

import Logic

extension Explorer {
  /// The way to a state, in steps of the machine as it is: where states were taken up to renaming, names are those of
  /// one run.
  /// - Parameter rest: states that the run goes on to, each found from the one before.
  func counterexample(
    to number: Int, then rest: [Int] = [], _ violation: Counterexample.Violation
  ) -> Counterexample {
    var chain = [number]
    while let parent = store.parent(of: chain[0]) { chain.insert(parent, at: 0) }
    chain += rest
    let interpreter = Interpreter(layout)
    let initial = packed.unpack(store.state(chain[0]))
    var state = initial
    var steps: [Counterexample.RawStep] = []
    for next in chain.dropFirst() {
      let instance = instance(from: state, to: next)
      let action = layout.specification.actions[instance.action]
      guard let outcome = interpreter.step(action, instance.arguments, in: state) else {
        preconditionFailure("\(action.name): the evaluator and the interpreter disagree")
      }
      state = outcome.state
      steps.append(
        Counterexample.RawStep(
          action: instance.action, arguments: instance.arguments, results: outcome.results,
          after: layout.values(of: state)))
    }
    var violation = violation
    // The indices at which it fails were those of the state's representative.
    if violation.kind == .invariant,
      let claim = layout.specification.invariants.first(where: { $0.name == violation.name }),
      let indices = interpreter.counterexample(to: claim, in: state)
    {
      violation = Counterexample.Violation(of: claim, at: indices, in: layout.specification)
    }
    return Counterexample(
      layout.specification, scope: layout.scope, initial: layout.values(of: initial), steps: steps,
      violation: violation)
  }

  /// An action instance that leads from a state to (a renaming of) a state that was found from it.
  private func instance(from state: [UInt64], to number: Int) -> ActionInstance {
    let wanted = store.state(number)
    let from = UnsafeMutablePointer<UInt64>.allocate(capacity: packed.words)
    defer { from.deallocate() }
    r.update(from: state, count: state.count)
    packed.pack(r, into: from)
    batch.clear()
    defer { batch.clear() }
    // Whatever was left out, a state that was found is led to by what is possible.
    let nothing = [UInt64](repeating: 0, count: max(1, code.redundancy?.words ?? 0))
    _ = batch.collect(from: from, 0, redundant: nothing, executable, code.successors, r)
    symmetry.canonicalize(batch)
    for index in 0..<batch.count {
      let successor = batch.successors + index * packed.words
      if (0..<packed.words).allSatisfy({ successor[$0] == wanted[$0] }) {
        return code.instances[batch.instance(index)]
      }
    }
    preconditionFailure("no action leads to a state that was found")
  }
}
