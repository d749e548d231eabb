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
  /// How each was renamed.
  let renamings: UnsafeMutablePointer<Int>
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
    renamings = .allocate(capacity: capacity)
    renamings.initialize(repeating: 0, count: capacity)
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
    renamings.deallocate()
    slots.deallocate()
  }

  var isFull: Bool { count >= Self.target }

  func clear() { count = 0 }

  /// Appends the successors of a state whose registers are loaded.
  /// - Parameter redundant: the set of instances that need not be taken, where the code asks for it.
  /// - Returns: how many action instances are possible.
  func collect(
    from state: UnsafeMutablePointer<UInt64>, _ number: Int, redundant: UnsafePointer<UInt64>,
    _ executable: Executable, _ start: Int,
    _ r: UnsafeMutablePointer<UInt64>
  ) -> Int {
    output.explored = state
    output.successorCount = count
    output.possible = 0
    output.redundant = redundant
    _ = executable.run(from: start, r, &output)
    for index in count..<output.successorCount { parents[index] = UInt32(truncatingIfNeeded: number) }
    count = output.successorCount
    return output.possible
  }

  /// The action instance that a successor is of.
  func instance(_ index: Int) -> Int { Int(instances[index]) }

  /// Adds all to the store; false where memory ends.
  /// - Parameter next: the first state of the level that the successors are of.
  func insert(into store: StateStore, _ redundancy: Redundancy?, next: Int) -> Bool {
    for index in 0..<count {
      let hash = store.hash(successors + index &* words)
      hashes[index] = hash
      touched &+= store.touch(hash)
    }
    for index in 0..<count {
      guard let number = store.insert(successors + index &* words, hashes[index], parent: parents[index])
      else { return false }
      // One of the shortest ways to it, and perhaps not the first.
      if let redundancy, number >= next {
        redundancy.add(after: instance(index), renaming: renamings[index], to: store.redundant(number))
      }
    }
    return true
  }
}
