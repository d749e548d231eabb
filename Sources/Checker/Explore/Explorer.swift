// SPDX-License-Identifier: Apache-2.0

import Logic

/// Visits every reachable state of a specification at a scope, breadth first, so that the first violation found is
/// one of the shortest.
///
///     let explorer = try Explorer(specification, scope: .small)
///     let found = explorer.run { print($0.states) }
///
/// An explorer runs once, on one thread; afterwards its states can be read.
public final class Explorer {
  public let layout: StateLayout
  public let options: ExplorationOptions
  let packed: PackedLayout
  let code: ExplorationCode
  let symmetry: Symmetry
  let store: StateStore
  /// Registers of the code: constants below 0, then the state, then temporaries.
  let r: UnsafeMutablePointer<UInt64>
  let executable: Executable
  private let memory: UnsafeMutablePointer<UInt64>
  private let unpacking: [Unpacking]
  let batch: SuccessorBatch

  private(set) var transitions = 0
  private(set) var taken = 0
  private(set) var deadlocks = 0
  private(set) var depth = 0
  private(set) var initialCount = 0
  private var reached: [Bool]

  private struct Unpacking {
    let register: Int
    let word: Int
    let shift: UInt64
    let mask: UInt64
  }

  /// - Throws: if the specification cannot be explored at the scope: too many values, or no memory.
  public init(
    _ specification: Specification, scope: Scope, options: ExplorationOptions = ExplorationOptions()
  ) throws(SpecificationError) {
    self.options = options
    layout = try StateLayout(specification, scope: scope)
    try ExplorationCode.checkSizes(layout)
    packed = PackedLayout(layout)
    symmetry = Symmetry(packed, isOn: options.usesSymmetry)
    code = ExplorationCode(packed, leavingOut: options.leavesOutRedundant ? symmetry : nil)
    let setWords = code.redundancy?.words ?? 0
    guard let store = StateStore(words: packed.words, setWords: setWords, memoryLimit: options.memoryLimit)
    else {
      throw SpecificationError(
        "\(options.memoryLimit) bytes of address space are not to be had; lower the limit")
    }
    self.store = store
    unpacking = packed.registers.map { [packed] register in
      let slot = packed.slots[register]
      return Unpacking(
        register: register, word: Int(slot.word), shift: UInt64(slot.shift),
        mask: slot.mask >> UInt64(slot.shift))
    }
    reached = specification.witnesses.map { _ in false }
    let below = code.constants.count
    memory = .allocate(capacity: below + code.registerCount)
    memory.initialize(repeating: 0, count: below + code.registerCount)
    r = memory + below
    for (index, value) in code.constants.enumerated() { r[-1 - index] = value }
    r.update(from: layout.initialRegisters, count: layout.count)
    executable = Executable(
      code.code, constants: code.constants, registerCount: code.registerCount, words: packed.words,
      isNative: options.isNative)
    batch = SuccessorBatch(packed, instanceCount: code.instances.count)
  }

  deinit { memory.deallocate() }

  /// Explores.
  /// - Parameters:
  ///   - progress: called now and then, about ten times a second.
  ///   - isCancelled: asked as often; true ends the exploration.
  public func run(
    progress: ((ExplorationProgress) -> Void)? = nil, isCancelled: () -> Bool = { false }
  ) -> Exploration {
    let clock = ContinuousClock()
    let start = clock.now
    func seconds() -> Double {
      Double((clock.now - start).components.attoseconds) / 1e18
        + Double((clock.now - start).components.seconds)
    }
    guard addInitialStates() else { return result(.outOfMemory, seconds()) }
    initialCount = store.count
    var explored = 0
    var levelEnd = store.count
    var nextReport = 0.1
    while explored < store.count {
      if explored == levelEnd {
        depth += 1
        levelEnd = store.count
      }
      if explored & 0xFFF == 0, explored > 0 {
        let now = seconds()
        if now >= nextReport {
          nextReport = now + 0.1
          progress?(
            ExplorationProgress(
              states: store.count, transitions: transitions, depth: depth,
              waiting: store.count - explored, seconds: now))
          if isCancelled() { return result(.cancelled, now) }
        }
      }
      if let violation = visit(explored) {
        return result(.violated(counterexample(to: explored, violation)), seconds())
      }
      explored += 1
      if explored == levelEnd || batch.isFull {
        guard insertBatch(next: levelEnd) else { return result(.outOfMemory, seconds()) }
        if store.count >= options.maximumStates { return result(.outOfStates, seconds()) }
      }
    }
    return result(.complete, seconds())
  }

  private func result(_ outcome: Exploration.Outcome, _ seconds: Double) -> Exploration {
    Exploration(
      specification: layout.specification.name, scope: layout.scope, outcome: outcome, states: store.count,
      initialStates: initialCount, transitions: transitions, taken: taken, depth: depth, deadlocks: deadlocks,
      witnesses: zip(layout.specification.witnesses, reached).map { ($0.name, $1) },
      usesSymmetry: symmetry.isUseful, seconds: seconds)
  }

  // MARK: One state

  /// Puts a state into the registers.
  func load(_ number: Int) {
    let state = store.state(number)
    for item in unpacking { r[item.register] = state[item.word] &>> item.shift & item.mask }
  }

  /// Checks a state and collects its successors.
  private func visit(_ number: Int) -> Counterexample.Violation? {
    load(number)
    let failed = executable.run(from: code.claims, r)
    if failed != 0 { return violation(of: failed - 1, in: number) }
    for index in reached.indices where !reached[index] {
      reached[index] = executable.run(from: code.witnesses[index], r) != 0
    }
    guard depth < options.maximumDepth else { return nil }
    let before = batch.count
    let possible = batch.collect(
      from: store.state(number), number, redundant: store.redundant(number), executable, code.successors, r)
    taken += batch.count - before
    transitions += possible
    if possible == 0 {
      deadlocks += 1
      if options.forbidsDeadlock { return .deadlock }
    }
    return nil
  }

  private func violation(of index: Int, in number: Int) -> Counterexample.Violation {
    let claim = layout.specification.invariants[index]
    let state = packed.unpack(store.state(number))
    guard let indices = Interpreter(layout).counterexample(to: claim, in: state) else {
      preconditionFailure("\(claim.name): the evaluator and the interpreter disagree")
    }
    return Counterexample.Violation(of: claim, at: indices, in: layout.specification)
  }

  /// Adds the successors collected to the set; false where memory ends.
  private func insertBatch(next: Int) -> Bool {
    defer { batch.clear() }
    symmetry.canonicalize(batch)
    return batch.insert(into: store, code.redundancy, next: next)
  }

  // MARK: States afterwards

  /// How many distinct states were found.
  public var stateCount: Int { store.count }

  /// The registers of a state found, by its number in the order of discovery.
  public func state(_ number: Int) -> [UInt64] {
    precondition(number >= 0 && number < store.count, "a state that was found")
    return packed.unpack(store.state(number))
  }
}

extension Explorer {
  /// Sizes of what is explored, for those who tune: words of a state, action instances, instructions.
  public var statistics: String {
    "\(packed.words) words, \(code.instances.count) action instances, \(code.code.count) instructions, "
      + "\(symmetry.order) renamings"
  }
}
