// SPDX-License-Identifier: Apache-2.0
//
// Every state of the ring's specification at its small scope that one side and its surroundings can reach, and in each
// every step of the implementation: each operation that may begin there, each access that may come next, each end
// of an operation. The surroundings take every step that the specification allows them.
//
// The implementation is a value; it is put into a state by its four private indices, lifted to 32 bits so that they
// are about to wrap, and by the answers that its operation has had so far. What an operation does after that many
// answers is found by running it again.

import Interfaces
import Logic
import Machines
import Specs

/// Compares one side of a ring exhaustively.
public struct RingExploration<Side: RingSide> {
  private let model = RingModel(bits: 2)
  private let slotCounts: [Int]
  private let hostile: Bool
  private let script = RingScript()
  private let slot = UnsafeMutableRawBufferPointer.allocate(byteCount: RingWorld.slotSize, alignment: 8)

  /// - Parameters:
  ///   - slotCounts: 1, 2 or both.
  ///   - hostile: whether the peer stores what it likes.
  public init(_ type: Side.Type, slotCounts: [Int] = [1, 2], hostile: Bool) {
    self.slotCounts = slotCounts
    self.hostile = hostile
  }

  /// An operation in progress: what it has done, and where it began.
  private struct Control: Hashable {
    var progress: RingProgress
    var start: RingIndices
    var answers: [UInt32] = []
    var slot: [UInt64] = []
  }

  /// How a node is reached from another.
  private enum Move {
    case beginning
    case surroundings(Int)
    case access(RingOperation, action: Int)
    case end(RingOperation)
  }

  private struct Node: Hashable {
    var state: PackedState
    /// An index into the controls seen; −1 between operations.
    var control: Int32
  }

  /// - Parameter limit: states at which to stop.
  public func run(limit: Int = 20_000_000) -> ExhaustiveReport {
    defer { slot.deallocate() }
    var report = ExhaustiveReport(
      name: "Ring, \(Side.end) end",
      scope: "indices of 2 bits, slots \(slotCounts.map(String.init).joined(separator: " or ")), peer "
        + (hostile
          ? "that stores any index of its own at any time, slots not told apart"
          : "that keeps to the protocol"))
    var run = Run(self)
    do throws(Divergence) {
      for slots in slotCounts { try run.explore(slots: slots, limit: limit) }
    } catch {
      report.divergence = error
      report.divergence?.trace = run.path
    }
    report.states = run.states.count
    report.transitions = run.transitions
    report.reachable = report.divergence == nil ? reachable(limit: limit) : 0
    return report
  }

  /// The initial state with a slot count.
  private func initial(slots: Int) -> [UInt64] {
    var state = model.programs.layout.initialRegisters
    state[model.size] = UInt64(slots)
    state[model.hostile[Int(Side.end.peer.rawValue)]] = hostile ? 1 : 0
    return state
  }

  private static func isOwnStep(_ action: Int, _ model: RingModel) -> Bool {
    let own = [
      model.put, model.publish, model.loadEvent, model.look, model.take, model.ask, model.recheck,
      model.fence,
    ]
    return own.contains(action)
  }

  /// Steps of the surroundings, with their arguments: all but the side's own.
  private var surroundings: [(action: Int, arguments: [UInt64])] {
    let specification = model.programs.layout.specification
    return specification.actions.indices.flatMap { action in
      specification.argumentLists(of: action, at: model.programs.layout)
        .filter { !(Self.isOwnStep(action, model) && $0[0] == Side.end.rawValue) }
        .map { (action, $0) }
    }
  }

  /// How many states the specification alone can reach, from the same beginnings.
  private func reachable(limit: Int) -> Int {
    let packing = StatePacking(model.programs.layout)
    let simulator = Simulator(model.programs)
    let own = model.programs.layout.specification.actions.indices.filter { Self.isOwnStep($0, model) }
    let steps = surroundings + own.map { ($0, [Side.end.rawValue]) }
    var seen: Set<PackedState> = []
    var queue: [PackedState] = []
    for slots in slotCounts {
      let packed = packing.pack(initial(slots: slots))
      if seen.insert(packed).inserted { queue.append(packed) }
    }
    var next = 0
    while next < queue.count, queue.count < limit {
      let state = packing.unpack(queue[next])
      next += 1
      precondition(simulator.load(state), "a state that was reached")
      for (action, arguments) in steps where simulator.run(action, arguments) {
        simulator.commit()
        let packed = packing.pack(simulator.state)
        if seen.insert(packed).inserted { queue.append(packed) }
        precondition(simulator.load(state), "a state that was reached")
      }
    }
    return queue.count
  }

  // MARK: The joint exploration

  private struct Run {
    let exploration: RingExploration
    let model: RingModel
    let packing: StatePacking
    let oracle: Oracle
    let surroundings: [(action: Int, arguments: [UInt64])]
    var states: Set<PackedState> = []
    var transitions = 0
    private var seen: Set<Node> = []
    private var queue: [Node] = []
    /// How each node in the queue was first reached.
    private var origins: [(parent: Int, move: Move)] = []
    private var current = 0
    private var controls: [Control] = []
    private var controlIndex: [Control: Int32] = [:]

    init(_ exploration: RingExploration) {
      self.exploration = exploration
      model = exploration.model
      packing = StatePacking(model.programs.layout)
      oracle = Oracle(model.programs)
      surroundings = exploration.surroundings
    }

    /// The shortest way to where the divergence was found.
    var path: [String] {
      var lines: [String] = []
      var node = current
      let specification = model.programs.layout.specification
      while node < origins.count {
        let (parent, move) = origins[node]
        switch move {
        case .beginning: return lines.reversed()
        case .surroundings(let index):
          let step = SpecificationStep(
            action: surroundings[index].action, arguments: surroundings[index].arguments, results: [])
          lines.append(step.describe(in: specification))
        case .access(let operation, let action):
          lines.append("\(Side.end) \(operation): \(specification.actions[action].name)")
        case .end(let operation): lines.append("\(Side.end) \(operation): it ends")
        }
        node = parent
      }
      return lines.reversed()
    }

    mutating func explore(slots: Int, limit: Int) throws(Divergence) {
      queue = []
      origins = []
      current = 0
      visit(packing.pack(exploration.initial(slots: slots)), nil, by: .beginning)
      while current < queue.count, queue.count < limit {
        defer { current += 1 }
        let node = queue[current]
        let state = packing.unpack(node.state)
        let control = node.control < 0 ? nil : controls[Int(node.control)]
        surround(state, control)
        if let control {
          try resume(control, in: state, slots: slots)
        } else {
          for operation in RingOperation.allCases { try begin(operation, in: state, slots: slots) }
        }
      }
    }

    private mutating func visit(_ state: PackedState, _ control: Control?, by move: Move) {
      var index: Int32 = -1
      if let control {
        index = controlIndex[control] ?? Int32(controls.count)
        if index == controls.count {
          controls.append(control)
          controlIndex[control] = index
        }
      }
      let node = Node(state: state, control: index)
      guard seen.insert(node).inserted else { return }
      states.insert(state)
      queue.append(node)
      origins.append((current, move))
    }

    private func enter(_ state: [UInt64]) {
      precondition(oracle.simulator.load(state), "a state that was reached")
    }

    /// Every step of the surroundings.
    private mutating func surround(_ state: [UInt64], _ control: Control?) {
      enter(state)
      for (index, step) in surroundings.enumerated() {
        // Only the side itself wakes up, and only between its operations.
        if control != nil, step.action == model.wake, step.arguments[0] == Side.end.rawValue { continue }
        guard oracle.simulator.run(step.action, step.arguments) else { continue }
        oracle.simulator.commit()
        transitions += 1
        visit(packing.pack(oracle.simulator.state), control, by: .surroundings(index))
        enter(state)
      }
    }

    private func step(_ state: [UInt64]) -> Step {
      Step.allCases[Int(state[model.step[Int(Side.end.rawValue)]])]
    }

    /// The side's indices with 32 bits, such that they wrap at 2³² when those of the specification wrap.
    private func lifted(_ state: [UInt64]) -> RingIndices {
      let end = Int(Side.end.rawValue)
      func value(_ registers: [Int]) -> UInt64 { state[registers[end]] }
      func ahead(_ a: UInt64, _ b: UInt64) -> UInt32 { UInt32((a &- b) & model.indexMask) }
      let taken = UInt32(value(model.ownTaken)) &- 4
      let known = taken &+ ahead(value(model.ownKnown), value(model.ownTaken))
      let put =
        Side.end == .front
        ? taken &+ ahead(value(model.ownPut), value(model.ownTaken))
        : taken &- ahead(value(model.ownTaken), value(model.ownPut))
      let published = put &- ahead(value(model.ownPut), value(model.ownPublished))
      return RingIndices(put: put, published: published, taken: taken, known: known)
    }

    private mutating func begin(_ operation: RingOperation, in state: [UInt64], slots: Int) throws(Divergence)
    {
      guard step(state) == .idle else { return }
      let own = lifted(state)
      if operation == .put {
        let hasRoom = Side.end == .front ? own.put &- own.taken < UInt32(slots) : own.put != own.taken
        if !hasRoom { return }
      }
      try resume(Control(progress: RingProgress(operation, own), start: own), in: state, slots: slots)
    }

    /// Runs an operation one access further, or to its end.
    private mutating func resume(_ control: Control, in state: [UInt64], slots: Int) throws(Divergence) {
      transitions += 1
      let (script, slot) = (exploration.script, exploration.slot)
      script.answers = control.answers
      script.rewind()
      let payload = [Side.end.rawValue, model.reduced(control.start.put)]
      if control.progress.operation == .put { RingWorld.encode(payload, into: slot) }
      if control.slot.count == 2 {
        script.slot = (
          UInt32(truncatingIfNeeded: control.slot[0]), UInt32(truncatingIfNeeded: control.slot[1])
        )
      }
      let tap = RingTap(slotCount: UInt32(slots), slotSize: RingWorld.slotSize, accesses: script)
      var side = Side(memory: tap, indices: control.start)
      let outcome = side.perform(control.progress.operation, with: slot)
      enter(state)
      if let access = script.next {
        if case .copyIn = access, script.written != payload {
          throw oracle.divergence(at: "\(Side.end) put", "the slot is not what was to be put")
        }
        try advance(control, by: access, state)
      } else {
        if let complaint = control.progress.complaint(
          about: outcome, step: step(state), indices: side.indices)
        {
          throw oracle.divergence(at: "\(Side.end) \(control.progress.operation)", complaint)
        }
        if control.progress.operation == .take, outcome == .answer(true),
          RingWorld.decode(UnsafeRawBufferPointer(slot)) != control.slot
        {
          throw oracle.divergence(
            at: "\(Side.end) take", "what it hands out is not what lay in the slot")
        }
        visit(packing.pack(state), nil, by: .end(control.progress.operation))
      }
    }

    /// Takes the step that an access is; a fence waits until the store buffer is empty.
    private mutating func advance(_ control: Control, by access: RingAccess, _ state: [UInt64])
      throws(Divergence)
    {
      let action: Int
      do throws(Inadmissible) {
        action = try model.action(
          for: access, of: Side.end, control.progress.own, step: step(state))
      } catch {
        throw oracle.divergence(at: "\(Side.end) \(control.progress.operation)", error.reason)
      }
      if access == .fence, step(state) == .published || step(state) == .asked, !isDrained(state) { return }
      try oracle.take(action, Side.end.rawValue)
      var after = control
      let value = loaded(access, control.progress.own, state)
      after.answers.append(value)
      if action == model.take { after.slot = oracle.results }
      after.progress.follow(action, in: model, value: value, results: oracle.results)
      visit(
        packing.pack(oracle.simulator.state), after, by: .access(control.progress.operation, action: action))
    }

    private func isDrained(_ state: [UInt64]) -> Bool {
      let end = Int(Side.end.rawValue)
      return state[model.drained[end]] == state[model.ownPut[end]] && state[model.holdsProducer[end]] == 0
        && state[model.holdsEvent[end]] == 0
    }

    /// What a load finds, with 32 bits.
    private func loaded(_ access: RingAccess, _ own: RingIndices, _ state: [UInt64]) -> UInt32 {
      let peer = Int(Side.end.peer.rawValue)
      switch access {
      case .load(let word) where word == Side.end.peer.producerWord:
        let difference = state[model.sharedProducer[peer]] &- model.reduced(own.taken)
        return own.taken &+ UInt32(difference & model.indexMask)
      case .load(let word) where word == Side.end.peer.eventWord:
        let difference = model.reduced(own.published) &- state[model.sharedEvent[peer]]
        return own.published &- UInt32(difference & model.indexMask)
      default: return 0
      }
    }
  }
}
