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
private final class Footprint {
  private var reads: RegisterSet
  /// Written, by whatever value.
  private var changed: RegisterSet
  /// Written whenever the instance changes anything.
  private var always: RegisterSet
  /// Of registers that are written: the constant, if it is always the same.
  private var constants: [Int: UInt64] = [:]

  init(_ plan: InstancePlan, _ elaborator: Elaborator, _ layout: StateLayout) {
    let none = RegisterSet(count: layout.count)
    (reads, changed, always) = (none, none, none)
    var reader = Reader(elaborator, layout)
    let known = Set(plan.guards + plan.changes)
    for condition in known { reader.read(condition, into: &reads) }
    for write in plan.writes {
      reader.read(write.condition, into: &reads)
      let isSure = elaborator.conjuncts(of: write.condition).allSatisfy(known.contains)
      switch write.kind {
      case .scalar(let value): note(value, at: reader.registers(of: write.component, []), isSure, &reader)
      case .entry(let keys, let value):
        for key in keys { reader.read(key, into: &reads) }
        note(value, at: reader.registers(of: write.component, keys), isSure, &reader)
      case .table(let node):
        for keys in elaborator.tuples(of: elaborator.specification.components[write.component].keys) {
          let value = plan.evaluation.entry(of: node, keys)
          note(value, at: reader.registers(of: write.component, keys), false, &reader)
        }
      }
    }
  }

  private func note(_ value: TermID, at registers: Range<Int>, _ isSure: Bool, _ reader: inout Reader) {
    reader.read(value, into: &reads)
    let constant = reader.elaborator.constantValue(value)
    for register in registers {
      if !changed.contains(register) || constants[register] == constant {
        constants[register] = constant
      } else {
        constants[register] = nil
      }
      changed.insert(register)
    }
    if isSure, registers.count == 1 { always.insert(registers.lowerBound) }
  }

  /// Whether whatever the other did is gone, and made no difference.
  func overwrites(_ other: Footprint) -> Bool {
    other.changed.isSubset(of: always) && other.changed.isDisjoint(with: reads)
  }

  /// Whether the order of the two makes no difference, and neither makes the other possible or impossible.
  func commutes(with other: Footprint) -> Bool {
    changed.isDisjoint(with: other.reads) && other.changed.isDisjoint(with: reads)
      && changed.allSatisfy(in: other.changed) {
        guard let constant = constants[$0] else { return false }
        return constant == other.constants[$0]
      }
  }
}

/// Finds the registers that an instance's terms read.
private struct Reader {
  let elaborator: Elaborator
  private let layout: StateLayout
  private var seen: Set<TermID> = []

  init(_ elaborator: Elaborator, _ layout: StateLayout) {
    self.elaborator = elaborator
    self.layout = layout
  }

  mutating func read(_ term: TermID, into reads: inout RegisterSet) {
    guard seen.insert(term).inserted else { return }
    let item = elaborator[term]
    switch item.operation {
    case .scalar(_, let component): reads.insert(registers(of: component, []))
    case .entry(_, let component): reads.insert(registers(of: component, item.operands))
    default: break
    }
    for operand in item.operands { read(operand, into: &reads) }
  }

  /// The registers that an entry may be: one if all its keys are constants.
  func registers(of component: Int, _ keys: [TermID]) -> Range<Int> {
    guard let place = layout.places[component] else { return 0..<0 }
    let constants = keys.compactMap { elaborator.constantValue($0) }
    if constants.count == keys.count, let register = layout.register(component, constants) {
      return register..<register + 1
    }
    return place.base..<place.base + place.count
  }
}

/// A set of registers of the state, a bit each.
private struct RegisterSet {
  private var words: [UInt64]

  init(count: Int) { words = [UInt64](repeating: 0, count: (count + 63) / 64) }

  mutating func insert(_ register: Int) { words[register / 64] |= 1 << UInt64(register % 64) }

  mutating func insert(_ registers: Range<Int>) {
    for register in registers { insert(register) }
  }

  func contains(_ register: Int) -> Bool { words[register / 64] >> UInt64(register % 64) & 1 != 0 }

  func isDisjoint(with other: RegisterSet) -> Bool {
    words.indices.allSatisfy { words[$0] & other.words[$0] == 0 }
  }

  func isSubset(of other: RegisterSet) -> Bool {
    words.indices.allSatisfy { words[$0] & ~other.words[$0] == 0 }
  }

  /// Whether something holds of all registers that are in both sets.
  func allSatisfy(in other: RegisterSet, _ condition: (Int) -> Bool) -> Bool {
    words.indices.allSatisfy { word in
      var rest = words[word] & other.words[word]
      while rest != 0 {
        if !condition(word * 64 + rest.trailingZeroBitCount) { return false }
        rest &= rest - 1
      }
      return true
    }
  }
}
