// SPDX-License-Identifier: Apache-2.0

import Logic

/// The states of a specification that an exploration has found, in the order in which it found them, and the one of them
/// that it is at.
final class ExploredStates {
  /// The registers of the state that the exploration is at.
  let registers: UnsafeMutablePointer<UInt64>
  private let simulator: Simulator
  private let packing: StatePacking
  private let states: StateStore
  private let packed: UnsafeMutablePointer<UInt64>
  private let isMarked: Bool
  /// Whether there was no room for a state.
  private(set) var isFull = false

  /// - Parameter isMarked: whether states have a word besides what the specification knows.
  init(of simulator: Simulator, isMarked: Bool = false) {
    self.simulator = simulator
    self.isMarked = isMarked
    packing = StatePacking(simulator.layout)
    let words = packing.words + (isMarked ? 1 : 0)
    guard let states = StateStore(words: words, memoryLimit: 1 << 30) else {
      fatalError("no address space for an exploration")
    }
    self.states = states
    registers = .allocate(capacity: simulator.layout.count)
    packed = .allocate(capacity: words)
  }

  deinit {
    registers.deallocate()
    packed.deallocate()
  }

  var count: Int { states.count }

  /// Why not all states were found; nil if there was room for each.
  var incomplete: String? { isFull ? "memory for \(count) states, and no more" : nil }

  /// The exploration goes to a state that it has found.
  func go(to number: Int) { packing.unpack(states.state(number), into: registers) }

  /// Puts the simulator into the state that the exploration is at.
  func enter() { simulator.registers.update(from: registers, count: simulator.layout.count) }

  /// Notes the state that the simulator is in.
  @discardableResult
  func visit(mark: UInt64 = 0) -> StateStore.Insertion {
    packing.pack(simulator.registers, into: packed)
    if isMarked { packed[packing.words] = mark }
    let insertion = states.insert(packed, parent: nil)
    if insertion == .outOfMemory { isFull = true }
    return insertion
  }

  /// Whether the simulator is in the state that the exploration is at: what was done there has changed nothing.
  var isUnchanged: Bool {
    let found = simulator.registers
    for register in 0..<simulator.layout.count where found[register] != registers[register] { return false }
    return true
  }
}

/// An exhaustive comparison under way.
protocol ExhaustiveRun: AnyObject {
  var states: ExploredStates { get }
  /// See `ExhaustiveReport`.
  var driven: Int { get }
  var reachable: Int { get }
  var transitions: Int { get }
  /// Compares everything, as far as there is room.
  func explore(_ progress: ExhaustiveProgress.Observer?) throws(Divergence)
}

extension ExhaustiveReport {
  /// What becomes of a comparison.
  init(
    name: String, scope: String, of run: some ExhaustiveRun, progress: ExhaustiveProgress.Observer?
  ) {
    self.init(name: name, scope: scope)
    do throws(Divergence) {
      try run.explore(progress)
      incomplete = run.states.incomplete
    } catch {
      divergence = error
    }
    states = run.driven
    reachable = run.reachable
    transitions = run.transitions
  }
}
