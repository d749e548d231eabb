// SPDX-License-Identifier: Apache-2.0

import Logic

/// Writes a definition's expressions: every compound one in parentheses, and what is used more than once by name (LET),
/// at the outermost place where its bound variables mean something, so that the text is about as long as the graph.
struct TLAExpression {
  /// Bound nodes with their quantifier, over a body; without bound nodes, the body.
  typealias Root = (bound: [Node], quantifier: String, body: Node)

  private let writer: TLAWriter
  private let arguments: [String]
  private(set) var names: TLANames
  private(set) var usesBits: Set<Operation> = []
  /// What is shared by all the roots: lines of a LET.
  private(set) var definitions: [String] = []
  /// How often a node is an operand, by its identity.
  private var uses: [ObjectIdentifier: Int] = [:]
  /// The bound nodes that a node's meaning depends on.
  private var free: [ObjectIdentifier: Set<ObjectIdentifier>] = [:]
  /// What shared nodes and bound nodes are called where we are.
  private var spelling: [ObjectIdentifier: String] = [:]
  /// Nodes of all the roots, operands first.
  private var order: [Node] = []

  init(_ writer: TLAWriter, arguments: [String], names: TLANames) {
    self.writer = writer
    self.arguments = arguments
    self.names = names
  }

  /// The texts of all roots; what they share is in `definitions` afterwards.
  mutating func root(_ roots: [Root]) throws(SpecificationError) -> [String] {
    order = Specification.nodes(below: roots.map(\.body))
    for root in roots { uses[ObjectIdentifier(root.body), default: 0] += 1 }
    for node in order {
      for operand in node.operands { uses[ObjectIdentifier(operand), default: 0] += 1 }
      free[ObjectIdentifier(node)] = freeNodes(of: node)
    }
    definitions = try sharedDefinitions(under: [], within: order)
    var texts: [String] = []
    for root in roots {
      texts.append(
        root.bound.isEmpty ? try text(root.body) : try quantified(root.quantifier, root.bound, root.body))
    }
    return texts
  }

  private func freeNodes(of node: Node) -> Set<ObjectIdentifier> {
    if case .bound = node.operation { return [ObjectIdentifier(node)] }
    let below = node.operands.reduce(into: Set<ObjectIdentifier>()) {
      $0.formUnion(free[ObjectIdentifier($1)] ?? [])
    }
    return below.subtracting(boundNodes(of: node).map { ObjectIdentifier($0) })
  }

  /// The nodes that a node binds in its last operand.
  private func boundNodes(of node: Node) -> [Node] {
    node.operation == .tabulate || node.operation == .count ? Array(node.operands.dropLast()) : []
  }

  private func isLeaf(_ node: Node) -> Bool { node.operands.isEmpty }

  // MARK: Sharing

  /// Gives names to what is used more than once and means something as soon as the last of `bound` does.
  private mutating func sharedDefinitions(
    under bound: Set<ObjectIdentifier>, within nodes: [Node]
  ) throws(SpecificationError) -> [String] {
    var lines: [String] = []
    for node in nodes where !isLeaf(node) && uses[ObjectIdentifier(node), default: 0] > 1 {
      let free = free[ObjectIdentifier(node)] ?? []
      let isHere = bound.isEmpty ? free.isEmpty : !free.isDisjoint(with: bound)
      guard isHere, spelling[ObjectIdentifier(node)] == nil, free.allSatisfy({ spelling[$0] != nil }) else {
        continue
      }
      let text = try text(node)
      let name = names.new("t")
      spelling[ObjectIdentifier(node)] = name
      lines.append("\(name) == \(text)")
    }
    return lines
  }

  /// `open a \in A, b \in B : body` for what binds nodes; `separator` stands between.
  private mutating func binding(_ bound: [Node], _ body: Node) throws(SpecificationError) -> (
    ranges: [String], body: String
  ) {
    let outer = spelling
    defer { spelling = outer }
    var ranges: [String] = []
    for node in bound {
      guard case .bound(let label) = node.operation else { continue }
      let name = names.new(label)
      spelling[ObjectIdentifier(node)] = name
      ranges.append("\(name) \\in \(writer.set(node.sort))")
    }
    let inside = Specification.nodes(below: [body])
    let shared = try sharedDefinitions(under: Set(bound.map { ObjectIdentifier($0) }), within: inside)
    let text = try text(body)
    return (ranges, shared.isEmpty ? text : "(LET \(shared.joined(separator: " ")) IN \(text))")
  }

  private mutating func quantified(_ quantifier: String, _ bound: [Node], _ body: Node)
    throws(SpecificationError) -> String
  {
    let (ranges, text) = try binding(bound, body)
    return "(\(quantifier) \(ranges.joined(separator: ", ")) : \(text))"
  }

  // MARK: Nodes

  private mutating func text(_ node: Node) throws(SpecificationError) -> String {
    if let name = spelling[ObjectIdentifier(node)] { return name }
    switch node.operation {
    case .constant(let value): return writer.constant(value, node.sort)
    case .maximum: return writer.constant(.max, node.sort)
    case .stateScalar(let index), .stateTable(let index):
      guard let variable = writer.variables[index] else {
        throw SpecificationError("a witness of proofs is read where there is none: in an exploration")
      }
      return variable
    case .argument(let index): return arguments[index]
    case .bound(let name): throw SpecificationError("bound variable \(name) means nothing here")
    case .select:
      let keys = try node.operands.dropFirst().map { operand throws(SpecificationError) in try text(operand) }
      return "\(try text(node.operands[0]))[\(keys.joined(separator: ", "))]"
    case .store:
      let keys = try node.operands.dropFirst().dropLast().map { operand throws(SpecificationError) in
        try text(operand)
      }
      let value = try text(node.operands[node.operands.count - 1])
      return "[\(try text(node.operands[0])) EXCEPT ![\(keys.joined(separator: ", "))] = \(value)]"
    case .tabulate:
      let (ranges, body) = try binding(boundNodes(of: node), node.operands[node.operands.count - 1])
      return "[\(ranges.joined(separator: ", ")) |-> \(body)]"
    case .count: return try counted(node)
    case .not: return "~\(try text(node.operands[0]))"
    case .and: return try chain("/\\", node)
    case .or: return try chain("\\/", node)
    case .equal: return try binary("=", node)
    case .lessThan: return try binary("<", node)
    case .lessOrEqual: return try binary("<=", node)
    case .add: return "(\(try binary("+", node)) % \(modulus(node)))"
    case .subtract:
      let (a, b) = (try text(node.operands[0]), try text(node.operands[1]))
      return "(((\(a) + \(modulus(node))) - \(b)) % \(modulus(node)))"
    case .bitAnd: return try bitwise("BitAnd", node)
    case .bitOr: return try bitwise("BitOr", node)
    case .bitXor: return try bitwise("BitXor", node)
    case .resize:
      let operand = try text(node.operands[0])
      return writer.scope.mask(of: node.operands[0].sort) > writer.scope.mask(of: node.sort)
        ? "(\(operand) % \(modulus(node)))" : operand
    case .ifThenElse:
      let (c, a, b) = (try text(node.operands[0]), try text(node.operands[1]), try text(node.operands[2]))
      return "(IF \(c) THEN \(a) ELSE \(b))"
    }
  }

  private func modulus(_ node: Node) -> UInt64 { writer.scope.mask(of: node.sort) &+ 1 }

  private mutating func binary(_ symbol: String, _ node: Node) throws(SpecificationError) -> String {
    let (a, b) = (try text(node.operands[0]), try text(node.operands[1]))
    return "(\(a) \(symbol) \(b))"
  }

  private mutating func bitwise(_ function: String, _ node: Node) throws(SpecificationError) -> String {
    usesBits.insert(node.operation)
    let (a, b) = (try text(node.operands[0]), try text(node.operands[1]))
    return "\(function)(\(a), \(b))"
  }

  /// a /\ b /\ c as one, where the inner ones are nobody else's.
  private mutating func chain(_ symbol: String, _ node: Node) throws(SpecificationError) -> String {
    var parts: [String] = []
    var pending = [node]
    while let next = pending.popLast() {
      if next === node || next.operation == node.operation && spelling[ObjectIdentifier(next)] == nil {
        pending += next.operands.reversed()
      } else {
        parts.append(try text(next))
      }
    }
    return "(\(parts.joined(separator: " \(symbol) ")))"
  }

  private mutating func counted(_ node: Node) throws(SpecificationError) -> String {
    let bound = boundNodes(of: node)
    let outer = spelling
    defer { spelling = outer }
    let (ranges, body) = try binding(bound, node.operands[node.operands.count - 1])
    // Of one variable, a subset; of several, a subset of tuples, which is written as the set of those that satisfy.
    let whole: String
    if ranges.count == 1 {
      whole = "Cardinality({\(ranges[0]) : \(body)})"
    } else {
      let variables = ranges.map { String($0.prefix { $0 != " " }) }
      let sets = bound.map { writer.set($0.sort) }
      whole =
        "Cardinality({<<\(variables.joined(separator: ", "))>> \\in \(sets.joined(separator: " \\X ")) : \(body)})"
    }
    return "(\(whole) % \(modulus(node)))"
  }
}
