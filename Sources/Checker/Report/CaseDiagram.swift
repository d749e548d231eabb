// SPDX-License-Identifier: Apache-2.0

import Logic

/// How a variable with named cases moves between them, and by which actions: the reachable graph, seen through that one
/// variable (through any entry of it, if it is a table); of a machine that has none, its truth values. Computed from an exploration; nothing in it is drawn by hand.
public struct CaseDiagram: Sendable, Hashable {
  public struct Edge: Sendable, Hashable {
    public let from: Int
    public let to: Int
    /// In the order of the specification.
    public let actions: [String]
  }

  /// The component's name.
  public let component: String
  /// Those cases that occur.
  public let cases: [String]
  /// The case at the beginning, by its position in `cases`; nil if that may be any.
  public let initial: Int?
  public let edges: [Edge]
  /// States that were looked at, and whether those are all at the scope.
  public let states: Int
  public let isWhole: Bool

  /// The diagrams of a specification's variables that have few enough cases and moves to be looked at, those with the most
  /// to see first.
  /// - Parameters:
  ///   - attempts: how many times an action may be tried: what bounds the work.
  ///   - count: the most that are wanted.
  public static func all(
    of specification: Specification, scope: Scope, attempts: Int = 2_000_000, count: Int = 3
  ) throws(SpecificationError) -> [CaseDiagram] {
    var chosen = specification.components.indices.filter { index in
      let component = specification.components[index]
      guard component.role == .state, case .choice(let cases) = component.sort.kind else { return false }
      return (2...9).contains(cases.count)
    }
    if chosen.isEmpty {
      chosen = specification.components.indices.filter {
        specification.components[$0].role != .witness && specification.components[$0].sort == .bit
      }
    }
    guard !chosen.isEmpty else { return [] }
    var moves = try Moves(specification, scope: scope)
    try moves.collect(chosen, attempts)
    let diagrams = chosen.compactMap { moves.diagram(of: $0) }.filter { (2...24).contains($0.edges.count) }
    // Two variables that move alike show the same picture.
    var seen: Set<[Edge]> = []
    let different = diagrams.filter { seen.insert($0.edges).inserted }
    return Array(
      different.sorted { ($0.cases.count, $0.edges.count) > ($1.cases.count, $1.edges.count) }.prefix(count))
  }
}

/// Steps taken from the states that an exploration found.
private struct Moves {
  private let specification: Specification
  private let scope: Scope
  private let explorer: Explorer
  private let simulator: Simulator
  private let isWhole: Bool
  private var states = 0
  /// By component: from case, to case, by action.
  private var found: [Int: [Move: Set<Int>]] = [:]

  private struct Move: Hashable {
    let from: UInt64
    let to: UInt64
  }

  init(_ specification: Specification, scope: Scope) throws(SpecificationError) {
    self.specification = specification
    self.scope = scope
    var options = ExplorationOptions()
    options.maximumStates = 50_000
    explorer = try Explorer(specification, scope: scope, options: options)
    isWhole = explorer.run().isComplete
    simulator = Simulator(try ProgramSet(specification, scope: scope))
  }

  mutating func collect(_ components: [Int], _ attempts: Int) throws(SpecificationError) {
    let instances = specification.actions.indices.flatMap {
      InstancePlan.instances(of: $0, in: specification, scope)
    }
    guard !instances.isEmpty else { return }
    var owners = [Int](repeating: -1, count: simulator.layout.count)
    for component in components {
      guard let place = simulator.layout.places[component] else { continue }
      for register in place.base..<place.base + place.count { owners[register] = component }
    }
    // Evenly over all that were found: early states know nothing of what comes late.
    let affordable = max(1, attempts / instances.count)
    let step = max(1, explorer.stateCount / affordable)
    for number in stride(from: 0, to: explorer.stateCount, by: step) {
      guard simulator.load(explorer.state(number)) else { continue }
      states += 1
      for instance in instances where simulator.run(instance.action, instance.arguments) {
        for change in simulator.pendingChanges where owners[change.register] >= 0 {
          let move = Move(from: change.before, to: change.after)
          found[owners[change.register], default: [:]][move, default: []].insert(instance.action)
        }
      }
    }
  }

  func diagram(of index: Int) -> CaseDiagram? {
    let component = specification.components[index]
    guard let names = component.caseNames, let moves = found[index] else { return nil }
    var occurring = Set(moves.keys.flatMap { [$0.from, $0.to] })
    var first: UInt64?
    if case .value(let value) = component.initial {
      first = value
      occurring.insert(value)
    }
    let order = occurring.sorted { a, b in a == first ? b != first : b != first && a < b }
    let position = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, $0) })
    let edges = moves.compactMap { move, actions -> CaseDiagram.Edge? in
      guard let from = position[move.from], let to = position[move.to] else { return nil }
      return CaseDiagram.Edge(
        from: from, to: to, actions: actions.sorted().map { specification.actions[$0].name })
    }
    return CaseDiagram(
      component: component.name, cases: order.map { names[Int($0)] }, initial: first.flatMap { position[$0] },
      edges: edges.sorted { ($0.from, $0.to) < ($1.from, $1.to) }, states: states,
      isWhole: isWhole && states == explorer.stateCount)
  }
}

extension Component {
  /// By value, what a diagram calls it; nil for a number or an identity.
  fileprivate var caseNames: [String]? {
    switch sort.kind {
    case .choice(let names): names
    case .bit: ["not \(name)", name]
    case .word, .identity: nil
    }
  }
}

/// Which variables each action reads and writes.
public struct ActionStructure: Sendable, Hashable {
  public let variables: [String]
  public let actions: [(name: String, reads: Set<Int>, writes: Set<Int>)]

  public init(_ specification: Specification) {
    var variables: [String] = []
    for component in specification.components
    where component.role != .witness && !variables.contains(component.variable) {
      variables.append(component.variable)
    }
    let positions = specification.components.map { component in
      component.role == .witness ? nil : variables.firstIndex(of: component.variable)
    }
    self.variables = variables
    actions = specification.actions.map { action in
      let present = action.next.filter { positions[$0.key] != nil }
      let roots = action.guards.map(\.condition) + action.results.map(\.node) + present.map(\.value)
      let reads = Specification.nodes(below: roots).compactMap { node -> Int? in
        switch node.operation {
        case .stateScalar(let index): positions[index]
        // A table that is only stored to is not read.
        case .select: Self.table(node.operands[0]).flatMap { positions[$0] }
        default: nil
        }
      }
      return (action.name, Set(reads), Set(present.keys.compactMap { positions[$0] }))
    }
  }

  private static func table(_ node: Node) -> Int? {
    switch node.operation {
    case .stateTable(let index): index
    case .store: table(node.operands[0])
    default: nil
    }
  }

  public static func == (a: Self, b: Self) -> Bool {
    a.variables == b.variables
      && a.actions.elementsEqual(b.actions) {
        $0.name == $1.name && $0.reads == $1.reads && $0.writes == $1.writes
      }
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(variables) }
}
