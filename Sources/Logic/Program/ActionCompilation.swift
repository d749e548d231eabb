// SPDX-License-Identifier: Apache-2.0

/// Compiles one action over symbolic arguments: first all that is computed, from the state before; then the writes.
struct ActionCompilation {
  let action: Action
  let compiler: TermCompiler
  let evaluation: Evaluation
  let writes: [Write]
  let results: Int
  let unrollLimit: Int
  private var elaborator: Elaborator { compiler.elaborator }
  private var layout: StateLayout { compiler.layout }

  /// A write whose operands are in registers.
  private enum Prepared {
    case fixed(target: Int32, value: Int32)
    case indexed(base: Int32, index: Int32, value: Int32)
    case block(target: Int32, source: Int32, count: Int)
  }

  private struct PreparedGroup {
    let condition: Int32?
    let items: [Prepared]
  }

  init(
    _ action: Action, _ arguments: [TermID], _ compiler: TermCompiler, results: Int, unrollLimit: Int
  ) {
    self.action = action
    self.compiler = compiler
    self.results = results
    self.unrollLimit = unrollLimit
    let before = BaseState(compiler.elaborator)
    evaluation = Evaluation(compiler.elaborator, state: before, arguments: arguments)
    writes = WriteList(of: action, arguments, compiler.elaborator, evaluation, before: before).writes
  }

  /// - Parameter firstArgument: where the arguments begin in `ProgramSet.largest`.
  func compile(firstArgument: Int) -> ProgramSet.Program {
    let start = compiler.code.count
    let impossible = TermCompiler.Label()
    for item in action.guards { compile(item, otherwise: impossible) }
    for (index, result) in action.results.enumerated() {
      let value = compiler.register(of: evaluation.value(of: result.node))
      compiler.append(Instruction(operation: .move, target: Int32(results + index), a: value))
    }
    let prepared = grouped().map(prepare)
    compiler.append(Instruction(operation: .end, c: 1))
    compiler.place(impossible)
    compiler.append(Instruction(operation: .end, c: 0))
    let commit = compiler.code.count
    for group in prepared { store(group) }
    compiler.append(Instruction(operation: .end, c: 1))
    return ProgramSet.Program(
      start: start, commit: commit, firstArgument: firstArgument, argumentCount: action.parameters.count,
      resultCount: action.results.count)
  }

  private func compile(_ item: Guard, otherwise impossible: TermCompiler.Label) {
    let sorts = item.bound.map(\.sort)
    if size(sorts) <= unrollLimit {
      return compiler.jump(unless: evaluation.enumerated(item.bound, item.condition), to: impossible)
    }
    compiler.scoped {
      compiler.loop(over: sorts) { keys in
        evaluation.binding(item.bound, to: keys).value(of: item.condition)
      } _: { condition in
        compiler.jump(unless: condition, to: impossible)
      }
    }
  }

  private func size(_ sorts: [Sort]) -> Int {
    sorts.reduce(1) { total, sort in
      let count = layout.scope.count(of: sort)
      return count == 0 || count > 1 << 31 || total > 1 << 31 ? 1 << 62 : total * Int(count)
    }
  }

  // MARK: Writes

  private struct Group {
    let condition: TermID
    var writes: [Write]
  }

  /// Writes of one condition together. Writes to one component keep their order.
  private func grouped() -> [Group] {
    var groups: [Group] = []
    for write in writes {
      let latest = groups.lastIndex { $0.writes.contains { $0.component == write.component } } ?? 0
      if let index = groups.indices.first(where: { $0 >= latest && groups[$0].condition == write.condition })
      {
        groups[index].writes.append(write)
      } else {
        groups.append(Group(condition: write.condition, writes: [write]))
      }
    }
    return groups
  }

  /// Computes what a group writes, where its condition holds.
  private func prepare(_ group: Group) -> PreparedGroup {
    guard elaborator.constantValue(group.condition) == nil else {
      return PreparedGroup(condition: nil, items: group.writes.flatMap(prepare))
    }
    // Asked for again when the writes are made, and so not to be read from what they may have changed.
    let condition = stable(compiler.register(of: group.condition))
    var items: [Prepared] = []
    let skip = TermCompiler.Label()
    compiler.jump(.jumpIfZero, condition, to: skip)
    compiler.scoped { items = group.writes.flatMap(prepare) }
    compiler.place(skip)
    return PreparedGroup(condition: condition, items: items)
  }

  private func prepare(_ write: Write) -> [Prepared] {
    switch write.kind {
    case .scalar(let term):
      let target = compiler.location(write.component, []).base
      return [.fixed(target: target, value: stable(compiler.register(of: term)))]
    case .entry(let keys, let term):
      let (base, index) = compiler.location(write.component, keys)
      let value = stable(compiler.register(of: term))
      guard let index else { return [.fixed(target: base, value: value)] }
      return [.indexed(base: base, index: stable(index), value: value)]
    case .table(let node):
      let sorts = elaborator.specification.components[write.component].keys
      if size(sorts) <= unrollLimit { return unrolled(node, write.component, sorts) }
      return narrowed(node, write.component, sorts) ?? looped(node, write.component, sorts)
    }
  }

  /// A value read from a register of the state that the same action may change is set aside first.
  private func stable(_ register: Int32) -> Int32 {
    guard register >= 0, register < layout.count else { return register }
    let owner = layout.owner(of: Int(register)).component
    guard writes.contains(where: { $0.component == owner }) else { return register }
    let copy = compiler.temporary()
    compiler.append(Instruction(operation: .move, target: copy, a: register))
    return copy
  }

  private func unrolled(_ node: Node, _ component: Int, _ sorts: [Sort]) -> [Prepared] {
    let before = BaseState(elaborator)
    return elaborator.tuples(of: sorts).compactMap { keys in
      let term = evaluation.entry(of: node, keys)
      // An entry that stays as it was is not written, unless an earlier write changed it.
      let isFirst = writes.count { $0.component == component } == 1
      if isFirst, term == before.entry(component, keys) { return nil }
      let value = stable(compiler.register(of: term))
      return .fixed(target: compiler.location(component, keys).base, value: value)
    }
  }

  private func looped(_ node: Node, _ component: Int, _ sorts: [Sort]) -> [Prepared] {
    let count = size(sorts)
    let scratch = compiler.temporary(count)
    work(out: node, from: [], over: sorts, into: scratch)
    return [.block(target: compiler.location(component, zeros(sorts)).base, source: scratch, count: count)]
  }

  /// A loop that puts the entries of a table whose first keys are known, one after another, into temporaries.
  private func work(out node: Node, from known: [TermID], over rest: [Sort], into scratch: Int32) {
    let cursor = compiler.temporary()
    compiler.append(Instruction(operation: .move, target: cursor, a: compiler.constant(0)))
    compiler.scoped {
      compiler.loop(over: rest) { keys in
        evaluation.entry(of: node, known + keys)
      } _: { term in
        let value = compiler.register(of: term)
        compiler.append(Instruction(operation: .store, a: cursor, b: value, c: scratch))
        compiler.append(Instruction(operation: .increment, target: cursor))
      }
    }
  }

  /// A bulk update that leaves all alone but the entries whose first keys are known loops over the other keys.
  private func narrowed(_ node: Node, _ component: Int, _ sorts: [Sort]) -> [Prepared]? {
    let known = knownKeys(node, component, sorts)
    let rest = Array(sorts.dropFirst(known.count))
    let count = size(rest)
    guard !known.isEmpty, count <= Self.storeLimit else { return nil }
    let scratch = compiler.temporary(count)
    let (base, index) = compiler.location(component, known + zeros(rest))
    let start = index.map(stable)
    work(out: node, from: known, over: rest, into: scratch)
    return (0..<Int32(count)).map { offset in
      guard let start else { return .fixed(target: base + offset, value: scratch + offset) }
      return .indexed(base: base + offset, index: start, value: scratch + offset)
    }
  }

  /// So many entries are stored one by one.
  private static let storeLimit = 1 << 13

  /// The first keys of all entries that a bulk update changes, as far as they are known.
  private func knownKeys(_ node: Node, _ component: Int, _ sorts: [Sort]) -> [TermID] {
    // What an earlier write has changed may have to be changed back.
    guard writes.count(where: { $0.component == component }) == 1 else { return [] }
    let keys = sorts.map {
      SparsePrograms.Key(symbol: elaborator.symbol("key", $0), count: layout.scope.count(of: $0))
    }
    let symbols = keys.map(\.symbol)
    let openness = Openness(elaborator, keys: Set(symbols))
    let old = BaseState(elaborator).entry(component, symbols)
    let searches = SparseSearches(elaborator, keys: keys, isOpen: openness.isOpen)
      .changing(old, to: evaluation.entry(of: node, symbols))
    guard let first = searches.first else { return [] }
    let shared = sorts.indices.prefix { key in
      first.fixed[key] != nil && searches.allSatisfy { $0.fixed[key] == first.fixed[key] }
    }
    return shared.compactMap { first.fixed[$0] }
  }

  private func zeros(_ sorts: [Sort]) -> [TermID] { sorts.map { elaborator.constant(0, $0) } }

  private func store(_ group: PreparedGroup) {
    let skip = TermCompiler.Label()
    if let condition = group.condition { compiler.jump(.jumpIfZero, condition, to: skip) }
    for item in group.items {
      switch item {
      case .fixed(let target, let value):
        compiler.append(Instruction(operation: .move, target: target, a: value))
      case .indexed(let base, let index, let value):
        compiler.append(Instruction(operation: .store, a: index, b: value, c: base))
      case .block(let target, let source, let count):
        compiler.append(Instruction(operation: .copy, target: target, a: source, c: Int32(count)))
      }
    }
    compiler.place(skip)
  }
}
