// SPDX-License-Identifier: Apache-2.0

import Logic

/// What an exhaustive comparison came to.
public struct ExhaustiveReport: Sendable {
  public var name: String
  /// The scope, in words.
  public var scope: String
  /// States of the specification to which the implementation was driven.
  public var states = 0
  /// States of the specification at this scope. It may have more than an implementation can be in: where the
  /// specification leaves a choice, an implementation always makes the same.
  public var reachable = 0
  /// Transitions compared.
  public var transitions = 0
  public var divergence: Divergence?

  public var holds: Bool { divergence == nil }
}

/// States packed into words, for sets of many.
struct StatePacking {
  private let bits: [Int]
  let words: Int

  init(_ layout: StateLayout) {
    var bits: [Int] = []
    for place in layout.places {
      guard let place else { continue }
      bits += [Int](repeating: place.bits, count: place.count)
    }
    self.bits = bits
    var (words, used) = (1, 0)
    for width in bits {
      if used + width > 64 {
        words += 1
        used = 0
      }
      used += width
    }
    self.words = words
  }

  func pack(_ state: [UInt64]) -> PackedState {
    var packed = PackedState()
    var (word, used) = (0, 0)
    for (value, width) in zip(state, bits) {
      if used + width > 64 {
        word += 1
        used = 0
      }
      packed[word] |= value << UInt64(used)
      used += width
    }
    return packed
  }

  func unpack(_ packed: PackedState) -> [UInt64] {
    var state: [UInt64] = []
    state.reserveCapacity(bits.count)
    var (word, used) = (0, 0)
    for width in bits {
      if used + width > 64 {
        word += 1
        used = 0
      }
      state.append(packed[word] >> UInt64(used) & mask(width))
      used += width
    }
    return state
  }
}

/// Up to 256 bits.
struct PackedState: Hashable {
  static let words = 4
  private var a: UInt64 = 0
  private var b: UInt64 = 0
  private var c: UInt64 = 0
  private var d: UInt64 = 0

  subscript(word: Int) -> UInt64 {
    get {
      switch word {
      case 0: a
      case 1: b
      case 2: c
      default: d
      }
    }
    set {
      switch word {
      case 0: a = newValue
      case 1: b = newValue
      case 2: c = newValue
      default: d = newValue
      }
    }
  }

  func hash(into hasher: inout Hasher) {
    // One multiplication a word: the sets are large, and the keys are nobody's choice.
    var mixed = a
    for word in [b, c, d] { mixed = (mixed ^ word) &* 0x9e37_79b9_7f4a_7c15 ^ (mixed >> 29) }
    hasher.combine(mixed)
  }
}

extension Specification {
  /// Every list of arguments that an action can have at a scope.
  func argumentLists(of action: Int, at layout: StateLayout) -> [[UInt64]] {
    actions[action].parameters.reduce([[]]) { lists, parameter in
      let count = layout.scope.count(of: parameter.sort)
      return lists.flatMap { list in (0..<count).map { list + [$0] } }
    }
  }
}
