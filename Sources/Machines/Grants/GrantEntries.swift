// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// The first 32 bits of a version-1 entry, which are read and exchanged together: flags, then domain.
public struct GrantWord: Sendable, Hashable {
  public var rawValue: UInt32

  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  @inlinable public init(_ flags: GrantFlags, _ domain: DomainID) {
    rawValue = UInt32(flags.rawValue) | UInt32(domain.rawValue) << 16
  }

  @inlinable public var flags: GrantFlags { GrantFlags(rawValue: UInt16(truncatingIfNeeded: rawValue)) }
  @inlinable public var domain: DomainID { DomainID(UInt16(truncatingIfNeeded: rawValue >> 16)) }

  /// The same word with more flags.
  @inlinable public func adding(_ flags: GrantFlags) -> GrantWord {
    GrantWord(rawValue: rawValue | UInt32(flags.rawValue))
  }
}

extension GrantFlags {
  /// Set by the hypervisor while anybody uses the entry to read, and to write.
  static let inUse: GrantFlags = [.reading, .writing]
  /// What decides whether an entry waits for a transfer.
  static let transferState: GrantFlags = [.typeMask, .transferCommitted, .transferCompleted]
}

/// One entry of one domain's table, in the memory that it shares with that domain.
public struct GrantPlace {
  public var granter: DomainID
  public var reference: GrantReference
  /// The entry's 8 bytes.
  public var address: UnsafeMutableRawPointer

  @inlinable
  public init(granter: DomainID, reference: GrantReference, address: UnsafeMutableRawPointer) {
    self.granter = granter
    self.reference = reference
    self.address = address
  }
}

/// How grant tables touch shared entries, one memory access a call.
///
/// `SharedGrantEntries` makes the real accesses. A conformance driver supplies one that records what was read,
/// and lets a hostile guest store between any two.
public protocol GrantEntryAccess {
  /// One load of flags and domain.
  func load(_ place: GrantPlace) -> GrantWord

  /// Stores `desired` if flags and domain are still `expected`; returns what they were.
  func compareExchange(_ place: GrantPlace, expected: GrantWord, desired: GrantWord) -> (
    exchanged: Bool, original: GrantWord
  )

  /// Clears flags and leaves all else as the guest has it.
  func clear(_ flags: GrantFlags, at place: GrantPlace)

  /// Sets flags and leaves all else as the guest has it; every store before it is visible before it.
  func set(_ flags: GrantFlags, at place: GrantPlace)

  /// One load of the frame, as the machine numbers it.
  func loadFrame(_ place: GrantPlace) -> UInt32

  /// One store of the frame.
  func storeFrame(_ frame: UInt32, at place: GrantPlace)

  /// Stores a whole entry: the frame, then flags and domain.
  func replace(_ place: GrantPlace, with word: GrantWord, frame: UInt32)
}

/// Entries in memory that is really shared.
public struct SharedGrantEntries: GrantEntryAccess {
  /// Who knows which frames domains name; nil: all name machine frames.
  public let names: (any FrameOwnership)?

  public init(names: (any FrameOwnership)? = nil) { self.names = names }

  @inlinable
  public func load(_ place: GrantPlace) -> GrantWord {
    GrantWord(rawValue: place.word.pointee.load(ordering: .acquiring))
  }

  @inlinable
  public func compareExchange(_ place: GrantPlace, expected: GrantWord, desired: GrantWord) -> (
    exchanged: Bool, original: GrantWord
  ) {
    let (exchanged, original) = place.word.pointee.compareExchange(
      expected: expected.rawValue, desired: desired.rawValue, ordering: .sequentiallyConsistent)
    return (exchanged, GrantWord(rawValue: original))
  }

  @inlinable
  public func clear(_ flags: GrantFlags, at place: GrantPlace) {
    place.word.pointee.bitwiseAnd(~UInt32(flags.rawValue), ordering: .sequentiallyConsistent)
  }

  @inlinable
  public func set(_ flags: GrantFlags, at place: GrantPlace) {
    place.word.pointee.bitwiseOr(UInt32(flags.rawValue), ordering: .sequentiallyConsistent)
  }

  @inlinable
  public func loadFrame(_ place: GrantPlace) -> UInt32 {
    let number = place.frame.pointee.load(ordering: .acquiring)
    return names?.machineFrameNumber(number, namedBy: place.granter) ?? number
  }

  @inlinable
  public func storeFrame(_ frame: UInt32, at place: GrantPlace) {
    place.frame.pointee.store(frame, ordering: .releasing)
  }

  @inlinable
  public func replace(_ place: GrantPlace, with word: GrantWord, frame: UInt32) {
    place.frame.pointee.store(frame, ordering: .releasing)
    place.word.pointee.store(word.rawValue, ordering: .releasing)
  }
}

extension GrantPlace {
  /// Flags and domain.
  @inlinable var word: UnsafeMutablePointer<Atomic<UInt32>> {
    address.assumingMemoryBound(to: Atomic<UInt32>.self)
  }

  @inlinable var frame: UnsafeMutablePointer<Atomic<UInt32>> {
    (address + 4).assumingMemoryBound(to: Atomic<UInt32>.self)
  }
}
