// SPDX-License-Identifier: Apache-2.0

/// Where an exploration's program writes the successors that it finds.
package struct SuccessorBuffer {
  /// Words of a packed state.
  package var words = 0
  /// The packed state explored.
  package var explored: UnsafeMutablePointer<UInt64>
  /// Successors, one after another; room for one for each action instance and one more.
  package var successors: UnsafeMutablePointer<UInt64>
  /// The action instance of each successor.
  package var instances: UnsafeMutablePointer<Int32>
  /// Where each scalar lies in a packed state, for stores at computed places.
  package var slots: UnsafePointer<PackedSlot>
  /// How many successors there are.
  package var successorCount = 0
  /// How many action instances are possible.
  package var possible = 0
  /// The set of action instances that need not be taken, a bit each; read only by code that asks for it.
  package var redundant: UnsafePointer<UInt64>

  package init(
    words: Int, explored: UnsafeMutablePointer<UInt64>, successors: UnsafeMutablePointer<UInt64>,
    instances: UnsafeMutablePointer<Int32>, slots: UnsafePointer<PackedSlot>
  ) {
    self.words = words
    self.explored = explored
    self.successors = successors
    self.instances = instances
    self.slots = slots
    redundant = UnsafePointer(successors)
  }
}

/// Where a scalar lies in a packed state.
package struct PackedSlot {
  package var word: Int32
  package var shift: UInt8
  /// The scalar's bits, in place.
  package var mask: UInt64

  package init(word: Int32, shift: UInt8, mask: UInt64) {
    self.word = word
    self.shift = shift
    self.mask = mask
  }
}

extension Instruction {
  /// Runs from instruction `start` to an `end`, and returns its answer.
  ///
  /// Registers and jumps are those that the compiler made: the caller vouches that the memory is there and that
  /// what is in the state's and the arguments' registers are values of their sorts.
  @inline(never)
  package static func run(
    _ code: UnsafePointer<Instruction>, from start: Int, _ r: UnsafeMutablePointer<UInt64>,
    _ output: UnsafeMutablePointer<SuccessorBuffer>? = nil
  ) -> Int {
    var next = code + start
    while true {
      let i = next.pointee
      next += 1
      switch i.operation {
      case .move: r[Int(i.target)] = r[Int(i.a)]
      case .not: r[Int(i.target)] = r[Int(i.a)] ^ 1
      case .and: r[Int(i.target)] = r[Int(i.a)] & r[Int(i.b)]
      case .or: r[Int(i.target)] = r[Int(i.a)] | r[Int(i.b)]
      case .xor: r[Int(i.target)] = r[Int(i.a)] ^ r[Int(i.b)]
      case .equal: r[Int(i.target)] = r[Int(i.a)] == r[Int(i.b)] ? 1 : 0
      case .notEqual: r[Int(i.target)] = r[Int(i.a)] != r[Int(i.b)] ? 1 : 0
      case .lessThan: r[Int(i.target)] = r[Int(i.a)] < r[Int(i.b)] ? 1 : 0
      case .lessOrEqual: r[Int(i.target)] = r[Int(i.a)] <= r[Int(i.b)] ? 1 : 0
      case .add: r[Int(i.target)] = (r[Int(i.a)] &+ r[Int(i.b)]) & (.max &>> UInt64(i.shift))
      case .subtract: r[Int(i.target)] = (r[Int(i.a)] &- r[Int(i.b)]) & (.max &>> UInt64(i.shift))
      case .truncate: r[Int(i.target)] = r[Int(i.a)] & (.max &>> UInt64(i.shift))
      case .select: r[Int(i.target)] = r[Int(i.a)] != 0 ? r[Int(i.b)] : r[Int(i.c)]
      case .scale: r[Int(i.target)] = r[Int(i.a)] &* UInt64(UInt32(bitPattern: i.c))
      case .scaleAdd: r[Int(i.target)] = r[Int(i.a)] &* UInt64(UInt32(bitPattern: i.c)) &+ r[Int(i.b)]
      case .load: r[Int(i.target)] = r[Int(truncatingIfNeeded: r[Int(i.a)]) &+ Int(i.c)]
      case .store: r[Int(truncatingIfNeeded: r[Int(i.a)]) &+ Int(i.c)] = r[Int(i.b)]
      case .copy: (r + Int(i.target)).update(from: r + Int(i.a), count: Int(i.c))
      case .increment: r[Int(i.target)] &+= 1
      case .jump: next = code + Int(i.target)
      case .jumpIfZero: if r[Int(i.a)] == 0 { next = code + Int(i.target) }
      case .jumpIfNotZero: if r[Int(i.a)] != 0 { next = code + Int(i.target) }
      case .jumpIfEqual: if r[Int(i.a)] == r[Int(i.b)] { next = code + Int(i.target) }
      case .jumpIfNotEqual: if r[Int(i.a)] != r[Int(i.b)] { next = code + Int(i.target) }
      case .jumpIfLess: if r[Int(i.a)] < r[Int(i.b)] { next = code + Int(i.target) }
      case .jumpIfNotLess: if r[Int(i.a)] >= r[Int(i.b)] { next = code + Int(i.target) }
      case .jumpIfLessOrEqual: if r[Int(i.a)] <= r[Int(i.b)] { next = code + Int(i.target) }
      case .jumpIfNotLessOrEqual: if r[Int(i.a)] > r[Int(i.b)] { next = code + Int(i.target) }
      case .jumpIfRedundant:
        guard let output else { return 0 }
        let number = Int(i.a)
        if output.pointee.redundant[number &>> 6] &>> UInt64(number & 63) & 1 != 0 {
          next = code + Int(i.target)
        }
      case .jumpUnlessRedundant:
        guard let output else { return 0 }
        if r[Int(i.b)] & ~output.pointee.redundant[Int(i.a)] != 0 { next = code + Int(i.target) }
      case .end: return Int(i.c)
      case .begin, .insert, .insertAt, .emit, .count:
        guard let output else { return 0 }
        i.write(to: &output.pointee, r)
      }
    }
  }

  /// The instructions that write successors.
  @inline(__always)
  private func write(to output: inout SuccessorBuffer, _ r: UnsafeMutablePointer<UInt64>) {
    let successor = output.successors + output.successorCount &* output.words
    switch operation {
    case .begin:
      for word in 0..<output.words { successor[word] = output.explored[word] }
    case .insert:
      successor[Int(target)] = successor[Int(target)] & ~r[Int(b)] | r[Int(a)] &<< UInt64(shift)
    case .insertAt:
      let slot = output.slots[Int(truncatingIfNeeded: r[Int(a)]) &+ Int(c)]
      successor[Int(slot.word)] = successor[Int(slot.word)] & ~slot.mask | r[Int(b)] &<< UInt64(slot.shift)
    case .emit:
      output.instances[output.successorCount] = c
      output.successorCount &+= 1
    case .count: output.possible &+= Int(c)
    default: break
    }
  }
}
