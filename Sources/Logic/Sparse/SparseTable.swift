// SPDX-License-Identifier: Apache-2.0

/// The entries of a table that are not as they began: packed keys, and what they hold. A hash table, open and probed in
/// order; its keys are a specification's own, so a multiplication spreads them.
struct SparseTable: ~Copyable {
  private struct Slot: BitwiseCopyable {
    var key: UInt64 = 0
    var value: UInt64 = 0
    var isUsed = false
  }

  private var slots: UnsafeMutablePointer<Slot>
  /// A power of two.
  private var capacity: Int
  private(set) var count = 0

  init() {
    capacity = 8
    slots = Self.make(capacity)
  }

  deinit { slots.deallocate() }

  private static func make(_ capacity: Int) -> UnsafeMutablePointer<Slot> {
    let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
    slots.initialize(repeating: Slot(), count: capacity)
    return slots
  }

  /// Eight keys that differ in their lowest bits alone lie side by side: the entries of one table are often asked for in
  /// order.
  private func home(_ key: UInt64) -> Int {
    let spread = ((key &>> 3) &* 0x9e37_79b9_7f4a_7c15) &>> 32
    return Int(truncatingIfNeeded: spread &<< 3 | key & 7) & (capacity - 1)
  }

  /// Where a key lies, or where it would.
  private func place(of key: UInt64) -> Int {
    var place = home(key)
    while slots[place].isUsed, slots[place].key != key { place = (place + 1) & (capacity - 1) }
    return place
  }

  /// What a key holds; `other` if it is not there.
  func value(_ key: UInt64, otherwise other: UInt64) -> UInt64 {
    if count == 0 { return other }
    let place = place(of: key)
    return slots[place].isUsed ? slots[place].value : other
  }

  mutating func set(_ key: UInt64, to value: UInt64) {
    var place = place(of: key)
    if !slots[place].isUsed {
      if count * 2 >= capacity {
        grow()
        place = self.place(of: key)
      }
      count += 1
    }
    slots[place] = Slot(key: key, value: value, isUsed: true)
  }

  private mutating func grow() {
    let (old, oldCapacity) = (slots, capacity)
    capacity *= 2
    slots = Self.make(capacity)
    for index in 0..<oldCapacity where old[index].isUsed { slots[place(of: old[index].key)] = old[index] }
    old.deallocate()
  }

  /// Takes a key out. Those behind it that would not be found past the hole move into it.
  mutating func remove(_ key: UInt64) {
    var hole = place(of: key)
    guard slots[hole].isUsed else { return }
    count -= 1
    var next = (hole + 1) & (capacity - 1)
    while slots[next].isUsed {
      let distance = (next - home(slots[next].key)) & (capacity - 1)
      if distance >= (next - hole) & (capacity - 1) {
        slots[hole] = slots[next]
        hole = next
      }
      next = (next + 1) & (capacity - 1)
    }
    slots[hole].isUsed = false
  }

  /// Calls `body` with each key and what it holds.
  func forEach(_ body: (UInt64, UInt64) -> Void) {
    for index in 0..<capacity where slots[index].isUsed { body(slots[index].key, slots[index].value) }
  }
}
