// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#endif

/// Runs a specification: a state, and actions taken on it one by one, in place.
///
///     let simulator = Simulator(try ProgramSet(specification, scope: .small))
///     if simulator.run(push, [7]) {          // the guards hold; results are known, nothing has changed yet
///       status = simulator.result(0)
///       simulator.commit()                   // the state is the one after the action
///     }
///
/// An action that stores to single entries takes the same time however large the tables are. One simulator serves one
/// thread.
public final class Simulator {
  public let programs: ProgramSet
  public var layout: StateLayout { programs.layout }
  private let memory: UnsafeMutablePointer<UInt64>
  private let r: UnsafeMutablePointer<UInt64>
  private let executable: Executable
  private var last: ProgramSet.Program?

  public init(_ programs: ProgramSet) {
    self.programs = programs
    let below = programs.constants.count
    let total = below + programs.registerCount
    // Zeroed, and taken up page by page as it is used: tables may be large.
    guard let memory = calloc(total, MemoryLayout<UInt64>.stride) else {
      fatalError("out of memory: \(total) registers for \(programs.layout.specification.name)")
    }
    self.memory = memory.bindMemory(to: UInt64.self, capacity: total)
    r = self.memory + below
    executable = programs.executable
    for (index, value) in programs.constants.enumerated() { r[-1 - index] = value }
    reset()
  }

  deinit { free(memory) }

  // MARK: The state

  /// Gives every variable its initial value, `Initial.any` as 0.
  public func reset() {
    for (component, place) in zip(layout.specification.components, layout.places) {
      guard let place else { continue }
      var value: UInt64 = 0
      if case .value(let declared) = component.initial {
        value = declared & layout.scope.mask(of: component.sort)
      }
      for register in place.base..<place.base + place.count where r[register] != value { r[register] = value }
    }
  }

  /// The registers of the state.
  public var state: [UInt64] { Array(UnsafeBufferPointer(start: r, count: layout.count)) }

  /// The registers of the state, in place; who stores to them stores values of their sorts.
  package var registers: UnsafeMutablePointer<UInt64> { r }

  /// Which of up to 64 registers, from `first` on, are not 0: a bit each, the first register's the lowest.
  package func bits(_ first: Int, count: Int) -> UInt64 {
    precondition(first >= 0 && 0...64 ~= count && first + count <= layout.count, "registers of the state")
    var bits: UInt64 = 0
    for index in 0..<count where r[first + index] != 0 { bits |= 1 &<< UInt64(index) }
    return bits
  }

  public subscript(register: Int) -> UInt64 {
    precondition(register >= 0 && register < layout.count, "a register of the state")
    return r[register]
  }

  /// Puts the simulator in a given state.
  /// - Returns: false, and nothing has changed, if a value is not one of its sort.
  public func load(_ state: [UInt64]) -> Bool {
    guard state.count == layout.count else { return false }
    for place in layout.places {
      guard let place else { continue }
      for register in place.base..<place.base + place.count where state[register] > place.largest {
        return false
      }
    }
    r.update(from: state, count: state.count)
    return true
  }

  /// Sets one entry of a component (the component, if it is a scalar).
  /// - Returns: false, and nothing has changed, if a key or the value is not one of its sort.
  public func set(_ component: Int, _ keys: [UInt64] = [], to value: UInt64) -> Bool {
    guard let register = layout.register(component, keys), let place = layout.places[component],
      value <= place.largest
    else { return false }
    r[register] = value
    return true
  }

  // MARK: Actions

  /// Sets an argument of the action that is run next.
  public func setArgument(_ index: Int, to value: UInt64) {
    precondition(index >= 0 && index < programs.results - programs.arguments, "an argument of some action")
    r[programs.arguments + index] = value
  }

  /// An argument of the action run last.
  public func argument(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < programs.results - programs.arguments, "an argument of some action")
    return r[programs.arguments + index]
  }

  /// Works out what an action would do, with the arguments set; the state stays as it is.
  /// - Returns: false if a guard forbids it, or an argument is not a value of its sort.
  public func run(_ action: Int) -> Bool {
    let program = programs.programs[action]
    last = nil
    for index in 0..<program.argumentCount
    where r[programs.arguments + index] > programs.largest[program.firstArgument + index] {
      return false
    }
    guard executable.run(from: program.start, r) != 0 else { return false }
    last = program
    return true
  }

  /// Sets the arguments and works out what the action would do.
  public func run(_ action: Int, _ arguments: [UInt64]) -> Bool {
    for (index, value) in arguments.enumerated() { setArgument(index, to: value) }
    return run(action)
  }

  /// What the action run last answers, scalar by scalar.
  public func result(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < last?.resultCount ?? 0, "a result of an action that is possible")
    return r[programs.results + index]
  }

  /// How many scalars the action run last answers.
  public var resultCount: Int { last?.resultCount ?? 0 }

  /// All that the action run last answers.
  public var results: [UInt64] { (0..<resultCount).map(result) }

  /// Makes the changes of the action run last, if it was possible.
  public func commit() {
    guard let program = last else { return }
    last = nil
    _ = executable.run(from: program.commit, r)
  }

  /// What `commit` would change.
  public var pendingChanges: [StateLayout.Change] {
    guard let program = last else { return [] }
    var after: [Int: UInt64] = [:]
    var next = program.commit
    while true {
      let instruction = programs.code[next]
      next += 1
      switch instruction.operation {
      case .move: after[Int(instruction.target)] = r[Int(instruction.a)]
      case .store: after[Int(r[Int(instruction.a)]) + Int(instruction.c)] = r[Int(instruction.b)]
      case .copy:
        for offset in 0..<Int(instruction.c) {
          after[Int(instruction.target) + offset] = r[Int(instruction.a) + offset]
        }
      case .end:
        return after.sorted { $0.key < $1.key }.filter { r[$0.key] != $0.value }.map {
          StateLayout.Change(register: $0.key, before: r[$0.key], after: $0.value)
        }
      default: if Self.jumps(instruction, r) { next = Int(instruction.target) }
      }
    }
  }

  private static func jumps(_ i: Instruction, _ r: UnsafeMutablePointer<UInt64>) -> Bool {
    switch i.operation {
    case .jump: true
    case .jumpIfZero: r[Int(i.a)] == 0
    case .jumpIfNotZero: r[Int(i.a)] != 0
    case .jumpIfEqual: r[Int(i.a)] == r[Int(i.b)]
    case .jumpIfNotEqual: r[Int(i.a)] != r[Int(i.b)]
    case .jumpIfLess: r[Int(i.a)] < r[Int(i.b)]
    case .jumpIfNotLess: r[Int(i.a)] >= r[Int(i.b)]
    case .jumpIfLessOrEqual: r[Int(i.a)] <= r[Int(i.b)]
    case .jumpIfNotLessOrEqual: r[Int(i.a)] > r[Int(i.b)]
    default: preconditionFailure("no computation among the writes")
    }
  }
}
