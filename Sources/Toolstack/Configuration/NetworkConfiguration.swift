// SPDX-License-Identifier: Apache-2.0

/// One network interface: an element of `vif = [ … ]` (xl-network-configuration(5)).
public struct NetworkConfiguration: Sendable, Hashable {
  /// Six bytes; nil if the toolstack is to choose.
  public var mac: [UInt8]?
  public var bridge: String?
  /// The other fields, as they stand.
  public var fields: [String: String] = [:]

  init(_ specification: String) throws(SpecificationProblem) {
    for part in specification.split(separator: ",") {
      let field = part.trimmed
      guard !field.isEmpty else { continue }
      guard let equals = field.firstIndex(of: "=") else {
        throw SpecificationProblem(message: "'\(field)' is not of the form key=value")
      }
      let key = String(field[..<equals]).trimmed
      let value = String(field[field.index(after: equals)...]).trimmed
      switch key {
      case "mac": mac = try Self.address(value)
      case "bridge": bridge = value
      default: fields[key] = value
      }
    }
  }

  private static func address(_ text: String) throws(SpecificationProblem) -> [UInt8] {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    let bytes = parts.compactMap { $0.count == 2 ? UInt8($0, radix: 16) : nil }
    guard parts.count == 6, bytes.count == 6 else {
      throw SpecificationProblem(message: "'\(text)' is no MAC address; write one such as 00:16:3e:12:34:56")
    }
    guard bytes[0] & 1 == 0 else {
      throw SpecificationProblem(message: "'\(text)' is a multicast address; its first byte must be even")
    }
    return bytes
  }
}
