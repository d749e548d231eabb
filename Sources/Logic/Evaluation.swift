// SPDX-License-Identifier: Apache-2.0

/// Turns nodes into terms, over one state and one list of arguments; each node once.
///
/// Tables disappear here: reading an entry of a table expression is worked out (β-reduced) down to entries of the
/// state before, whether the table was stored to, rewritten as a whole, or chosen by a condition.
public final class Evaluation {
  private let elaborator: Elaborator
  private let state: any StateView
  private let arguments: [TermID]
  private let bindings: [ObjectIdentifier: TermID]
  /// The evaluation without bindings: closed nodes are worked out there, once for all.
  private let closed: Evaluation?
  private var values: [ObjectIdentifier: TermID] = [:]
  private var entries: [Reading: TermID] = [:]

  private struct Reading: Hashable {
    let table: ObjectIdentifier
    let keys: [TermID]
  }

  public convenience init(_ elaborator: Elaborator, state: any StateView, arguments: [TermID] = []) {
    self.init(elaborator, state, arguments, [:], closed: nil)
  }

  private init(
    _ elaborator: Elaborator, _ state: any StateView, _ arguments: [TermID],
    _ bindings: [ObjectIdentifier: TermID], closed: Evaluation?
  ) {
    self.elaborator = elaborator
    self.state = state
    self.arguments = arguments
    self.bindings = bindings
    self.closed = closed
  }

  /// The same evaluation with values for some bound nodes.
  public func binding(_ bound: [Node], to values: [TermID]) -> Evaluation {
    var bindings = self.bindings
    for (node, value) in zip(bound, values) { bindings[ObjectIdentifier(node)] = value }
    return Evaluation(elaborator, state, arguments, bindings, closed: closed ?? self)
  }

  /// The invariant, at the given indices.
  public func instance(of invariant: Invariant, at indices: [TermID]) -> TermID {
    binding(invariant.bound, to: indices).value(of: invariant.body)
  }

  func all(_ terms: [TermID]) -> TermID { elaborator.all(terms) }

  /// The condition for all values of the bound nodes.
  func enumerated(_ bound: [Node], _ condition: Node) -> TermID {
    guard !bound.isEmpty else { return value(of: condition) }
    return elaborator.all(
      elaborator.tuples(of: bound.map(\.sort)).map { binding(bound, to: $0).value(of: condition) })
  }

  /// The term for a scalar node.
  public func value(of node: Node) -> TermID {
    if !node.isOpen, let closed { return closed.value(of: node) }
    if let known = values[ObjectIdentifier(node)] { return known }
    let term = compute(node)
    values[ObjectIdentifier(node)] = term
    return term
  }

  private func compute(_ node: Node) -> TermID {
    let e = elaborator
    if e.scope.isZero(node.sort) { return e.constant(0, node.sort) }
    func operand(_ index: Int) -> TermID { value(of: node.operands[index]) }
    switch node.operation {
    case .constant(let value): return e.constant(value, node.sort)
    case .maximum: return e.constant(.max, node.sort)
    case .stateScalar(let component): return state.scalar(component)
    case .argument(let index): return arguments[index]
    case .bound(let name):
      guard let term = bindings[ObjectIdentifier(node)] else {
        preconditionFailure("bound variable \(name) has no value here")
      }
      return term
    case .select: return entry(of: node.operands[0], node.operands.dropFirst().map(value))
    case .not: return e.not(operand(0))
    case .and: return e.and(operand(0), operand(1))
    case .or: return e.or(operand(0), operand(1))
    case .equal: return e.equal(operand(0), operand(1))
    case .lessThan: return e.lessThan(operand(0), operand(1))
    case .lessOrEqual: return e.lessOrEqual(operand(0), operand(1))
    case .add: return e.arithmetic(.add, operand(0), operand(1))
    case .subtract: return e.arithmetic(.subtract, operand(0), operand(1))
    case .bitAnd: return e.arithmetic(.bitAnd, operand(0), operand(1))
    case .bitOr: return e.arithmetic(.bitOr, operand(0), operand(1))
    case .bitXor: return e.arithmetic(.bitXor, operand(0), operand(1))
    case .resize: return e.resize(operand(0), to: e.width(node.sort))
    case .ifThenElse:
      let condition = operand(0)
      if let known = e.constantValue(condition) { return operand(known == 0 ? 2 : 1) }
      return e.ifThenElse(condition, operand(1), operand(2))
    case .count: return counted(node)
    case .stateTable, .store, .tabulate: preconditionFailure("a table is not a scalar")
    }
  }

  /// The term for an entry of a table node.
  public func entry(of table: Node, _ keys: [TermID]) -> TermID {
    if !table.isOpen, let closed { return closed.entry(of: table, keys) }
    let reading = Reading(table: ObjectIdentifier(table), keys: keys)
    if let known = entries[reading] { return known }
    let term = computeEntry(table, keys)
    entries[reading] = term
    return term
  }

  private func computeEntry(_ table: Node, _ keys: [TermID]) -> TermID {
    let e = elaborator
    switch table.operation {
    case .stateTable(let component): return state.entry(component, keys)
    case .store:
      let stored = table.operands.dropFirst().dropLast().map(value)
      let here = e.all(zip(stored, keys).map { e.equal($0, $1) })
      if let known = e.constantValue(here) {
        return known == 0
          ? entry(of: table.operands[0], keys) : value(of: table.operands[table.operands.count - 1])
      }
      return e.ifThenElse(
        here, value(of: table.operands[table.operands.count - 1]), entry(of: table.operands[0], keys))
    case .tabulate:
      let bound = Array(table.operands.dropLast())
      return binding(bound, to: keys).value(of: table.operands[table.operands.count - 1])
    case .ifThenElse:
      let condition = value(of: table.operands[0])
      if let known = e.constantValue(condition) { return entry(of: table.operands[known == 0 ? 2 : 1], keys) }
      return e.ifThenElse(condition, entry(of: table.operands[1], keys), entry(of: table.operands[2], keys))
    default: preconditionFailure("a scalar is not a table")
    }
  }

  private func counted(_ node: Node) -> TermID {
    let e = elaborator
    let bound = Array(node.operands.dropLast())
    let body = node.operands[node.operands.count - 1]
    var sum = e.constant(0, node.sort)
    for values in e.tuples(of: bound.map(\.sort)) {
      let holds = binding(bound, to: values).value(of: body)
      sum = e.arithmetic(.add, sum, e.ifThenElse(holds, e.constant(1, node.sort), e.constant(0, node.sort)))
    }
    return sum
  }
}

extension Elaborator {
  /// Every tuple of values of the sorts, as constants: for small scopes.
  public func tuples(of sorts: [Sort]) -> [[TermID]] {
    for sort in sorts {
      let count = scope.count(of: sort)
      precondition(count != 0 && count <= 1 << 16, "\(sort.name) has too many values to enumerate")
    }
    return scope.tuples(of: sorts).map { zip($0, sorts).map { constant($0, $1) } }
  }
}
