// SPDX-License-Identifier: Apache-2.0

/// The address of a network interface (MAC): six bytes.
public struct EthernetAddress: Sendable, Hashable, CustomStringConvertible {
  public let bytes: [UInt8]

  /// - Precondition: six bytes.
  public init(_ bytes: [UInt8]) {
    precondition(bytes.count == 6, "an Ethernet address has six bytes")
    self.bytes = bytes
  }

  /// An address of Xen's own (00:16:3e) for an interface that was given none: the same one for the same domain.
  public init(domainName: String, number: Int) {
    // FNV-1a
    var hash: UInt32 = 0x811c_9dc5
    for byte in "\(domainName)/\(number)".utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
    self.init(
      [0x00, 0x16, 0x3e, UInt8(hash >> 16 & 0x7f), UInt8(hash >> 8 & 0xff), UInt8(hash & 0xff)])
  }

  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
