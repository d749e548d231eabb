// SPDX-License-Identifier: Apache-2.0
//
// How the verbs of the specification side are told what to look at: machines, mutants, scopes.

import Logic
import Specs

/// The subjects whose names are given; all of them if none is.
func chosenSubjects(_ names: [String]) throws -> [Subject] {
  try chosen(names, from: subjects, named: \.name) { "no machine is called \"\($0)\"" }
}

/// The items whose names are given, in capitals or not; all of them if none is.
/// - Parameter missing: what is said of a name that none has, before those that there are.
func chosen<Item>(
  _ names: [String], from items: [Item], named name: (Item) -> String, missing: (String) -> String
) throws -> [Item] {
  guard !names.isEmpty else { return items }
  return try names.map { wanted in
    guard let item = items.first(where: { name($0).lowercased() == wanted.lowercased() }) else {
      throw CouldNotRun("\(missing(wanted)); there are \(items.map(name).joined(separator: ", "))")
    }
    return item
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

  /// The machine's own scopes, or the one that items such as "Frame=3" make of the first.
  /// - Parameter realWords: whether words that no item names have their real sizes.
  func scopes(_ items: [String], realWords: Bool = false) throws -> [Scope] {
    let sorts = try make().trace().sorts
    let words: [String: UInt64] =
      realWords
      ? Dictionary(uniqueKeysWithValues: sorts.filter { $0.kind == .word }.map { ($0.name, $0.realCount) })
      : [:]
    let suffix = realWords ? ", words of real size" : ""
    func sized(_ scope: Scope, _ counts: [String: UInt64], name: String) -> Scope {
      var scope = Scope(
        name: name + suffix, counts: scope.counts, arguments: scope.arguments, excluding: scope.excluded)
      scope.counts.merge(words) { $1 }
      scope.counts.merge(counts) { $1 }
      return scope
    }
    if items.isEmpty { return scopes.map { sized($0, [:], name: $0.name) } }
    var counts: [String: UInt64] = [:]
    for item in items {
      let (name, count) = try Self.count(item)
      guard sorts.contains(where: { $0.name == name }) else {
        let known = Set(sorts.map(\.name)).sorted().joined(separator: ", ")
        throw CouldNotRun("--scope \(item): \(self.name) has no sort \(name); it has \(known)")
      }
      counts[name] = count
    }
    // Who chooses sizes looks at everything that they allow.
    return [
      sized(Scope(name: "", counts: scopes.first?.counts ?? [:]), counts, name: items.joined(separator: " "))
    ]
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
