// SPDX-License-Identifier: Apache-2.0
//
// A traced specification: immutable, without sizes, ready for every engine.

/// Where in the source something was written.
public struct Site: Sendable, Hashable, Codable, CustomStringConvertible {
  public let file: String
  public let line: Int

  public init(_ file: StaticString, _ line: UInt) {
    self.file = "\(file)"
    self.line = Int(line)
  }

  /// A line of a file that is no source of ours.
  public init(file: String, line: Int) {
    self.file = file
    self.line = line
  }
  public var description: String { "\(file):\(line)" }
}

/// A condition without which an action cannot be taken.
public struct Guard: Sendable {
  /// Indices for all of whose values the condition is asked; most guards have none.
  public let bound: [Node]
  public let condition: Node
  /// The rule that asks for it, if one does.
  public let rule: String?
  public let site: Site
}

/// A scalar argument of an action; `sort` and a name for traces.
public struct Parameter: Sendable, Hashable {
  public let name: String
  public let sort: Sort
}

/// One action: its guards, its result and the components it changes, over the state before and the arguments.
public struct Action: Sendable {
  public let name: String
  public let parameters: [Parameter]
  public let guards: [Guard]
  /// What the action answers, scalar by scalar; empty for actions that answer nothing.
  public let results: [(scalar: Scalar, node: Node)]
  /// The expression of each component that the action changes, by the component's index.
  public let next: [Int: Node]
  /// The variables assigned, in the order of the body's statements: what "drop an assignment" can drop.
  public let assignments: [String]
  public let site: Site
}

/// A claim over all values of its bound nodes, in every reachable state.
public struct Invariant: Sendable {
  /// Which engines read it.
  public enum Reading: Sendable { case everywhere, explorationOnly, proofOnly }

  public let name: String
  public let rule: String?
  public let bound: [Node]
  public let body: Node
  public let reading: Reading
  public let site: Site
}

/// Something that must be reachable for some values of its bound nodes, so that nothing holds vacuously.
public struct Witness: Sendable {
  public let name: String
  public let bound: [Node]
  public let body: Node
  public let site: Site
}

/// A rule of the specification: prose with a number, and the name of what enforces it.
public struct Rule: Sendable, Hashable {
  public let number: String
  public let text: String
  /// Invariants (or, for a guard, actions) that enforce the rule.
  public let enforcedBy: [String]

  public init(_ number: String, _ text: String, by enforcedBy: String...) {
    self.number = number
    self.text = text
    self.enforcedBy = enforcedBy
  }
}

/// A specification as the engines see it.
public struct Specification: Sendable {
  public let name: String
  public let components: [Component]
  public let actions: [Action]
  public let invariants: [Invariant]
  public let witnesses: [Witness]
  /// Facts about components that no action changes; they restrict the initial states.
  public let assumptions: [Invariant]
  public let rules: [Rule]
  public let liveness: [LeadsTo]

  /// The index of the action called `name`.
  public func actionIndex(_ name: String) -> Int? { actions.firstIndex { $0.name == name } }

  /// The index of the component called `name`.
  public func componentIndex(_ name: String) -> Int? { components.firstIndex { $0.name == name } }
}

/// A specification that does not make sense, found when it is traced.
public struct SpecificationError: Error, CustomStringConvertible, Hashable {
  public let description: String
  public init(_ description: String) { self.description = description }
}
