// SPDX-License-Identifier: Apache-2.0

import Logic

extension Specification {
  /// Whether two specifications do the same at real size in every state, reachable or not, by having the same terms.
  public func isSame(as other: Specification) -> Bool {
    guard components == other.components, actions.map(\.parameters) == other.actions.map(\.parameters) else {
      return false
    }
    let elaborator = Elaborator(self, scope: .real)
    return zip(actions, other.actions).allSatisfy { mine, theirs in
      Self.terms(of: mine, elaborator, mine, theirs) == Self.terms(of: theirs, elaborator, mine, theirs)
    }
  }

  /// Guards, answers and the components that either changes, at arguments and keys that are named alike.
  private static func terms(of action: Action, _ e: Elaborator, _ mine: Action, _ theirs: Action)
    -> [[TermID]]
  {
    let names = SharedSymbols(e)
    let arguments = action.parameters.enumerated().map {
      names.symbol("argument \($0.offset)", $0.element.sort)
    }
    let after = SuccessorState(e, after: action, arguments: arguments, from: BaseState(e))
    let guards = action.guards.map { item in
      after.instance(
        of: item, at: item.bound.enumerated().map { names.symbol("index \($0.offset)", $0.element.sort) })
    }
    let changed = Set(mine.next.keys).union(theirs.next.keys).sorted()
    let next = changed.map { index in
      let keys = e.specification.components[index].keys
      return keys.isEmpty
        ? after.scalar(index)
        : after.entry(index, keys.enumerated().map { names.symbol("key \($0.offset)", $0.element) })
    }
    return [[e.all(guards)], after.results, next]
  }
}

/// Gives the same symbol for the same name and sort, whoever asks.
private struct SharedSymbols {
  let elaborator: Elaborator

  init(_ elaborator: Elaborator) { self.elaborator = elaborator }

  func symbol(_ name: String, _ sort: Sort) -> TermID {
    let known = elaborator.symbols.firstIndex { $0.name == name && $0.sort == sort }
    if let known { return elaborator.symbolTerm(known) }
    return elaborator.symbol(name, sort)
  }
}
