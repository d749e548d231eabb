// SPDX-License-Identifier: Apache-2.0

import Logic

/// Which names can be exchanged without changing anything, and the least of the states that differ by such exchanges.
///
/// The names of an identity sort are interchangeable unless the specification says one of them: as a constant
/// anywhere, or as an initial value.
struct Symmetry {
  /// A renaming of one state: where each scalar goes, and what its value becomes.
  private struct Renaming {
    /// Scalars of one word that move to another by as many bits, and keep their values or have bits inverted.
    struct Shift {
      let from: Int
      let to: Int
      let mask: UInt64
      /// To the left, cyclically.
      let distance: UInt64
    }
    /// A scalar whose values become others.
    struct Move {
      let from: PackedSlot
      let to: PackedSlot
      /// The new value, by the old.
      let values: [UInt64]
    }
    var shifts: [Shift] = []
    /// By word of the result: bits inverted in the end.
    var inverted: [UInt64]
    var moves: [Move] = []
    /// By sort: what each value becomes.
    let permutation: [String: [UInt64]]
  }

  private let renamings: [Renaming]
  private let words: Int

  /// Whether there is anything to exchange.
  var isUseful: Bool { !renamings.isEmpty }

  /// How many renamings there are, the one that changes nothing included.
  var order: Int { renamings.count + 1 }

  init(_ packed: PackedLayout, isOn: Bool) {
    words = packed.words
    guard isOn else {
      renamings = []
      return
    }
    var permutations: [[String: [UInt64]]] = [[:]]
    for (sort, free) in Self.interchangeable(packed.layout) {
      let count = packed.layout.scope.count(of: sort)
      let choices = Self.permutations(of: free).map { image in
        var values = Array(0..<count)
        for (from, to) in zip(free, image) { values[Int(from)] = to }
        return values
      }
      permutations = permutations.flatMap { known in
        choices.map { known.merging([sort.name: $0]) { first, _ in first } }
      }
    }
    renamings = permutations.dropFirst().map { Self.renaming($0, packed) }
  }

  /// The sorts of which two or more values can be exchanged, with those values; at most 8 of a sort are.
  static func interchangeable(_ layout: StateLayout) -> [(sort: Sort, values: [UInt64])] {
    let specification = layout.specification
    var sorts: [String: Sort] = [:]
    var named: [String: Set<UInt64>] = [:]
    func see(_ sort: Sort) { if sort.kind == .identity { sorts[sort.name] = sort } }
    for component in specification.components where component.role != .witness {
      for sort in component.keys + [component.sort] { see(sort) }
      if case .value(let value) = component.initial { named[component.sort.name, default: []].insert(value) }
    }
    // A scope that gives a parameter some values only names them, and so the rest.
    for action in specification.actions {
      for parameter in action.parameters
      where layout.scope.arguments["\(action.name).\(parameter.name)"] != nil {
        named[parameter.sort.name, default: []].formUnion(0..<layout.scope.count(of: parameter.sort))
      }
    }
    for node in specification.nodes {
      see(node.sort)
      if case .constant(let value) = node.operation { named[node.sort.name, default: []].insert(value) }
    }
    return sorts.values.sorted { $0.name < $1.name }.compactMap { sort in
      let count = layout.scope.count(of: sort)
      let free = (0..<min(count, 64)).filter { !(named[sort.name]?.contains($0) ?? false) }.prefix(6)
      return free.count > 1 ? (sort, Array(free)) : nil
    }
  }

  /// Every order of the values, the given one first.
  private static func permutations(of values: [UInt64]) -> [[UInt64]] {
    guard !values.isEmpty else { return [[]] }
    return values.indices.flatMap { index in
      var rest = values
      let first = rest.remove(at: index)
      return permutations(of: rest).map { [first] + $0 }
    }
  }

  private static func renaming(_ permutation: [String: [UInt64]], _ packed: PackedLayout) -> Renaming {
    let layout = packed.layout
    var renaming = Renaming(
      inverted: Array(repeating: 0, count: packed.words), permutation: permutation)
    struct Group: Hashable {
      let from, to: Int32
      let distance: Int
    }
    var groups: [Group: UInt64] = [:]
    for register in packed.registers {
      let (index, keys) = layout.owner(of: register)
      let component = layout.specification.components[index]
      let renamed = zip(component.keys, keys).map { sort, key in permutation[sort.name]?[Int(key)] ?? key }
      guard let target = layout.register(index, renamed) else {
        preconditionFailure("a renamed key is a key")
      }
      let (from, to) = (packed.slots[register], packed.slots[target])
      let values = permutation[component.sort.name] ?? []
      let difference = values.first ?? 0
      guard values.indices.allSatisfy({ values[$0] == UInt64($0) ^ difference }) else {
        renaming.moves.append(Renaming.Move(from: from, to: to, values: values))
        continue
      }
      renaming.inverted[Int(to.word)] |= difference << UInt64(to.shift)
      let distance = (Int(to.shift) - Int(from.shift)) & 63
      groups[Group(from: from.word, to: to.word, distance: distance), default: 0] |= from.mask
    }
    renaming.shifts = groups.map { group, mask in
      Renaming.Shift(
        from: Int(group.from), to: Int(group.to), mask: mask, distance: UInt64(group.distance))
    }
    return renaming
  }

  /// What each instance becomes, by renaming; −1 where that is none of them. The first changes nothing.
  func renamed(_ instances: [ActionInstance], in specification: Specification) -> [[Int]] {
    var numbers: [ActionInstance: Int] = [:]
    for (number, instance) in instances.enumerated() { numbers[instance] = number }
    return [Array(instances.indices)]
      + renamings.map { renaming in
        instances.map { instance in
          let parameters = specification.actions[instance.action].parameters
          let arguments = zip(parameters, instance.arguments).map { parameter, value in
            renaming.permutation[parameter.sort.name]?[Int(value)] ?? value
          }
          return numbers[ActionInstance(action: instance.action, arguments: arguments)] ?? -1
        }
      }
  }

  // MARK: The least renaming

  /// Replaces every successor by the least of its renamings.
  func canonicalize(_ batch: SuccessorBatch) {
    guard isUseful else { return }
    for index in 0..<batch.count {
      batch.renamings[index] = canonicalize(batch.successors + index &* words)
    }
  }

  /// Replaces a packed state by the least of its renamings.
  /// - Returns: which one that is; 0 is the one that changes nothing.
  @discardableResult
  func canonicalize(_ state: UnsafeMutablePointer<UInt64>) -> Int {
    guard isUseful else { return 0 }
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2 * words) { scratch in
      guard let candidate = scratch.baseAddress else { return 0 }
      let best = candidate + words
      var chosen = 0
      best.update(from: state, count: words)
      for (index, renaming) in renamings.enumerated() {
        rename(state, renaming, into: candidate)
        if isLess(candidate, best) {
          best.update(from: candidate, count: words)
          chosen = index + 1
        }
      }
      state.update(from: best, count: words)
      return chosen
    }
  }

  @inline(__always)
  private func rename(
    _ state: UnsafePointer<UInt64>, _ renaming: Renaming, into result: UnsafeMutablePointer<UInt64>
  ) {
    for word in 0..<words { result[word] = renaming.inverted[word] }
    for shift in renaming.shifts {
      let bits = state[shift.from] & shift.mask
      result[shift.to] ^= bits &<< shift.distance | bits &>> ((0 &- shift.distance) & 63)
    }
    for move in renaming.moves {
      let value = move.values[Int((state[Int(move.from.word)] & move.from.mask) &>> UInt64(move.from.shift))]
      result[Int(move.to.word)] |= value &<< UInt64(move.to.shift)
    }
  }

  private func isLess(_ a: UnsafePointer<UInt64>, _ b: UnsafePointer<UInt64>) -> Bool {
    for word in 0..<words where a[word] != b[word] { return a[word] < b[word] }
    return false
  }
}
