// SPDX-License-Identifier: Apache-2.0
//
// Nodes as a person would write them, for naming what a mutant changes and what an obligation is about.

extension Specification {
  /// The node as text, cut off where it gets long; `action` names the arguments.
  public func text(_ node: Node, in action: Action? = nil, depth: Int = 6) -> String {
    Scribe(specification: self, action: action).text(node, depth)
  }
}

private struct Scribe {
  let specification: Specification
  let action: Action?

  func text(_ node: Node, _ depth: Int) -> String {
    guard depth > 0 else { return "…" }
    func operand(_ index: Int) -> String { text(node.operands[index], depth - 1) }
    func infix(_ symbol: String) -> String {
      "\(grouped(0, node, depth)) \(symbol) \(grouped(1, node, depth))"
    }
    switch node.operation {
    case .constant(let value): return node.sort.describe(value)
    case .maximum: return "max"
    case .stateScalar(let index), .stateTable(let index): return specification.components[index].name
    case .argument(let index): return action?.parameters[index].name ?? "argument \(index)"
    case .bound(let name): return name
    case .select: return entry(node.operands[0], node.operands.dropFirst().map { text($0, depth - 1) })
    case .store, .tabulate: return "(updated)"
    case .count: return "cardinality { \(operand(node.operands.count - 1)) }"
    case .not: return "!\(grouped(0, node, depth))"
    case .and: return infix("&&")
    case .or: return infix("||")
    case .equal: return infix("==")
    case .lessThan: return infix("<")
    case .lessOrEqual: return infix("<=")
    case .add: return infix("+")
    case .subtract: return infix("-")
    case .bitAnd: return infix("&")
    case .bitOr: return infix("|")
    case .bitXor: return infix("^")
    case .resize: return "\(node.sort.name)(\(operand(0)))"
    case .ifThenElse: return "(\(operand(0)) ? \(operand(1)) : \(operand(2)))"
    }
  }

  private func grouped(_ index: Int, _ node: Node, _ depth: Int) -> String {
    let inner = node.operands[index]
    let words = text(inner, depth - 1)
    switch inner.operation {
    case .and, .or, .equal, .lessThan, .lessOrEqual, .add, .subtract, .bitAnd, .bitOr, .bitXor:
      return "(\(words))"
    default: return words
    }
  }

  /// `lamps[lamp].light`; what was stored before the read in the same action is not shown.
  private func entry(_ table: Node, _ keys: [String]) -> String {
    let index = "[\(keys.joined(separator: ", "))]"
    var node = table
    while true {
      switch node.operation {
      case .stateTable(let component):
        let declared = specification.components[component]
        let mark = node === table ? "" : "′"
        return declared.variable + mark + index + (declared.field.isEmpty ? "" : ".\(declared.field)")
      case .store: node = node.operands[0]
      case .ifThenElse: node = node.operands[2]
      default: return "(updated)\(index)"
      }
    }
  }
}
