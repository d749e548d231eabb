// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The absolute path of a node: `/`, or names each behind a slash.
///
/// Source: docs/misc/xenstore.txt: letters, digits and `-/_@`; at most 3072 bytes, 2048 of them for a path that a
/// guest gives relative to its own directory.
public struct StorePath: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let description: String

  public static let root = StorePath(unchecked: "/")
  public static let maximumLength = 3072
  public static let maximumRelativeLength = 2048

  private init(unchecked text: String) { description = text }

  /// - Returns: nil for anything that is not an absolute path in its one valid form.
  public init?(_ text: String) {
    let bytes = text.utf8
    guard bytes.count <= Self.maximumLength, bytes.first == UInt8(ascii: "/") else { return nil }
    guard text == "/" || bytes.last != UInt8(ascii: "/") else { return nil }
    var previous = UInt8(0)
    for byte in bytes {
      guard Self.isAllowed(byte), byte != UInt8(ascii: "/") || previous != byte else { return nil }
      previous = byte
    }
    description = text
  }

  /// A path as a domain may give it: absolute, or relative to `/local/domain/N`.
  init?(_ text: String, of domain: DomainID) {
    if text.utf8.first == UInt8(ascii: "/") {
      self.init(text)
    } else {
      guard !text.isEmpty, text.utf8.count <= Self.maximumRelativeLength else { return nil }
      self.init(Self.home(of: domain).description + "/" + text)
    }
  }

  /// The directory of a domain.
  public static func home(of domain: DomainID) -> StorePath {
    StorePath(unchecked: "/local/domain/\(domain)")
  }

  /// The path without its last name; nil for the root.
  public var parent: StorePath? {
    guard description != "/", let slash = description.utf8.lastIndex(of: UInt8(ascii: "/")) else {
      return nil
    }
    let text = description[..<slash]
    return text.isEmpty ? .root : StorePath(unchecked: String(text))
  }

  /// The last name; empty for the root.
  public var name: String {
    guard let slash = description.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "" }
    return String(description[description.utf8.index(after: slash)...])
  }

  /// The path of a child.
  func child(_ name: String) -> StorePath {
    StorePath(unchecked: description == "/" ? "/" + name : description + "/" + name)
  }

  /// A path below this one, of names that the host makes itself.
  /// - Precondition: `names` is a valid relative path.
  public static func / (path: StorePath, names: some CustomStringConvertible) -> StorePath {
    guard let result = StorePath(path == .root ? "/\(names)" : "\(path)/\(names)") else {
      preconditionFailure("'\(names)' is no path in the store")
    }
    return result
  }

  /// Whether the path is the other one or lies below it.
  func isWithin(_ other: StorePath) -> Bool {
    if other == .root || self == other { return true }
    let mine = description.utf8
    let theirs = other.description.utf8
    guard mine.count > theirs.count, mine.starts(with: theirs) else { return false }
    return mine[mine.index(mine.startIndex, offsetBy: theirs.count)] == UInt8(ascii: "/")
  }

  public static func < (left: StorePath, right: StorePath) -> Bool { left.description < right.description }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: "_"),
      UInt8(ascii: "@"):
      true
    default: false
    }
  }
}
