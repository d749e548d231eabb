// SPDX-License-Identifier: Apache-2.0

import Logic

extension Attempt {
  /// The states that a model of the refuted claim describes: what holds before, the steps, what is broken.
  ///
  /// - Parameter isEnumerated: whether to show every entry of every table rather than those in sight.
  func counterexample(_ model: SolverModel, isEnumerated: Bool = false) -> Counterexample {
    let specification = problem.specification
    let readings = isEnumerated ? everyReading() : readingsInSight()
    func value(of term: TermID) -> UInt64 { model.value(of: inNewVariables(term)) }
    func values(of state: any StateView) -> StateValues {
      var values: [Cell: UInt64] = [:]
      for reading in readings {
        let declared = specification.components[reading.component]
        let cell = Cell(declared.name, reading.keys.map(value))
        guard values[cell] == nil else { continue }
        let term =
          declared.keys.isEmpty
          ? state.scalar(reading.component) : state.entry(reading.component, reading.keys)
        values[cell] = value(of: term)
      }
      return StateValues(values, in: specification)
    }
    let raw = zip(claim.actions, zip(steps, arguments)).map { action, step in
      Counterexample.RawStep(
        action: action, arguments: step.1.map(value),
        results: step.0.results.map(value), after: values(of: step.0))
    }
    let violation = Counterexample.Violation(
      of: specification.invariants[claim.invariant], at: indices.map(value), in: specification)
    return Counterexample(
      specification, scope: problem.scope, origin: claim.isInitial ? .initial : .arbitrary,
      initial: values(of: first), steps: raw, violation: violation)
  }

  private struct Reading: Hashable {
    let component: Int
    let keys: [TermID]
  }

  /// What the question reads of the first state: all columns of every table entry read.
  private func readingsInSight() -> [Reading] {
    let components = problem.specification.components
    var seen: Set<Reading> = []
    var result: [Reading] = []
    for id in elaborator.reachable(from: assertions.map(\.term)) {
      let term = elaborator[id]
      let component: Int
      switch term.operation {
      case .scalar(_, let index), .entry(_, let index): component = index
      default: continue
      }
      for other in components.indices
      where components[other].variable == components[component].variable {
        let reading = Reading(component: other, keys: term.operands)
        if seen.insert(reading).inserted { result.append(reading) }
      }
    }
    return result
  }

  private func everyReading() -> [Reading] {
    problem.specification.components.enumerated().flatMap { index, component in
      elaborator.tuples(of: component.keys).map { Reading(component: index, keys: $0) }
    }
  }
}
