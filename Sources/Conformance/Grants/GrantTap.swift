// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

/// Makes the real accesses to grant entries, and remembers those of the operation under way.
public final class GrantTap {
  /// One asking of an entry: what was last read of it, and how that ended.
  struct Claim {
    var place: GrantPlace
    /// Flags and domain, as the decision saw them.
    var word: GrantWord
    /// Whether the operation uses the entry already, and has not yet let go of it: what the flags then say of its use is
    /// the operation's own, or will be cleared by it.
    var isAgain = false
    /// The frame, if it was read.
    var frame: UInt32?
    /// Whether the last exchange failed: the entry was changed meanwhile.
    var isUnstable = false
  }

  /// A change that the operation made to an entry.
  enum Change {
    case add(GrantFlags)
    case clear(GrantFlags)
    case frame(UInt32)
    case all(GrantWord, frame: UInt32)
  }

  private(set) var claims: [Claim] = []
  private(set) var changes: [(place: GrantPlace, change: Change)] = []
  /// Something that no protocol allows.
  private(set) var misdeed: String?
  /// Called before each access: a guest may store here.
  var meddle: ((GrantPlace) -> Void)?
  private let entries: SharedGrantEntries

  /// - Parameter names: who knows which frames domains name.
  public init(names: (any FrameOwnership)? = nil) { entries = SharedGrantEntries(names: names) }

  /// A new operation begins.
  func begin() {
    claims.removeAll(keepingCapacity: true)
    changes.removeAll(keepingCapacity: true)
    misdeed = nil
  }

  fileprivate func load(_ place: GrantPlace) -> GrantWord {
    meddle?(place)
    let word = entries.load(place)
    claims.append(Claim(place: place, word: word))
    return word
  }

  fileprivate func compareExchange(_ place: GrantPlace, expected: GrantWord, desired: GrantWord) -> (
    exchanged: Bool, original: GrantWord
  ) {
    meddle?(place)
    let outcome = entries.compareExchange(place, expected: expected, desired: desired)
    if desired.domain != expected.domain || !desired.flags.isSuperset(of: expected.flags) {
      misdeed = "it exchanges more than flags that it sets"
    }
    guard let last = claims.indices.last, claims[last].place.address == place.address else {
      misdeed = "it exchanges an entry that it has not read"
      return outcome
    }
    claims[last].word = outcome.original
    claims[last].isUnstable = !outcome.exchanged
    if outcome.exchanged { changes.append((place, .add(desired.flags.subtracting(expected.flags)))) }
    return outcome
  }

  fileprivate func clear(_ flags: GrantFlags, at place: GrantPlace) {
    meddle?(place)
    entries.clear(flags, at: place)
    changes.append((place, .clear(flags)))
  }

  fileprivate func set(_ flags: GrantFlags, at place: GrantPlace) {
    meddle?(place)
    entries.set(flags, at: place)
    changes.append((place, .add(flags)))
  }

  fileprivate func loadFrame(_ place: GrantPlace) -> UInt32 {
    meddle?(place)
    let frame = entries.loadFrame(place)
    if let last = claims.indices.last, claims[last].place.address == place.address, claims[last].frame == nil
    {
      claims[last].frame = frame
    } else {
      misdeed = "it reads an entry's frame without need, or twice"
    }
    return frame
  }

  fileprivate func storeFrame(_ frame: UInt32, at place: GrantPlace) {
    meddle?(place)
    entries.storeFrame(frame, at: place)
    changes.append((place, .frame(frame)))
  }

  fileprivate func replace(_ place: GrantPlace, _ word: GrantWord, _ frame: UInt32) {
    meddle?(place)
    entries.replace(place, with: word, frame: frame)
    changes.append((place, .all(word, frame: frame)))
  }
}

/// Accesses to grant entries by way of a tap.
public struct TappedGrantEntries: GrantEntryAccess {
  public let tap: GrantTap

  public init(_ tap: GrantTap) { self.tap = tap }

  public func load(_ place: GrantPlace) -> GrantWord { tap.load(place) }
  public func compareExchange(_ place: GrantPlace, expected: GrantWord, desired: GrantWord) -> (
    exchanged: Bool, original: GrantWord
  ) { tap.compareExchange(place, expected: expected, desired: desired) }
  public func clear(_ flags: GrantFlags, at place: GrantPlace) { tap.clear(flags, at: place) }
  public func set(_ flags: GrantFlags, at place: GrantPlace) { tap.set(flags, at: place) }
  public func loadFrame(_ place: GrantPlace) -> UInt32 { tap.loadFrame(place) }
  public func storeFrame(_ frame: UInt32, at place: GrantPlace) { tap.storeFrame(frame, at: place) }
  public func replace(_ place: GrantPlace, with word: GrantWord, frame: UInt32) {
    tap.replace(place, word, frame)
  }
}
