// SPDX-License-Identifier: Apache-2.0

/// The set of states found, in the order in which they were found, each with the state that it was found from.
///
/// States lie one after another; an open-addressing table of their numbers finds them again. Equality is exact: the
/// hash only says where to look.
package final class StateStore {
  @usableFromInline let words: Int
  /// From one state to the next; after its words there is room for a set of what need not be taken in it.
  @usableFromInline let stride: Int
  @usableFromInline package internal(set) var count = 0
  @usableFromInline let states: UnsafeMutablePointer<UInt64>
  @usableFromInline let parents: UnsafeMutablePointer<UInt32>
  private let stateMemory: FlatMemory<UInt64>
  private let parentMemory: FlatMemory<UInt32>
  /// A number (plus 1; 0 is free) in the low half, bits of the hash in the high half.
  @usableFromInline var table: UnsafeMutablePointer<UInt64>
  private var tableMemory: FlatMemory<UInt64>
  @usableFromInline var tableMask: Int
  @usableFromInline let memoryLimit: Int
  @usableFromInline let capacity: Int

  package static let noParent = UInt32.max

  /// - Parameters:
  ///   - setWords: words of a set of action instances.
  ///   - memoryLimit: in bytes, for all of it.
  /// - Returns: nil if the address space cannot hold it.
  package init?(words: Int, setWords: Int = 0, memoryLimit: Int) {
    self.words = words
    stride = words + setWords
    self.memoryLimit = memoryLimit
    capacity = min(memoryLimit / (stride * 8 + 4) + 1, Int(UInt32.max) - 1)
    let initialTable = 1 << 12
    guard let states = FlatMemory<UInt64>(capacity: capacity * stride),
      let parents = FlatMemory<UInt32>(capacity: capacity),
      let table = FlatMemory<UInt64>(capacity: initialTable)
    else { return nil }
    stateMemory = states
    parentMemory = parents
    self.states = states.base
    self.parents = parents.base
    tableMemory = table
    self.table = table.base
    tableMask = initialTable - 1
  }

  @inlinable package func state(_ number: Int) -> UnsafeMutablePointer<UInt64> { states + number &* stride }

  /// The set of action instances that need not be taken in a state; empty at first.
  @inlinable package func redundant(_ number: Int) -> UnsafeMutablePointer<UInt64> {
    states + (number &* stride &+ words)
  }

  package func parent(of number: Int) -> Int? {
    parents[number] == Self.noParent ? nil : Int(parents[number])
  }

  /// Bytes in use.
  @usableFromInline var bytes: Int { count * (stride * 8 + 4) + (tableMask + 1) * 8 }

  // MARK: Adding states

  package enum Insertion { case new, known, outOfMemory }

  /// Adds a state if it is new.
  /// - Parameter parent: the number of the state that it was found from; nil for an initial one.
  package func insert(_ state: UnsafePointer<UInt64>, parent: Int?) -> Insertion {
    let before = count
    let parent = parent.map { UInt32(truncatingIfNeeded: $0) } ?? Self.noParent
    guard insert(state, hash(state), parent: parent) != nil else { return .outOfMemory }
    return count > before ? .new : .known
  }

  @inlinable @inline(__always)
  package func hash(_ state: UnsafePointer<UInt64>) -> UInt64 {
    var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
    for word in 0..<words {
      let product = (hash ^ state[word]).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
      hash = product.high ^ product.low
    }
    return hash
  }

  /// Reads where the search for a state with this hash begins, so that it is in the cache when it does.
  @inlinable @inline(__always)
  package func touch(_ hash: UInt64) -> UInt64 { table[Int(truncatingIfNeeded: hash) & tableMask] }

  /// The number of a state that was added; nil if it was not.
  package func number(of state: UnsafePointer<UInt64>) -> Int? {
    let hash = hash(state)
    var position = Int(truncatingIfNeeded: hash) & tableMask
    while table[position] != 0 {
      let entry = table[position]
      if entry & 0xFFFF_FFFF_0000_0000 == hash & 0xFFFF_FFFF_0000_0000 {
        let number = Int(entry & 0xFFFF_FFFF) &- 1
        if isEqual(self.state(number), state) { return number }
      }
      position = (position &+ 1) & tableMask
    }
    return nil
  }

  /// Adds a state if it is new.
  /// - Returns: its number; nil where memory ends.
  @inlinable @inline(__always)
  package func insert(_ state: UnsafePointer<UInt64>, _ hash: UInt64, parent: UInt32) -> Int? {
    if count &* 8 > tableMask &* 5, !grow() { return nil }
    let tag = hash & 0xFFFF_FFFF_0000_0000
    var position = Int(truncatingIfNeeded: hash) & tableMask
    while true {
      let entry = table[position]
      if entry == 0 { break }
      if entry & 0xFFFF_FFFF_0000_0000 == tag {
        let number = Int(entry & 0xFFFF_FFFF) &- 1
        if isEqual(self.state(number), state) { return number }
      }
      position = (position &+ 1) & tableMask
    }
    guard count < capacity, bytes < memoryLimit else { return nil }
    let slot = self.state(count)
    for word in 0..<words { slot[word] = state[word] }
    parents[count] = parent
    count &+= 1
    table[position] = tag | UInt64(count)
    return count &- 1
  }

  @inlinable @inline(__always)
  func isEqual(_ a: UnsafePointer<UInt64>, _ b: UnsafePointer<UInt64>) -> Bool {
    var difference: UInt64 = 0
    for word in 0..<words { difference |= a[word] ^ b[word] }
    return difference == 0
  }

  /// Doubles the table; false if that would pass the bound.
  @usableFromInline func grow() -> Bool {
    let size = (tableMask + 1) * 2
    guard bytes + size * 8 <= memoryLimit, let larger = FlatMemory<UInt64>(capacity: size) else {
      return false
    }
    for number in 0..<count {
      let hash = hash(state(number))
      var position = Int(truncatingIfNeeded: hash) & (size - 1)
      while larger.base[position] != 0 { position = (position + 1) & (size - 1) }
      larger.base[position] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(number + 1)
    }
    tableMemory = larger
    table = larger.base
    tableMask = size - 1
    return true
  }
}
