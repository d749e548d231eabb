// SPDX-License-Identifier: Apache-2.0

import Logic

/// A machine at a scope, walked by hand: where a path of steps leads, what is possible there, and what holds.
///
/// It remembers nothing between two questions: a path is looked at from its beginning each time.
public final class Walk {
  public let layout: StateLayout
  private let simulator: Simulator
  private let interpreter: Interpreter
  private let starts: Explorer
  private let instances: [ActionInstance]

  /// Where a walk has come to: a state to begin in, and steps.
  public struct Path: Sendable, Hashable, Codable {
    /// Which initial state, from 0.
    public var start: Int
    public var steps: [Step]

    public init(start: Int = 0, steps: [Step] = []) {
      self.start = start
      self.steps = steps
    }
  }

  /// An action of the specification, with a value for each parameter.
  public struct Step: Sendable, Hashable, Codable {
    public let action: String
    public let arguments: [UInt64]

    public init(_ action: String, _ arguments: [UInt64] = []) {
      self.action = action
      self.arguments = arguments
    }
  }

  /// The most steps of a path.
  public static let longest = 2000

  /// - Throws: if the specification does not fit the scope.
  public init(_ specification: Specification, scope: Scope) throws(SpecificationError) {
    layout = try StateLayout(specification, scope: scope)
    simulator = Simulator(try ProgramSet(specification, scope: scope))
    interpreter = Interpreter(layout)
    var options = ExplorationOptions()
    options.maximumDepth = 0
    options.usesSymmetry = false
    starts = try Explorer(specification, scope: scope, options: options)
    _ = starts.run()
    instances = specification.actions.indices.flatMap {
      InstancePlan.instances(of: $0, in: specification, scope)
    }
  }

  /// How many initial states there are.
  public var startCount: Int { starts.stateCount }

  var specification: Specification { layout.specification }

  /// What there is to see at the end of a path.
  /// - Throws: if there is no such path: the step that is not possible, or not of this machine.
  public func view(of path: Path) throws(WalkError) -> View {
    let run = try follow(path)
    let state = run.states[run.states.count - 1]
    let before = run.states.dropLast().last
    _ = simulator.load(state)
    return View(
      path: path, trail: run.trail, state: entries(state, before), possible: possible(),
      claims: claims(in: state), text: text(of: run))
  }

  // MARK: Following a path

  struct Run {
    var states: [[UInt64]]
    var trail: [View.Taken] = []
  }

  func initialState(_ number: Int) throws(WalkError) -> [UInt64] {
    guard number >= 0, number < startCount else {
      throw WalkError("there is no initial state \(number): there are \(startCount)")
    }
    return starts.state(number)
  }

  private func follow(_ path: Path) throws(WalkError) -> Run {
    guard path.steps.count <= Self.longest else {
      throw WalkError("a path has at most \(Self.longest) steps, and this one \(path.steps.count)")
    }
    var run = Run(states: [try initialState(path.start)])
    _ = simulator.load(run.states[0])
    for (number, step) in path.steps.enumerated() {
      guard let action = specification.actionIndex(step.action),
        specification.actions[action].parameters.count == step.arguments.count
      else {
        throw WalkError("step \(number + 1): \(specification.name) has no \(step.action) of these arguments")
      }
      let instance = ActionInstance(action: action, arguments: step.arguments)
      guard simulator.run(action, step.arguments) else {
        throw WalkError("step \(number + 1): \(call(instance, results: [])) is not possible here")
      }
      run.trail.append(taken(instance))
      simulator.commit()
      run.states.append(Array(simulator.state))
    }
    return run
  }

  /// The action that the simulator has worked out.
  private func taken(_ instance: ActionInstance) -> View.Taken {
    View.Taken(
      step: Step(specification.actions[instance.action].name, instance.arguments),
      call: call(instance, results: simulator.results),
      changes: layout.describe(simulator.pendingChanges))
  }

  private func call(_ instance: ActionInstance, results: [UInt64]) -> String {
    let action = specification.actions[instance.action]
    return Counterexample.Step(
      action: action.name,
      arguments: zip(action.parameters, instance.arguments).map { .init($0.name, $1, $0.sort) },
      results: zip(action.results, results).map { .init($0.scalar.name, $1, $0.scalar.sort) },
      after: StateValues([:], in: specification), differences: []
    ).call
  }

  // MARK: A state

  private func possible() -> [View.Taken] {
    instances.compactMap { simulator.run($0.action, $0.arguments) ? taken($0) : nil }
  }

  private func entries(_ state: [UInt64], _ before: [UInt64]?) -> [View.Entry] {
    let changes = before.map { Set(layout.differences($0, state).map { Self.split($0).title }) } ?? []
    return layout.describe(state).map { line in
      let (title, value) = Self.split(line)
      return View.Entry(name: title, value: value, isChanged: changes.contains(title))
    }
  }

  /// `lamps[domain0]: light red` as its two parts.
  private static func split(_ line: String) -> (title: String, value: String) {
    guard let range = line.firstRange(of: ": ") else { return (line, "") }
    return (String(line[..<range.lowerBound]), String(line[range.upperBound...]))
  }

  private func claims(in state: [UInt64]) -> [View.Claim] {
    let invariants = specification.invariants.filter { $0.reading != .proofOnly }.map { claim in
      let failure = interpreter.counterexample(to: claim, in: state)
      let indices = failure.map { Counterexample.Violation(of: claim, at: $0, in: specification).indices }
      return View.Claim(
        name: claim.name, rule: claim.rule, isInvariant: true, holds: failure == nil,
        indices: indices?.map { "\($0.name) = \($0.text)" }.joined(separator: ", ") ?? "")
    }
    let witnesses = specification.witnesses.map {
      View.Claim(
        name: $0.name, rule: nil, isInvariant: false, holds: interpreter.holds($0, in: state), indices: "")
    }
    return invariants + witnesses
  }
}

/// Why a path leads nowhere, in one line.
public struct WalkError: Error, CustomStringConvertible, Hashable {
  public let description: String
  public init(_ description: String) { self.description = description }
}

extension Walk {
  /// A state as a person looks at it, with the way there and the ways on.
  public struct View: Sendable, Codable {
    /// A step, as a call with its answer, and what it changes.
    public struct Taken: Sendable, Hashable, Codable {
      public let step: Step
      public let call: String
      public let changes: [String]
    }
    /// A variable, or an entry of a table.
    public struct Entry: Sendable, Hashable, Codable {
      public let name: String
      public let value: String
      /// By the last step.
      public let isChanged: Bool
    }
    /// An invariant, or what must be reachable.
    public struct Claim: Sendable, Hashable, Codable {
      public let name: String
      public let rule: String?
      public let isInvariant: Bool
      public let holds: Bool
      /// Where it fails.
      public let indices: String
    }

    public let path: Path
    public let trail: [Taken]
    public let state: [Entry]
    public let possible: [Taken]
    public let claims: [Claim]
    /// The path as text, to be copied.
    public let text: String
  }
}
