// SPDX-License-Identifier: Apache-2.0

import Logic

/// Which action instances need not be taken in a state, given one by which it was reached.
///
/// Let a lead from s to s', and s' not be nearer to the initial states than s. Then b need not be taken in s' if
/// - b overwrites all that a wrote and reads none of it: b leads from s to the same state, at most as far away as s'; or
/// - a and b do not touch what the other reads or writes, and a's rank is the greater: a leads to the same state from
///   where b leads from s, which is as far away as s' (or the state is nearer, and known).
///
/// So of all shortest ways to a state, one whose last action has the greatest rank is never left out; breadth first
/// search finds every state, at its depth, without the others. Ranks do not change under renaming, because ways are
/// compared up to renaming. What is left out is left out for any one shortest way to s', and hence for all together.
struct Redundancy {
  /// Words of a set of instances.
  let words: Int
  /// What need not be taken, `words` for each instance by which a state was reached; and, last, nothing.
  private let sets: [UInt64]
  /// By renaming, then instance: what the instance becomes.
  private let renamed: [Int]
  private let count: Int

  /// - Parameter renamed: by renaming, then instance: what the instance becomes; −1 if none of them.
  init(_ plans: [InstancePlan], _ elaborator: Elaborator, _ layout: StateLayout, renamed: [[Int]]) {
    count = plans.count
    words = (plans.count + 63) / 64
    self.renamed = renamed.flatMap { $0.map { $0 < 0 ? plans.count : $0 } }
    // The same for instances that differ by a renaming.
    let ranks = plans.indices.map { instance in
      renamed.reduce(instance) { $1[instance] < 0 ? $0 : min($0, $1[instance]) }
    }
    let footprints = plans.map { Footprint($0, elaborator, layout) }
    var sets = [UInt64](repeating: 0, count: words * (plans.count + 1))
    for (a, first) in footprints.enumerated() {
      for (b, second) in footprints.enumerated()
      where second.overwrites(first) || ranks[a] > ranks[b] && second.commutes(with: first) {
        sets[a * words + b / 64] |= 1 << UInt64(b % 64)
      }
    }
    self.sets = sets
  }

  /// Adds to `set` what need not be taken in a state reached by an instance and then renamed.
  func add(after instance: Int, renaming: Int, to set: UnsafeMutablePointer<UInt64>) {
    let from = renamed[renaming &* count &+ instance] &* words
    for word in 0..<words { set[word] |= sets[from &+ word] }
  }
}

/// What an action instance reads and writes, by register of the state.
private struct Footprint {
  /// How a register is written.
  private enum Change: Equatable {
    case constant(UInt64)
    case other
  }

  private let elaborator: Elaborator
  private let layout: StateLayout
  private var reads: Set<Int> = []
  private var changes: [Int: Change] = [:]
  /// Written whenever the instance changes anything.
  private var always: Set<Int> = []
  private var seen: Set<TermID> = []

  init(_ plan: InstancePlan, _ elaborator: Elaborator, _ layout: StateLayout) {
    self.elaborator = elaborator
    self.layout = layout
    let known = Set(plan.guards + plan.changes)
    for condition in known { read(condition) }
    for write in plan.writes {
      read(write.condition)
      let isSure = elaborator.conjuncts(of: write.condition).allSatisfy(known.contains)
      switch write.kind {
      case .scalar(let value): note(value, at: registers(of: write.component, []), isSure)
      case .entry(let keys, let value):
        for key in keys { read(key) }
        note(value, at: registers(of: write.component, keys), isSure)
      case .table(let node):
        for keys in elaborator.tuples(of: elaborator.specification.components[write.component].keys) {
          note(plan.evaluation.entry(of: node, keys), at: registers(of: write.component, keys), false)
        }
      }
    }
  }

  private mutating func read(_ term: TermID) {
    guard seen.insert(term).inserted else { return }
    let item = elaborator[term]
    switch item.operation {
    case .scalar(_, let component): reads.formUnion(registers(of: component, []))
    case .entry(_, let component): reads.formUnion(registers(of: component, item.operands))
    default: break
    }
    for operand in item.operands { read(operand) }
  }

  private mutating func note(_ value: TermID, at registers: [Int], _ isSure: Bool) {
    read(value)
    let change = elaborator.constantValue(value).map(Change.constant) ?? .other
    for register in registers {
      changes[register] = changes[register].map { $0 == change ? $0 : .other } ?? change
      if isSure, registers.count == 1 { always.insert(register) }
    }
  }

  /// The registers that an entry may be: one if all its keys are constants.
  private func registers(of component: Int, _ keys: [TermID]) -> [Int] {
    guard let place = layout.places[component] else { return [] }
    let constants = keys.compactMap { elaborator.constantValue($0) }
    if constants.count == keys.count, let register = layout.register(component, constants) {
      return [register]
    }
    return Array(place.base..<place.base + place.count)
  }

  /// Whether whatever the other did is gone, and made no difference.
  func overwrites(_ other: Footprint) -> Bool {
    other.changes.keys.allSatisfy { always.contains($0) && !reads.contains($0) }
  }

  /// Whether the order of the two makes no difference, and neither makes the other possible or impossible.
  func commutes(with other: Footprint) -> Bool {
    for (register, change) in changes {
      if other.reads.contains(register) { return false }
      guard let theirs = other.changes[register] else { continue }
      guard case .constant = change, change == theirs else { return false }
    }
    return other.changes.keys.allSatisfy { !reads.contains($0) }
  }
}
