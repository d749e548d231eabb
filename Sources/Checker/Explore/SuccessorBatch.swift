// SPDX-License-Identifier: Apache-2.0

import Logic

/// Successors of a few states, collected before they are looked up: looking up many at once hides the time that
/// memory takes.
final class SuccessorBatch {
  private static let target = 256
  let words: Int
  private(set) var count = 0
  let successors: UnsafeMutablePointer<UInt64>
  private let instances: UnsafeMutablePointer<Int32>
  private let parents: UnsafeMutablePointer<UInt32>
  private let hashes: UnsafeMutablePointer<UInt64>
  private let slots: UnsafeMutablePointer<PackedSlot>
  private var output: SuccessorBuffer
  /// What was read ahead, so that reading it is not optimised away.
  private(set) var touched: UInt64 = 0

  init(_ packed: PackedLayout, instanceCount: Int) {
    words = packed.words
    let capacity = Self.target + instanceCount + 1
    successors = .allocate(capacity: capacity * packed.words)
    instances = .allocate(capacity: capacity)
    parents = .allocate(capacity: capacity)
    hashes = .allocate(capacity: capacity)
    slots = .allocate(capacity: packed.slots.count)
    slots.initialize(from: packed.slots, count: packed.slots.count)
    output = SuccessorBuffer(
      words: packed.words, explored: successors, successors: successors, instances: instances, slots: slots)
  }

  deinit {
    successors.deallocate()
    instances.deallocate()
    parents.deallocate()
    hashes.deallocate()
    slots.deallocate()
  }

  var isFull: Bool { count >= Self.target }

  func clear() { count = 0 }

  /// Appends the successors of a state whose registers are loaded.
  /// - Returns: how many action instances are possible.
  func collect(
    from state: UnsafeMutablePointer<UInt64>, _ number: Int, _ code: UnsafePointer<Instruction>, _ start: Int,
    _ r: UnsafeMutablePointer<UInt64>
  ) -> Int {
    output.explored = state
    output.successorCount = count
    output.possible = 0
    _ = Instruction.run(code, from: start, r, &output)
    for index in count..<output.successorCount { parents[index] = UInt32(truncatingIfNeeded: number) }
    count = output.successorCount
    return output.possible
  }

  /// The action instance that a successor is of.
  func instance(_ index: Int) -> Int { Int(instances[index]) }

  /// Adds all to the store; false where memory ends.
  func insert(into store: StateStore) -> Bool {
    for index in 0..<count {
      let hash = store.hash(successors + index &* words)
      hashes[index] = hash
      touched &+= store.touch(hash)
    }
    for index in 0..<count {
      let insertion = store.insert(successors + index &* words, hashes[index], parent: parents[index])
      if insertion == .outOfMemory { return false }
    }
    return true
  }
}
