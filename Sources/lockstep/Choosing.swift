// SPDX-License-Identifier: Apache-2.0
//
// How the verbs of the specification side are told what to look at: machines, mutants, scopes.

import Logic
import Specs

/// The subjects whose names are given; all of them if none is.
func chosenSubjects(_ names: [String]) throws -> [Subject] {
  guard !names.isEmpty else { return subjects }
  return try names.map { name in
    guard let subject = subjects.first(where: { $0.name.lowercased() == name.lowercased() }) else {
      let known = subjects.map(\.name).joined(separator: ", ")
      throw CouldNotRun("no machine is called \"\(name)\"; there are \(known)")
    }
    return subject
  }
}

extension Subject {
  /// The machine, or one of its mutants by name.
  func specification(mutant: String?) throws -> Specification {
    guard let mutant else { return try make().trace() }
    guard let found = mutants.first(where: { $0.name == mutant }) else {
      let names = mutants.map { "\"\($0.name)\"" }.joined(separator: ", ")
      throw CouldNotRun("\(name) has no mutant \"\(mutant)\"; there are \(names)")
    }
    return try found.make().trace()
  }

  /// The machine's everyday scope, or the one that items such as "Frame=3" make of it.
  /// - Parameter realWords: whether words that no item names have their real sizes.
  func scope(_ items: [String], realWords: Bool = false) throws -> Scope {
    let everyday = scopes.first ?? .small
    let sorts = try make().trace().sorts
    var counts = everyday.counts
    if realWords {
      for sort in sorts where sort.kind == .word { counts[sort.name] = sort.realCount }
    }
    for item in items {
      let (name, count) = try Self.count(item)
      guard sorts.contains(where: { $0.name == name }) else {
        let known = Set(sorts.map(\.name)).sorted().joined(separator: ", ")
        throw CouldNotRun("--scope \(item): \(self.name) has no sort \(name); it has \(known)")
      }
      counts[name] = count
    }
    let words = realWords ? ["words of real size"] : []
    if items.isEmpty {
      return Scope(
        name: ([everyday.name] + words).joined(separator: ", "), counts: counts,
        arguments: everyday.arguments,
        excluding: everyday.excluded)
    }
    return Scope(name: (items + words).joined(separator: " "), counts: counts)
  }

  private static func count(_ item: String) throws -> (name: String, count: UInt64) {
    let parts = item.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2, let count = UInt64(parts[1]), count >= 1, count <= 1 << 16 else {
      throw CouldNotRun(
        "--scope \(item): give a sort and a number of values from 1 to 65536, such as Frame=3")
    }
    return (parts[0], count)
  }
}

extension Specification {
  /// All sorts that the state and the parameters have.
  fileprivate var sorts: Set<Sort> {
    Set(components.flatMap { [$0.sort] + $0.keys } + actions.flatMap { $0.parameters.map(\.sort) })
  }
}
