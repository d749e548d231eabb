// SPDX-License-Identifier: Apache-2.0

/// A bug that was real, as a one-place change of a specification: a subclass that overrides one method.
public struct HandMutant: Sendable {
  public let name: String
  /// Where the bug was: an advisory, a commit, or "classic".
  public let advisory: String
  /// What goes wrong, in one sentence.
  public let mechanism: String
  /// The invariant (or rule) expected to catch it.
  public let expectedKiller: String
  public let make: @Sendable () -> Machine

  public init(
    _ name: String, advisory: String, mechanism: String, killer expectedKiller: String,
    make: @escaping @Sendable () -> Machine
  ) {
    self.name = name
    self.advisory = advisory
    self.mechanism = mechanism
    self.expectedKiller = expectedKiller
    self.make = make
  }
}

/// A mechanical mutant that is not a bug, by its generated name, and why it is none.
public struct EquivalentMutant: Sendable {
  public let name: String
  public let reason: String

  public init(_ name: String, because reason: String) {
    self.name = name
    self.reason = reason
  }
}

/// One machine as the engines take it: how to make it, where to explore it, and which bugs it must catch.
public struct Subject: Sendable {
  public let name: String
  public let make: @Sendable () -> Machine
  /// Scopes to explore, the one for every day first.
  public let scopes: [Scope]
  /// Where it is explored what must come about in the end: every state and step of it, no renaming spared.
  public let livenessScope: Scope
  public let mutants: [HandMutant]
  public let equivalents: [EquivalentMutant]

  public init(
    _ name: String, scopes: [Scope], livenessScope: Scope? = nil, mutants: [HandMutant],
    equivalents: [EquivalentMutant] = [], make: @escaping @Sendable () -> Machine
  ) {
    self.name = name
    self.make = make
    self.scopes = scopes
    self.livenessScope = livenessScope ?? scopes.first ?? .small
    self.mutants = mutants
    self.equivalents = equivalents
  }
}
