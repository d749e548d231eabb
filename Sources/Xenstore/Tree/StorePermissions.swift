// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What a domain may do with a node.
public struct StoreAccess: OptionSet, Sendable, Hashable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let read = StoreAccess(rawValue: 1)
  public static let write = StoreAccess(rawValue: 2)
  public static let both: StoreAccess = [.read, .write]

  /// The letter of the wire format: none, read, write, both.
  fileprivate var letter: String {
    switch self {
    case .both: "b"
    case .read: "r"
    case .write: "w"
    default: "n"
    }
  }

  fileprivate init?(letter: Character) {
    switch letter {
    case "b": self = .both
    case "r": self = .read
    case "w": self = .write
    case "n": self = []
    default: return nil
    }
  }
}

/// Who may do what with a node. The host may do everything, and so may the owner.
public struct StorePermissions: Sendable, Hashable {
  public var owner: DomainID
  /// What domains may do that have no entry of their own.
  public var others: StoreAccess
  public var entries: [Entry]

  /// One domain's access.
  public struct Entry: Sendable, Hashable {
    public var domain: DomainID
    public var access: StoreAccess

    public init(_ domain: DomainID, _ access: StoreAccess) {
      self.domain = domain
      self.access = access
    }
  }

  public init(owner: DomainID, others: StoreAccess = [], _ entries: Entry...) {
    self.owner = owner
    self.others = others
    self.entries = entries
  }

  func allows(_ access: StoreAccess, to domain: DomainID) -> Bool {
    if domain == .host || domain == owner { return true }
    let granted = entries.first { $0.domain == domain }?.access ?? others
    return granted.isSuperset(of: access)
  }

  // MARK: wire

  /// The texts that the wire carries, the owner's first: `n1`, `r0`.
  var texts: [String] {
    ["\(others.letter)\(owner)"] + entries.map { "\($0.access.letter)\($0.domain)" }
  }

  /// - Returns: nil unless each text is a letter and a domain's number, and there is at least one.
  init?(texts: [String]) {
    var all: [Entry] = []
    for text in texts {
      guard let letter = text.first, let access = StoreAccess(letter: letter),
        let number = UInt16(text.dropFirst()), number < DomainID.firstReserved.rawValue
      else { return nil }
      all.append(Entry(DomainID(number), access))
    }
    guard let first = all.first else { return nil }
    owner = first.domain
    others = first.access
    entries = Array(all.dropFirst())
  }
}
