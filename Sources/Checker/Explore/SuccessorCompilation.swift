// SPDX-License-Identifier: Apache-2.0

import Logic

/// Compiles the successors of a state: for each action instance its guards, then its writes, straight into the packed
/// form of the successor.
struct SuccessorCompilation {
  let packed: PackedLayout
  let compiler: TermCompiler
  let tree: DecisionTree
  let before: any StateView
  /// Whether the code asks of each instance if it need be taken.
  let asksRedundant: Bool
  private var elaborator: Elaborator { compiler.elaborator }

  func compile(_ plans: [InstancePlan]) {
    tree.compile(countings(plans))
    tree.compile(changes(plans))
  }

  /// How many instances are possible, whether they change anything or not.
  private func countings(_ plans: [InstancePlan]) -> [DecisionTree.Item] {
    var counts: [Set<TermID>: Int] = [:]
    var order: [[TermID]] = []
    for plan in plans {
      let key = Set(plan.guards)
      if counts[key] == nil { order.append(plan.guards) }
      counts[key, default: 0] += 1
    }
    return order.map { guards in
      let count = Int32(counts[Set(guards)] ?? 0)
      return DecisionTree.Item(conditions: guards) { _ in
        compiler.append(Instruction(operation: .count, c: count))
      }
    }
  }

  private func changes(_ plans: [InstancePlan]) -> [DecisionTree.Item] {
    plans.enumerated().filter { !$0.element.writes.isEmpty }.map { number, plan in
      let conditions = plan.guards + plan.changes.filter { !plan.guards.contains($0) }
      return DecisionTree.Item(conditions: conditions, instance: asksRedundant ? number : nil) { known in
        let skip = TermCompiler.Label()
        if asksRedundant { compiler.jump(.jumpIfRedundant, Int32(number), to: skip) }
        compiler.append(Instruction(operation: .begin))
        for write in plan.writes { emit(write, plan, known) }
        compiler.append(Instruction(operation: .emit, c: Int32(number)))
        compiler.place(skip)
      }
    }
  }

  private func emit(_ write: Write, _ plan: InstancePlan, _ known: Set<TermID>) {
    let open = elaborator.conjuncts(of: write.condition).filter { !known.contains($0) }
    guard open.isEmpty else { return tree.under(open) { store(write, plan) } }
    store(write, plan)
  }

  private func store(_ write: Write, _ plan: InstancePlan) {
    switch write.kind {
    case .scalar(let value):
      insert(value, at: compiler.location(write.component, []).base)
    case .entry(let keys, let value):
      let (base, index) = compiler.location(write.component, keys)
      guard let index else { return insert(value, at: base) }
      compiler.append(
        Instruction(operation: .insertAt, a: index, b: compiler.register(of: value), c: base))
    case .table(let node):
      let sorts = elaborator.specification.components[write.component].keys
      let isOnly = plan.writes.count { $0.component == write.component } == 1
      for keys in elaborator.tuples(of: sorts) {
        let value = plan.evaluation.entry(of: node, keys)
        if isOnly, value == before.entry(write.component, keys) { continue }
        insert(value, at: compiler.location(write.component, keys).base)
      }
    }
  }

  private func insert(_ value: TermID, at register: Int32) {
    let slot = packed.slots[Int(register)]
    compiler.append(
      Instruction(
        operation: .insert, shift: slot.shift, target: slot.word, a: compiler.register(of: value),
        b: compiler.constant(slot.mask)))
  }
}
