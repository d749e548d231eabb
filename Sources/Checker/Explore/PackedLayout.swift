// SPDX-License-Identifier: Apache-2.0

import Logic

/// Where each scalar of an explored state lies among the bits of a few 64-bit words.
///
/// Components that no action changes and whose initial value is given are not part of it: they are constants.
struct PackedLayout {
  let layout: StateLayout
  /// By register of the state; mask 0 for what is not packed.
  let slots: [PackedSlot]
  /// The registers that are packed, in order.
  let registers: [Int]
  /// Words of a packed state: at least 1.
  let words: Int
  /// By component: its value in every state, if no action changes it.
  let constants: [UInt64?]

  init(_ layout: StateLayout) {
    self.layout = layout
    let written = Set(layout.specification.actions.flatMap { $0.next.keys })
    constants = layout.specification.components.indices.map { index in
      guard case .value(let value) = layout.specification.components[index].initial else { return nil }
      guard layout.places[index] != nil, !written.contains(index) else { return nil }
      return value & layout.scope.mask(of: layout.specification.components[index].sort)
    }
    var slots = [PackedSlot](repeating: PackedSlot(word: 0, shift: 0, mask: 0), count: layout.count)
    var registers: [Int] = []
    var used = [0]
    for (index, place) in layout.places.enumerated() {
      guard let place, constants[index] == nil else { continue }
      for register in place.base..<place.base + place.count {
        let word = used.firstIndex { $0 + place.bits <= 64 } ?? used.count
        if word == used.count { used.append(0) }
        slots[register] = PackedSlot(
          word: Int32(word), shift: UInt8(used[word]), mask: mask(place.bits) << UInt64(used[word]))
        used[word] += place.bits
        registers.append(register)
      }
    }
    self.slots = slots
    self.registers = registers
    words = used.count
  }

  /// Packs a state; `packed` has room for `words`.
  func pack(_ state: UnsafePointer<UInt64>, into packed: UnsafeMutablePointer<UInt64>) {
    packed.update(repeating: 0, count: words)
    for register in registers {
      let slot = slots[register]
      packed[Int(slot.word)] |= state[register] << UInt64(slot.shift)
    }
  }

  /// The registers of a packed state, constants included.
  func unpack(_ packed: UnsafePointer<UInt64>) -> [UInt64] {
    var state = layout.initialRegisters
    for register in registers {
      let slot = slots[register]
      state[register] = (packed[Int(slot.word)] & slot.mask) >> UInt64(slot.shift)
    }
    return state
  }
}

/// The state explored, as terms: registers for what is packed, constants for the rest.
final class ExploredState: StateView {
  private let elaborator: Elaborator
  private let constants: [UInt64?]

  init(_ elaborator: Elaborator, _ packed: PackedLayout) {
    self.elaborator = elaborator
    constants = packed.constants
  }

  func scalar(_ component: Int) -> TermID { constant(component) ?? elaborator.scalar(component) }
  func entry(_ component: Int, _ keys: [TermID]) -> TermID {
    constant(component) ?? elaborator.entry(component, keys)
  }

  private func constant(_ component: Int) -> TermID? {
    constants[component].map { elaborator.constant($0, elaborator.specification.components[component].sort) }
  }
}
