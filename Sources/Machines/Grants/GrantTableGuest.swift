// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// A guest's own side of its grant table, for guests that link this code.
///
/// The other side of each entry is the hypervisor, which is trusted; references are the guest's to choose.
public struct GrantTableGuest {
  /// How many entries there are.
  public let count: Int
  private let domain: DomainID
  private let base: UnsafeMutableRawPointer
  private let entries = SharedGrantEntries()

  /// - Parameters:
  ///   - entries: the table's frames, one after the other, aligned to 8.
  ///   - frames: how many frames there are.
  ///   - domain: the guest itself; only names the places.
  public init(entries: UnsafeMutableRawPointer, frames: Int, domain: DomainID = .current) {
    base = entries
    count = frames * GrantEntry.perFrame
    self.domain = domain
  }

  /// Lets a domain map or copy a frame. The entry must be unused.
  public func grantAccess(_ reference: GrantReference, to grantee: DomainID, frame: UInt32, readOnly: Bool) {
    write(
      GrantWord(readOnly ? [.permitAccess, .readOnly] : .permitAccess, grantee), frame: frame,
      at: place(reference))
  }

  /// Lets a domain give us one of its frames. The entry must be unused.
  public func acceptTransfer(_ reference: GrantReference, from giver: DomainID) {
    write(GrantWord(.acceptTransfer, giver), frame: 0, at: place(reference))
  }

  /// Takes a grant back.
  /// - Returns: false, and nothing has changed, while the grantee still reads or writes: try again later.
  public func endAccess(_ reference: GrantReference) -> Bool {
    let place = place(reference)
    var word = entries.load(place)
    // Only the hypervisor competes: each failed exchange means that a mapping came or went meanwhile.
    for _ in 0..<4 where word.flags.isDisjoint(with: .inUse) {
      let outcome = entries.compareExchange(place, expected: word, desired: GrantWord(rawValue: 0))
      if outcome.exchanged {
        // From here on nobody reads the frame.
        entries.storeFrame(0, at: place)
        return true
      }
      word = outcome.original
    }
    return false
  }

  /// Takes back an offer to accept a frame, or learns which frame has come.
  /// - Returns: nil while a transfer is under way: try again; otherwise whether a frame came, and which.
  public func endTransfer(_ reference: GrantReference) -> (came: Bool, frame: UInt32)? {
    let place = place(reference)
    let word = entries.load(place)
    if word.flags.contains(.transferCompleted) {
      let frame = entries.loadFrame(place)
      write(GrantWord(rawValue: 0), frame: 0, at: place)
      return (true, frame)
    }
    if word.flags.contains(.transferCommitted) { return nil }
    let outcome = entries.compareExchange(place, expected: word, desired: GrantWord(rawValue: 0))
    return outcome.exchanged ? (false, 0) : nil
  }

  /// Flags and domain go last: before them the hypervisor takes nothing from the entry.
  private func write(_ word: GrantWord, frame: UInt32, at place: GrantPlace) {
    entries.storeFrame(frame, at: place)
    place.word.pointee.store(word.rawValue, ordering: .releasing)
  }

  private func place(_ reference: GrantReference) -> GrantPlace {
    precondition(reference.rawValue < count, "a reference beyond the table")
    return GrantPlace(
      granter: domain, reference: reference, address: base + Int(reference.rawValue) * GrantEntry.size)
  }
}
