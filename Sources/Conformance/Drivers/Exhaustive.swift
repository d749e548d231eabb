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
  /// Why not all was compared; nil if it was.
  public var incomplete: String?

  public var holds: Bool { divergence == nil && incomplete == nil }
}

/// How far an exhaustive comparison is.
public struct ExhaustiveProgress: Sendable {
  /// States found.
  public let states: Int
  /// Transitions compared.
  public let transitions: Int

  /// Is told now and then.
  public typealias Observer = (ExhaustiveProgress) -> Void
}

/// States packed into words, for sets of many.
struct StatePacking {
  private let places: [(word: Int, shift: UInt64, mask: UInt64)]
  let words: Int

  init(_ layout: StateLayout) {
    var places: [(word: Int, shift: UInt64, mask: UInt64)] = []
    var (word, used) = (0, 0)
    for place in layout.places {
      guard let place else { continue }
      for _ in 0..<place.count {
        if used + place.bits > 64 { (word, used) = (word + 1, 0) }
        places.append((word, UInt64(used), mask(place.bits)))
        used += place.bits
      }
    }
    self.places = places
    words = word + 1
  }

  func pack(_ registers: UnsafePointer<UInt64>, into packed: UnsafeMutablePointer<UInt64>) {
    packed.update(repeating: 0, count: words)
    places.withUnsafeBufferPointer { places in
      for register in places.indices {
        packed[places[register].word] |= registers[register] &<< places[register].shift
      }
    }
  }

  func unpack(_ packed: UnsafePointer<UInt64>, into registers: UnsafeMutablePointer<UInt64>) {
    places.withUnsafeBufferPointer { places in
      for register in places.indices {
        registers[register] = packed[places[register].word] &>> places[register].shift & places[register].mask
      }
    }
  }
}
