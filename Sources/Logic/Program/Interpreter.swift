// SPDX-License-Identifier: Apache-2.0

/// Evaluates a specification's nodes one by one on a concrete state: slow, obvious, and what the fast evaluator is
/// compared with. It shares no code with the elaborator.
public struct Interpreter: Sendable {
  public let layout: StateLayout

  public init(_ layout: StateLayout) { self.layout = layout }

  /// What an action does to a state.
  public struct Outcome: Sendable, Hashable {
    public let results: [UInt64]
    public let state: [UInt64]
  }

  /// Takes an action; nil where a guard forbids it.
  public func step(_ action: Action, _ arguments: [UInt64], in state: [UInt64]) -> Outcome? {
    let frame = Frame(layout: layout, state: state, arguments: arguments)
    for item in action.guards {
      let possible = tuples(item.bound).allSatisfy {
        frame.binding(item.bound, $0).value(item.condition) != 0
      }
      if !possible { return nil }
    }
    var after = state
    for (component, node) in action.next {
      guard let place = layout.places[component] else { continue }
      for register in place.base..<place.base + place.count {
        let keys = layout.owner(of: register).keys
        after[register] = keys.isEmpty ? frame.value(node) : frame.entry(node, keys)
      }
    }
    return Outcome(results: action.results.map { frame.value($0.node) }, state: after)
  }

  /// The first indices for which a claim does not hold; nil if it holds.
  public func counterexample(to claim: Invariant, in state: [UInt64]) -> [UInt64]? {
    let frame = Frame(layout: layout, state: state, arguments: [])
    return tuples(claim.bound).first { frame.binding(claim.bound, $0).value(claim.body) == 0 }
  }

  /// Whether a witness holds for some indices.
  public func holds(_ witness: Witness, in state: [UInt64]) -> Bool {
    let frame = Frame(layout: layout, state: state, arguments: [])
    return tuples(witness.bound).contains { frame.binding(witness.bound, $0).value(witness.body) != 0 }
  }

  /// Every tuple of values of the bound nodes.
  private func tuples(_ bound: [Node]) -> [[UInt64]] {
    Frame(layout: layout, state: [], arguments: []).tuples(bound)
  }
}

/// One state and the values of arguments and bound nodes.
private struct Frame {
  let layout: StateLayout
  let state: [UInt64]
  let arguments: [UInt64]
  var bindings: [ObjectIdentifier: UInt64] = [:]
  /// What is known already: of closed nodes under any binding, of open ones under this one.
  private let closed = Memory()
  private var open = Memory()

  private final class Memory { var values: [ObjectIdentifier: UInt64] = [:] }

  init(layout: StateLayout, state: [UInt64], arguments: [UInt64]) {
    self.layout = layout
    self.state = state
    self.arguments = arguments
  }

  func binding(_ bound: [Node], _ values: [UInt64]) -> Frame {
    var inner = self
    inner.open = Memory()
    for (node, value) in zip(bound, values) { inner.bindings[ObjectIdentifier(node)] = value }
    return inner
  }

  func tuples(_ bound: [Node]) -> [[UInt64]] {
    for node in bound {
      let count = layout.scope.count(of: node.sort)
      precondition(count != 0 && count <= 1 << 16, "\(node.sort.name) has too many values to enumerate")
    }
    return layout.scope.tuples(of: bound.map(\.sort))
  }

  func value(_ node: Node) -> UInt64 {
    let memory = node.isOpen ? open : closed
    if let known = memory.values[ObjectIdentifier(node)] { return known }
    let value = compute(node)
    memory.values[ObjectIdentifier(node)] = value
    return value
  }

  private func compute(_ node: Node) -> UInt64 {
    func operand(_ index: Int) -> UInt64 { value(node.operands[index]) }
    func reduced(_ value: UInt64) -> UInt64 { value & layout.scope.mask(of: node.sort) }
    switch node.operation {
    case .constant(let value): return reduced(value)
    case .maximum: return reduced(.max)
    case .stateScalar(let component):
      guard let register = layout.register(component) else { preconditionFailure("a witness is read") }
      return state[register]
    case .argument(let index): return arguments[index]
    case .bound: return bindings[ObjectIdentifier(node)] ?? 0
    case .select: return entry(node.operands[0], node.operands.dropFirst().map(value))
    case .not: return 1 - operand(0)
    case .and: return operand(0) != 0 ? operand(1) : 0
    case .or: return operand(0) != 0 ? 1 : operand(1)
    case .equal: return operand(0) == operand(1) ? 1 : 0
    case .lessThan: return operand(0) < operand(1) ? 1 : 0
    case .lessOrEqual: return operand(0) <= operand(1) ? 1 : 0
    case .add: return reduced(operand(0) &+ operand(1))
    case .subtract: return reduced(operand(0) &- operand(1))
    case .bitAnd: return operand(0) & operand(1)
    case .bitOr: return operand(0) | operand(1)
    case .bitXor: return operand(0) ^ operand(1)
    case .resize: return reduced(operand(0))
    case .ifThenElse: return operand(0) != 0 ? operand(1) : operand(2)
    case .count:
      let bound = Array(node.operands.dropLast())
      let body = node.operands[bound.count]
      return reduced(UInt64(tuples(bound).count { binding(bound, $0).value(body) != 0 }))
    case .stateTable, .store, .tabulate: preconditionFailure("a table is not a scalar")
    }
  }

  func entry(_ table: Node, _ keys: [UInt64]) -> UInt64 {
    let operands = table.operands
    switch table.operation {
    case .stateTable(let component):
      guard let register = layout.register(component, keys) else {
        preconditionFailure("\(keys) is no key of \(layout.specification.components[component].name)")
      }
      return state[register]
    case .store:
      let isHere = operands.dropFirst().dropLast().map(value) == keys
      return isHere ? value(operands[operands.count - 1]) : entry(operands[0], keys)
    case .tabulate:
      return binding(Array(operands.dropLast()), keys).value(operands[operands.count - 1])
    case .ifThenElse: return entry(operands[value(operands[0]) != 0 ? 1 : 2], keys)
    default: preconditionFailure("a scalar is not a table")
    }
  }
}
