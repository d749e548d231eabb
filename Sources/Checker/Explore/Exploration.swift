// SPDX-License-Identifier: Apache-2.0

import Logic

/// How an exploration is done.
public struct ExplorationOptions: Sendable {
  /// Whether states that differ by a renaming of interchangeable names count as one.
  public var usesSymmetry = true
  /// Whether an action is left out in a state where it only leads to what others lead to as fast. The states found,
  /// their depths and the transitions counted are the same.
  public var leavesOutRedundant = true
  /// Whether machine code is run, where there can be; otherwise the register programs are interpreted.
  public var isNative = true
  /// In bytes; where it is reached the exploration ends with `.outOfMemory`.
  public var memoryLimit = 4 << 30
  /// Steps from an initial state beyond which nothing is explored.
  public var maximumDepth = Int.max
  /// Distinct states at which the exploration ends with `.outOfStates`.
  public var maximumStates = Int.max
  /// Whether a state in which no action is possible ends the exploration as a violation.
  public var forbidsDeadlock = false

  public init() {}
}

/// How far an exploration is.
public struct ExplorationProgress: Sendable {
  /// Distinct states found.
  public let states: Int
  /// Actions possible in the states explored.
  public let transitions: Int
  /// Steps from an initial state to the states being explored.
  public let depth: Int
  /// Distinct states found that are not explored yet.
  public let waiting: Int
  public let seconds: Double
  /// Distinct states a second.
  public var rate: Double { seconds > 0 ? Double(states) / seconds : 0 }
}

/// What an exploration found.
public struct Exploration: Sendable {
  public enum Outcome: Sendable {
    /// Every reachable state was seen (up to `maximumDepth`, if that was set), and none breaks a rule.
    case complete
    case violated(Counterexample)
    /// The memory bound was reached.
    case outOfMemory
    /// `maximumStates` were found.
    case outOfStates
    case cancelled
  }

  public let specification: String
  public let scope: Scope
  public let outcome: Outcome
  /// Distinct states (with symmetry: up to renaming), all of them if the outcome is `.complete`.
  public let states: Int
  public let initialStates: Int
  /// Actions possible, over the states explored.
  public let transitions: Int
  /// How many of those were followed to a successor: not those that change nothing or were left out.
  public let taken: Int
  /// The longest of the shortest ways to a state.
  public let depth: Int
  /// States explored in which no action is possible.
  public let deadlocks: Int
  /// Witnesses by name: reached or not.
  public let witnesses: [(name: String, isReached: Bool)]
  public let usesSymmetry: Bool
  public let seconds: Double

  /// Whether everything was seen, and no rule is broken.
  public var isComplete: Bool {
    if case .complete = outcome { true } else { false }
  }

  /// Whether moreover nothing holds vacuously: what a machine's first scope owes.
  public var holds: Bool { isComplete && witnesses.allSatisfy(\.isReached) }

  /// The way to a broken rule, if there is one.
  public var counterexample: Counterexample? {
    if case .violated(let counterexample) = outcome { return counterexample }
    return nil
  }
}
