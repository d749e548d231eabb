// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

extension Verifier {
  struct Explored: Sendable {
    var scopes: [ExploredScope] = []
    var counterexample: Counterexample?
    var foundCanary = false
    var liveness: [LivenessResult] = []
  }

  static func scopes(of subject: Subject) -> [Scope] {
    subject.scopes.isEmpty ? [.small] : subject.scopes
  }

  func explore(_ specification: Specification, at scopes: [Scope]) throws(SpecificationError)
    -> Explored
  {
    var explored = Explored()
    for scope in scopes where shard?.owns(explorationOf: specification.name, at: scope) ?? true {
      if let known = known(specification, scope) {
        explored.scopes.append(known)
        continue
      }
      let found = try Explorer(specification, scope: scope).run()
      let result = ExploredScope(
        scope: scope.name, states: found.states, transitions: found.transitions,
        holds: scope == scopes[0] ? found.holds : found.isComplete)
      explored.scopes.append(result)
      explored.counterexample = explored.counterexample ?? found.counterexample
      if let key = key(specification, scope), result.holds {
        memory?.keep("\(result.states) \(result.transitions)", about: key, by: "explore")
      }
    }
    if explored.scopes.isEmpty {
      explored.foundCanary = true
    } else if let canary = Self.canary(of: specification) {
      let found = try Explorer(canary, scope: scopes[0]).run()
      explored.foundCanary = found.counterexample?.violation.name == canary.invariants[0].name
    }
    return explored
  }

  /// Found out anew, or remembered if all of it held.
  func liveness(of specification: Specification, at scope: Scope) throws(SpecificationError)
    -> [LivenessResult]
  {
    if specification.liveness.isEmpty { return [] }
    let key = key(specification, scope)
    let decoder = JSONDecoder()
    if let key, let note = memory?.note(about: key, by: "liveness"),
      let known = try? decoder.decode([LivenessResult].self, from: Data(note.utf8))
    {
      return known
    }
    let results = try LivenessCheck(specification, scope: scope).results()
    if let key, results.allSatisfy(\.holds), let note = try? JSONEncoder().encode(results) {
      memory?.keep(String(decoding: note, as: UTF8.self), about: key, by: "liveness")
    }
    return results
  }

  private func key(_ specification: Specification, _ scope: Scope) -> ContentHash? {
    program.map { ContentHash(of: "\($0.hash) \(specification.name) \(scope.name)") }
  }

  private func known(_ specification: Specification, _ scope: Scope) -> ExploredScope? {
    guard let key = key(specification, scope), let note = memory?.note(about: key, by: "explore") else {
      return nil
    }
    let numbers = note.split(separator: " ").compactMap { Int($0) }
    guard numbers.count == 2 else { return nil }
    return ExploredScope(scope: scope.name, states: numbers[0], transitions: numbers[1], holds: true)
  }

  /// The machine with one claim, that what is reachable is not.
  static func canary(of specification: Specification) -> Specification? {
    witness(of: specification).map { specification.replacingInvariants(with: [Invariant(canary: $0)]) }
  }

  static func witness(of specification: Specification) -> Witness? {
    specification.witnesses.first(where: \.bound.isEmpty) ?? specification.witnesses.first
  }
}
