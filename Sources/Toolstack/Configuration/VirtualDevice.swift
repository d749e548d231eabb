// SPDX-License-Identifier: Apache-2.0

/// A virtual disk's name and its number, which names its directories in the store.
/// Source: xen-vbd-interface(7).
public struct VirtualDevice: Sendable, Hashable {
  /// Such as `xvda` or `sdb1`.
  public let name: String
  /// The number that the ABI derives from the name.
  public let number: Int

  /// - Returns: nil for a name that is not xvd…, sd… or hd…, a disk's letters, and perhaps a partition's number.
  public init?(name: String) {
    guard let prefix = ["xvd", "sd", "hd"].first(where: { name.hasPrefix($0) }) else { return nil }
    let rest = name.dropFirst(prefix.count)
    // What stands behind a letter and joins it, such as U+200D, makes another character of it, between a and z too.
    let letters = rest.prefix { $0.isASCII && ("a"..."z").contains($0) }
    let digits = rest[letters.endIndex...]
    guard let disk = Self.index(of: letters), digits.first != "0" else { return nil }
    let isNumber = digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard isNumber, digits.count <= 3, let partition = digits.isEmpty ? 0 : Int(digits),
      let number = Self.number(prefix: prefix, disk: disk, partition: partition)
    else { return nil }
    self.name = name
    self.number = number
  }

  /// a … z are 0 … 25, aa is 26.
  private static func index(of letters: Substring) -> Int? {
    guard (1...3).contains(letters.count) else { return nil }
    let value = letters.utf8.reduce(0) { $0 * 26 + Int($1 - UInt8(ascii: "a")) + 1 }
    return value - 1
  }

  private static func number(prefix: String, disk: Int, partition: Int) -> Int? {
    switch prefix {
    case "xvd" where disk < 16 && partition < 16: 202 << 8 | disk << 4 | partition
    case "xvd" where disk < 1 << 20 && partition < 256: 1 << 28 | disk << 8 | partition
    case "sd" where disk < 16 && partition < 16: 8 << 8 | disk << 4 | partition
    case "hd" where disk < 2 && partition < 64: 3 << 8 | disk << 6 | partition
    case "hd" where disk < 4 && partition < 64: 22 << 8 | (disk - 2) << 6 | partition
    default: nil
    }
  }
}
