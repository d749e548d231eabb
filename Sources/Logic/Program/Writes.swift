// SPDX-License-Identifier: Apache-2.0

/// One change that an action makes, its condition and values in terms of the state before.
package struct Write {
  package enum Kind {
    case scalar(TermID)
    case entry(keys: [TermID], TermID)
    /// Every entry, worked out from the node.
    case table(Node)
  }

  package let component: Int
  package let condition: TermID
  package let kind: Kind
}

/// Works out what an action changes, without touching what it leaves alone: an action that stores to one entry of a
/// large table makes one write.
package final class WriteList {
  /// In the order in which they must be made: later ones win.
  package private(set) var writes: [Write] = []
  private let elaborator: Elaborator
  private let evaluation: Evaluation
  private var component = 0
  private var junctions: [ObjectIdentifier: Node?] = [:]

  package init(
    of action: Action, _ arguments: [TermID], _ elaborator: Elaborator, _ evaluation: Evaluation,
    before: any StateView
  ) {
    self.elaborator = elaborator
    self.evaluation = evaluation
    for (component, node) in action.next.sorted(by: { $0.key < $1.key }) {
      let declared = elaborator.specification.components[component]
      if declared.role == .witness { continue }
      self.component = component
      if declared.keys.isEmpty {
        appendScalar(evaluation.value(of: node), old: before.scalar(component))
      } else {
        descend(node, to: nil, elaborator.yes, before)
      }
    }
  }

  private func append(_ condition: TermID, _ kind: Write.Kind) {
    if elaborator.constantValue(condition) == 0 { return }
    writes.append(Write(component: component, condition: condition, kind: kind))
  }

  private func appendScalar(_ value: TermID, old: TermID) {
    let (condition, value) = peeled(value, old: old, elaborator.yes)
    if value != old { append(condition, .scalar(value)) }
  }

  /// "if c then x else what is there already" is x under the condition c.
  private func peeled(_ value: TermID, old: TermID, _ condition: TermID) -> (TermID, TermID) {
    let item = elaborator[value]
    guard item.operation == .ifThenElse else { return (condition, value) }
    if item.operands[2] == old {
      return peeled(item.operands[1], old: old, elaborator.and(condition, item.operands[0]))
    }
    if item.operands[1] == old {
      let other = elaborator.not(item.operands[0])
      return peeled(item.operands[2], old: old, elaborator.and(condition, other))
    }
    return (condition, value)
  }

  /// Appends what `table` changes with respect to the node `base`, which lies below it; nil: the state before.
  private func descend(_ table: Node, to base: Node?, _ condition: TermID, _ before: any StateView) {
    if table === base || elaborator.constantValue(condition) == 0 { return }
    let operands = table.operands
    switch table.operation {
    case .stateTable(component): return
    case .store:
      descend(operands[0], to: base, condition, before)
      let keys = operands.dropFirst().dropLast().map(evaluation.value)
      let value = evaluation.value(of: operands[operands.count - 1])
      let old = before.entry(component, keys)
      let isFirst = writes.last?.component != component
      let (narrow, new) = isFirst ? peeled(value, old: old, condition) : (condition, value)
      if !isFirst || new != old { append(narrow, .entry(keys: keys, new)) }
    case .ifThenElse:
      let chosen = evaluation.value(of: operands[0])
      let shared = junction(operands[1], operands[2])
      if let shared { descend(shared, to: base, condition, before) }
      descend(operands[1], to: shared, elaborator.and(condition, chosen), before)
      descend(operands[2], to: shared, elaborator.and(condition, elaborator.not(chosen)), before)
    default: append(condition, .table(table))
    }
  }

  /// The table that `node` is a change of, if it is one.
  private func below(_ node: Node) -> Node? {
    switch node.operation {
    case .store: return node.operands[0]
    case .ifThenElse:
      if let known = junctions[ObjectIdentifier(node)] { return known }
      let found = junction(node.operands[1], node.operands[2])
      junctions[ObjectIdentifier(node)] = .some(found)
      return found
    default: return nil
    }
  }

  /// The nearest table of which both are changes.
  private func junction(_ a: Node, _ b: Node) -> Node? {
    var seen: Set<ObjectIdentifier> = []
    var next: Node? = a
    while let node = next {
      seen.insert(ObjectIdentifier(node))
      next = below(node)
    }
    next = b
    while let node = next {
      if seen.contains(ObjectIdentifier(node)) { return node }
      next = below(node)
    }
    return nil
  }
}
