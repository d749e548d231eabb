// SPDX-License-Identifier: Apache-2.0

/// What became of a mutant.
public struct MutantVerdict: Sendable, Codable {
  /// What noticed it.
  public enum Killer: Sendable, Codable, Hashable {
    /// An invariant, and the rule that it enforces.
    case invariant(String, rule: String?)
    /// A guard that a rule asks for was passed over: the rule, the action and the place.
    case guarded(String)
    /// The machine answers a caller otherwise than the specification.
    case answer(action: String)
    /// Something that must be reachable is not.
    case witness(String)
  }

  public enum Result: Sendable, Codable {
    case killed(Killer, depth: Int?)
    /// It is no bug: why, and whether an engine found that (or a person wrote it).
    case equivalent(String, isProven: Bool)
    /// Nothing noticed it: in what it differs, as far as is known.
    case survived(String)
  }

  public let name: String
  /// What is changed, in the source's words.
  public let change: String
  public let result: Result
  /// For a mutant written by hand: the invariant or rule that was expected to kill it.
  public let expected: String?
  /// Whether that one kills it; nil where nothing was expected.
  public let isAsExpected: Bool?
  public let seconds: Double

  /// Whether the mutant is accounted for.
  public var passes: Bool {
    if case .survived = result { return false }
    return isAsExpected ?? true
  }
}

extension MutantVerdict.Killer: CustomStringConvertible {
  public var description: String {
    switch self {
    case .invariant(let name, let rule): name + (rule.map { " (\($0))" } ?? "")
    case .guarded(let place): place
    case .answer(let action): "answer of \(action)"
    case .witness(let name): "never: \(name)"
    }
  }

  /// Whether this is the invariant or the rule called `name`.
  func isCalled(_ name: String) -> Bool {
    switch self {
    case .invariant(let own, let rule): own == name || rule == name
    case .guarded(let place): place.hasPrefix(name + ":")
    case .answer(let action): action == name
    case .witness(let own): own == name
    }
  }
}
