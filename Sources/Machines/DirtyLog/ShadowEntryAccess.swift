// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// How the dirty log touches entries, which processors change at the same time: one atomic access a call.
///
/// `ShadowEntries` makes the real accesses. A conformance driver supplies one that records them, and lets processors run
/// between any two.
public protocol ShadowEntryAccess {
  var count: Int { get }
  func load(_ index: ShadowEntryIndex) -> UInt64
  func store(_ index: ShadowEntryIndex, _ word: UInt64)
  /// Clears bits; returns what was there before.
  func clear(_ index: ShadowEntryIndex, _ bits: UInt64) -> UInt64
  func set(_ index: ShadowEntryIndex, _ bits: UInt64)
}

/// The real accesses.
public struct ShadowEntries: ShadowEntryAccess {
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  public let count: Int

  /// - Parameter base: `count` entries, which outlive this; aligned to 8 bytes.
  public init(_ base: UnsafeMutableRawPointer, count: Int) {
    words = base.assumingMemoryBound(to: Atomic<UInt64>.self)
    self.count = count
  }

  public func load(_ index: ShadowEntryIndex) -> UInt64 {
    words[Int(index.rawValue)].load(ordering: .relaxed)
  }

  public func store(_ index: ShadowEntryIndex, _ word: UInt64) {
    words[Int(index.rawValue)].store(word, ordering: .relaxed)
  }

  public func clear(_ index: ShadowEntryIndex, _ bits: UInt64) -> UInt64 {
    words[Int(index.rawValue)].bitwiseAnd(~bits, ordering: .sequentiallyConsistent).oldValue
  }

  public func set(_ index: ShadowEntryIndex, _ bits: UInt64) {
    words[Int(index.rawValue)].bitwiseOr(bits, ordering: .sequentiallyConsistent)
  }
}
