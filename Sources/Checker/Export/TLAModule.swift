// SPDX-License-Identifier: Apache-2.0
//
// A machine at a scope as a TLA+ module and a model for TLC: for explorations too large for one computer, which TLC
// distributes over many. What it writes is a small part of TLA+, the same for every machine; a reader of that part in
// Tests/SpecsTests/TLA compares it with the specification's own evaluator.

import Logic

/// A machine at a scope, as a TLA+ module with its configuration for TLC.
public struct TLAModule: Sendable {
  /// The module's name, and so its files'.
  public let name: String
  /// Of NAME.tla.
  public let text: String
  /// Of NAME.cfg.
  public let configuration: String

  /// - Throws: if TLC could not count as far as the scope's words do, or the scope does not fit the specification.
  public init(_ specification: Specification, scope: Scope) throws(SpecificationError) {
    // The same is asked of a scope as for an exploration here.
    _ = try StateLayout(specification, scope: scope)
    var writer = try TLAWriter(specification, scope)
    name = writer.name
    text = try writer.module()
    configuration = writer.configuration
  }
}

/// Writes one module.
struct TLAWriter {
  let specification: Specification
  let scope: Scope
  let name: String
  private var names = TLANames()
  /// Sorts by their names in the specification; the names of their sets here.
  private var sets: [String: String] = [:]
  private let sorts: [Sort]
  /// The variable of each component; nil for witnesses of proofs, which explored states do not have.
  private(set) var variables: [String?] = []
  private var invariants: [String] = []
  private(set) var usesBits: Set<Operation> = []

  init(_ specification: Specification, _ scope: Scope) throws(SpecificationError) {
    self.specification = specification
    self.scope = scope
    let words = "\(specification.name) \(scope.name)".split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
    name = words.joined(separator: "_")
    _ = names.new(name)
    var found: [String: Sort] = [:]
    for node in specification.nodes { found[node.sort.name] = node.sort }
    for component in specification.components where component.role != .witness {
      for sort in component.keys + [component.sort] { found[sort.name] = sort }
    }
    for parameter in specification.actions.flatMap(\.parameters) {
      found[parameter.sort.name] = parameter.sort
    }
    sorts = found.values.filter { $0.kind != .bit }.sorted { $0.name < $1.name }
    for sort in sorts {
      guard (1...Self.largest).contains(scope.count(of: sort)) else {
        throw SpecificationError(
          "\(specification.name): \(sort.name) has \(scope.count(of: sort)) values at scope \(scope.name), and TLC's"
            + " numbers have 31 bits: give it at most \(Self.largest)")
      }
      sets[sort.name] = names.new(sort.name)
    }
    variables = specification.components.map { component in
      component.role == .witness ? nil : names.new(component.name)
    }
  }

  /// So that a sum of two is a number of TLC's.
  private static let largest: UInt64 = 1 << 29

  /// The set that a sort's values are in.
  func set(_ sort: Sort) -> String { sort.kind == .bit ? "BOOLEAN" : sets[sort.name] ?? "?" }

  /// A value of a sort, reduced to its size as in an exploration.
  func constant(_ value: UInt64, _ sort: Sort) -> String {
    let value = value & scope.mask(of: sort)
    switch sort.kind {
    case .bit: return value == 0 ? "FALSE" : "TRUE"
    case .word, .identity: return "\(value)"
    case .choice(let cases): return value < UInt64(cases.count) ? "\"\(cases[Int(value)])\"" : "\"?\""
    }
  }

  // MARK: The module

  mutating func module() throws(SpecificationError) -> String {
    var body: [String] = []
    body.append(
      "VARIABLES \(present.joined(separator: ", "))\n\nvars == <<\(present.joined(separator: ", "))>>")
    body.append(typing)
    body.append(try initial())
    var steps: [String] = []
    for action in specification.actions where !scope.excluded.contains(action.name) {
      let (definition, step) = try write(action)
      body.append(definition)
      steps.append(step)
    }
    body.append("Next ==\n" + steps.map { "  \\/ \($0)\n" }.joined() + "\nSpec == Init /\\ [][Next]_vars")
    for invariant in specification.invariants where invariant.reading != .proofOnly {
      let claim = names.new(sentence: invariant.name)
      invariants.append(claim)
      let rule = invariant.rule.map { "\($0): " } ?? ""
      body.append(
        "\\* \(Self.plain("\(rule)\(invariant.name)")) (\(invariant.site))\n"
          + (try define(claim, [], [], [(invariant.bound, "\\A", invariant.body)])))
    }
    for witness in specification.witnesses {
      let claim = names.new(sentence: "sometimes " + witness.name)
      body.append(
        "\\* To be reached: \(Self.plain(witness.name)) (\(witness.site)). TLC shows a way there when told INVARIANT Never\(claim).\n"
          + (try define(claim, [], [], [(witness.bound, "\\E", witness.body)])) + "\n"
          + "\(names.new("Never" + claim)) == ~\(claim)")
    }
    let rule = String(repeating: "-", count: 4)
    return "\(rule) MODULE \(name) \(rule)\n" + prologue
      + ([sortLines] + bitLines + body).joined(separator: "\n\n")
      + "\n" + String(repeating: "=", count: 80) + "\n"
  }

  private var prologue: String {
    let arguments = scope.arguments.sorted { $0.key < $1.key }.map {
      "\\*   \($0.key) is one of \($0.value.sorted().map { String($0) }.joined(separator: ", "))\n"
    }
    let excluded = scope.excluded.sorted().map { "\\*   \($0) is not taken\n" }
    return "\\* \(specification.name) at scope \(scope.name), written by lockstep export --tla.\n"
      + (arguments + excluded).joined() + "EXTENDS Naturals, FiniteSets\n\n"
  }

  private var present: [String] { variables.compactMap { $0 } }

  private var sortLines: String {
    sorts.map { sort in
      switch sort.kind {
      case .choice(let cases): "\(set(sort)) == {\(cases.map { "\"\($0)\"" }.joined(separator: ", "))}"
      default: "\(set(sort)) == 0 .. \(scope.count(of: sort) - 1)"
      }
    }.joined(separator: "\n")
  }

  /// In ASCII, as TLA+ is.
  private static func plain(_ text: String) -> String { String(text.map { $0.isASCII ? $0 : "?" }) }

  /// Bit by bit, for TLA+'s numbers have none.
  private var bitLines: [String] {
    let operators: [(Operation, String, String)] = [
      (.bitAnd, "BitAnd", "(a % 2) * (b % 2)"), (.bitOr, "BitOr", "(((a % 2) + (b % 2)) + 1) \\div 2"),
      (.bitXor, "BitXor", "((a % 2) + (b % 2)) % 2"),
    ]
    return operators.filter { usesBits.contains($0.0) }.map { _, name, bit in
      "RECURSIVE \(name)(_, _)\n\(name)(a, b) ==\n"
        + "  IF (a = 0) /\\ (b = 0) THEN 0 ELSE (2 * \(name)(a \\div 2, b \\div 2)) + (\(bit))"
    }
  }

  private func type(_ component: Component) -> String {
    component.keys.isEmpty
      ? set(component.sort)
      : "[\(component.keys.map(set).joined(separator: " \\X ")) -> \(set(component.sort))]"
  }

  private var typing: String {
    let lines = zip(specification.components, variables).compactMap { component, variable in
      variable.map { "  /\\ \($0) \\in \(type(component))\n" }
    }
    return "TypeOK ==\n" + lines.joined().dropLast()
  }

  private mutating func initial() throws(SpecificationError) -> String {
    var lines: [String] = []
    for (component, variable) in zip(specification.components, variables) {
      guard let variable else { continue }
      switch component.initial {
      case .any: lines.append("\(variable) \\in \(type(component))")
      case .value(let value):
        let value = constant(value, component.sort)
        guard !component.keys.isEmpty else {
          lines.append("\(variable) = \(value)")
          continue
        }
        let keys = component.keys.map { "\(names.new("k")) \\in \(set($0))" }.joined(separator: ", ")
        lines.append("\(variable) = [\(keys) |-> \(value)]")
      }
    }
    for assumption in specification.assumptions {
      var expression = TLAExpression(self, arguments: [], names: names)
      lines.append(try expression.root([(assumption.bound, "\\A", assumption.body)])[0])
      take(expression)
    }
    return "Init ==\n" + lines.map { "  /\\ \($0)\n" }.joined().dropLast()
  }

  // MARK: Definitions

  /// An action, and how `Next` takes it.
  private mutating func write(_ action: Action) throws(SpecificationError) -> (
    definition: String, step: String
  ) {
    let title = names.new(action.name)
    let parameters = action.parameters.map { names.new($0.name) }
    var roots: [TLAExpression.Root] = action.guards.map { ($0.bound, "\\A", $0.condition) }
    var changed: [String] = []
    for (component, node) in action.next.sorted(by: { $0.key < $1.key }) {
      guard let variable = variables[component] else { continue }
      roots.append(([], "", node))
      changed.append(variable)
    }
    let unchanged = present.filter { !changed.contains($0) }
    let definition = try define(title, parameters, changed, roots, unchanged: unchanged)
    guard !parameters.isEmpty else { return (definition, title) }
    let ranges = zip(parameters, action.parameters).map { name, parameter in
      let values = scope.values(of: parameter, in: action.name)
      let isAll = UInt64(values.count) == scope.count(of: parameter.sort)
      let some = values.map { constant($0, parameter.sort) }.joined(separator: ", ")
      // Another name than the definition's own parameter: nothing may be redeclared.
      return (names.new(name), isAll ? set(parameter.sort) : "{\(some)}")
    }
    let bound = ranges.map { "\($0.0) \\in \($0.1)" }.joined(separator: ", ")
    return (definition, "(\\E \(bound) : \(title)(\(ranges.map(\.0).joined(separator: ", "))))")
  }

  /// A definition: conditions, then what the changed variables become, for the last of the roots.
  private mutating func define(
    _ title: String, _ parameters: [String], _ changed: [String], _ roots: [TLAExpression.Root],
    unchanged: [String] = []
  ) throws(SpecificationError) -> String {
    var expression = TLAExpression(self, arguments: parameters, names: names)
    let texts = try expression.root(roots)
    let conditions = texts.count - changed.count
    var lines = texts.prefix(conditions).map { $0 }
    lines += zip(changed, texts.dropFirst(conditions)).map { "\($0)' = \($1)" }
    if !unchanged.isEmpty { lines.append("UNCHANGED <<\(unchanged.joined(separator: ", "))>>") }
    let heading = title + (parameters.isEmpty ? "" : "(\(parameters.joined(separator: ", ")))") + " ==\n"
    let shared = expression.definitions
    take(expression)
    guard !shared.isEmpty else { return heading + lines.map { "  /\\ \($0)\n" }.joined().dropLast() }
    return heading + "  LET " + shared.joined(separator: "\n      ") + "\n  IN\n"
      + lines.map { "  /\\ \($0)\n" }.joined().dropLast()
  }

  private mutating func take(_ expression: TLAExpression) {
    names = expression.names
    usesBits.formUnion(expression.usesBits)
  }

  // MARK: The model

  /// What TLC is to check.
  var configuration: String {
    "\\* \(specification.name) at scope \(scope.name), written by lockstep export --tla.\n"
      + "INIT Init\nNEXT Next\nCHECK_DEADLOCK FALSE\n"
      + (["TypeOK"] + invariants).map { "INVARIANT \($0)\n" }.joined()
  }
}
