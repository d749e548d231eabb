// SPDX-License-Identifier: Apache-2.0
//
// Every state of a specification that one side and its surroundings can reach at a small scope, and in each every step
// of the implementation: each operation that may begin there, each access that may come next, each end of an
// operation. The surroundings take every step that the specification allows them.
//
// The implementation is a value. What an operation does after the answers that it has had so far is found by running
// it again from its beginning.

import Logic

/// One side of a machine, as an exhaustive comparison drives it.
protocol ExploredSide: AnyObject {
  /// An operation in progress: where it began, and what it has been answered.
  associatedtype Control: Hashable

  var oracle: Oracle { get }
  /// The states in which the specification begins.
  var beginnings: [[UInt64]] { get }
  /// Who may take a step of the specification.
  func actor(of action: Int, _ arguments: [UInt64]) -> StepActor
  /// Whether anybody takes the step at the scope of the comparison; otherwise it is left out on both sides.
  func isInScope(_ action: Int, _ arguments: [UInt64]) -> Bool
  /// The operations that may begin where the oracle stands.
  func begin(_ visit: (Control) throws(Divergence) -> Void) throws(Divergence)
  /// Runs an operation one access further, or to its end; the oracle stands where the operation does.
  func resume(_ control: Control) throws(Divergence) -> Resumption<Control>
  /// "back take": for a trace.
  func describe(_ control: Control) -> String
}

extension ExploredSide {
  func isInScope(_ action: Int, _ arguments: [UInt64]) -> Bool { true }
}

enum StepActor {
  /// The implementation, in its operations.
  case side
  /// Whoever uses the implementation, between its operations.
  case user
  case surroundings
}

/// How an operation goes on.
enum Resumption<Control> {
  /// It waits for its surroundings.
  case waits
  /// It has made one access; the oracle stands after it.
  case advances(Control, action: Int)
  case ends
}

/// A step of a specification that others than the implementation may take; a value without memory of its own.
private struct ExploredStep {
  let action: Int
  let actor: StepActor
  let count: Int
  let first: UInt64
  let second: UInt64
  let third: UInt64

  init(_ action: Int, _ arguments: [UInt64], _ actor: StepActor) {
    precondition(arguments.count <= 3, "steps of at most three arguments")
    self.action = action
    self.actor = actor
    count = arguments.count
    first = arguments.first ?? 0
    second = arguments.count > 1 ? arguments[1] : 0
    third = arguments.count > 2 ? arguments[2] : 0
  }

  func run(on simulator: Simulator) -> Bool {
    if count > 0 { simulator.setArgument(0, to: first) }
    if count > 1 { simulator.setArgument(1, to: second) }
    if count > 2 { simulator.setArgument(2, to: third) }
    return simulator.run(action)
  }

  func describe(in specification: Specification) -> String {
    SpecificationStep(action: action, arguments: Array([first, second, third].prefix(count)), results: [])
      .describe(in: specification)
  }
}

/// How a node was first reached.
private enum ExploredMove {
  case beginning
  case step(Int32)
  case access(control: Int32, action: Int32)
  case end(control: Int32)
}

/// Explores one side together with its specification, breadth first.
final class JointExploration<Side: ExploredSide> {
  private let side: Side
  private let packing: StatePacking
  private let simulator: Simulator
  private let specification: Specification
  private let steps: ContiguousArray<ExploredStep>
  /// Nodes: a packed state, then the number of a control (0 between operations).
  private let nodes: StateStore
  private let states: StateStore
  /// By node.
  private var moves: [ExploredMove] = []
  private var controls: [Side.Control] = []
  private var numbers: [Side.Control: Int32] = [:]
  private let node: UnsafeMutablePointer<UInt64>
  private let registers: UnsafeMutablePointer<UInt64>
  private let registerCount: Int
  private(set) var transitions = 0
  private var current = 0

  init(_ side: Side) {
    self.side = side
    simulator = side.oracle.simulator
    let layout = simulator.layout
    specification = layout.specification
    packing = StatePacking(layout)
    steps = ContiguousArray(
      layout.specification.actions.indices.flatMap { action in
        layout.scope.arguments(of: layout.specification.actions[action]).filter { side.isInScope(action, $0) }
          .map { ExploredStep(action, $0, side.actor(of: action, $0)) }
      })
    // Address space, taken up as it is used.
    guard let nodes = StateStore(words: packing.words + 1, memoryLimit: 3 << 30),
      let states = StateStore(words: packing.words, memoryLimit: 3 << 30)
    else { fatalError("no address space for an exploration") }
    self.nodes = nodes
    self.states = states
    node = .allocate(capacity: packing.words + 1)
    registerCount = layout.count
    registers = .allocate(capacity: layout.count)
  }

  deinit {
    node.deallocate()
    registers.deallocate()
  }

  /// - Parameter report: is given the counts and what was found.
  func run(_ report: inout ExhaustiveReport, progress: ExhaustiveProgress.Observer?) {
    do throws(Divergence) {
      try explore(&report, progress)
    } catch {
      report.divergence = error
      report.divergence?.trace = path
    }
    report.states += states.count
    report.transitions += transitions
  }

  private func explore(_ report: inout ExhaustiveReport, _ progress: ExhaustiveProgress.Observer?)
    throws(Divergence)
  {
    for state in side.beginnings {
      precondition(simulator.load(state), "a state of the specification")
      visit(0, by: .beginning)
    }
    while current < nodes.count {
      packing.unpack(nodes.state(current), into: registers)
      let control = Int(nodes.state(current)[packing.words])
      surround(control)
      enter()
      if control == 0 {
        try side.begin { (begun) throws(Divergence) in try resume(begun, number: 0) }
      } else {
        try resume(controls[control - 1], number: control)
      }
      if isFull { return report.incomplete = "memory for \(nodes.count) nodes, and no more" }
      current += 1
      if current & 0xFFF == 0 {
        progress?(ExhaustiveProgress(states: states.count, transitions: transitions))
      }
    }
  }

  private var isFull = false

  /// Puts the simulator into the state being explored.
  private func enter() { simulator.registers.update(from: registers, count: registerCount) }

  /// Adds the simulator's state, with an operation in progress.
  private func visit(_ control: Int, by move: ExploredMove) {
    packing.pack(simulator.registers, into: node)
    node[packing.words] = UInt64(control)
    switch nodes.insert(node, parent: moves.isEmpty ? nil : current) {
    case .known: return
    case .outOfMemory: isFull = true
    case .new:
      moves.append(move)
      if states.insert(node, parent: nil) == .outOfMemory { isFull = true }
    }
  }

  /// Every step of the surroundings.
  private func surround(_ control: Int) {
    enter()
    for index in steps.indices {
      let step = steps[index]
      if step.actor == .side || (control != 0 && step.actor == .user) { continue }
      guard step.run(on: simulator) else { continue }
      simulator.commit()
      transitions += 1
      visit(control, by: .step(Int32(index)))
      enter()
    }
  }

  /// - Parameter number: the control's; 0 for an operation that begins.
  private func resume(_ control: Side.Control, number: Int) throws(Divergence) {
    transitions += 1
    let resumption = try side.resume(control)
    switch resumption {
    case .waits: return
    case .advances(let next, let action):
      visit(Int(numbered(next)), by: .access(control: numbered(control), action: Int32(action)))
    case .ends: visit(0, by: .end(control: numbered(control)))
    }
    enter()
  }

  private func numbered(_ control: Side.Control) -> Int32 {
    if let number = numbers[control] { return number }
    controls.append(control)
    numbers[control] = Int32(controls.count)
    return Int32(controls.count)
  }

  /// The shortest way to where the divergence was found.
  private var path: [String] {
    var lines: [String] = []
    var next: Int? = current
    while let number = next, number < moves.count {
      switch moves[number] {
      case .beginning: break
      case .step(let index):
        lines.append(steps[Int(index)].describe(in: specification))
      case .access(let control, let action):
        lines.append(
          "\(side.describe(controls[Int(control) - 1])): \(specification.actions[Int(action)].name)")
      case .end(let control): lines.append("\(side.describe(controls[Int(control) - 1])): it ends")
      }
      next = nodes.parent(of: number)
    }
    return lines.reversed()
  }

  /// How many states the specification alone can reach from the same beginnings; nil if memory ends.
  func reachable() -> Int? {
    guard let reached = StateStore(words: packing.words, memoryLimit: 3 << 30) else { return nil }
    for state in side.beginnings {
      precondition(simulator.load(state), "a state of the specification")
      packing.pack(simulator.registers, into: node)
      if reached.insert(node, parent: nil) == .outOfMemory { return nil }
    }
    var next = 0
    while next < reached.count {
      packing.unpack(reached.state(next), into: registers)
      enter()
      for step in steps where step.run(on: simulator) {
        simulator.commit()
        packing.pack(simulator.registers, into: node)
        if reached.insert(node, parent: nil) == .outOfMemory { return nil }
        enter()
      }
      next += 1
    }
    return reached.count
  }
}
