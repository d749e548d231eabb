// SPDX-License-Identifier: Apache-2.0

/// A port of the host at which a port of the guest can be reached.
public struct PortForward: Sendable, Hashable, CustomStringConvertible {
  public enum Transport: String, Sendable, Hashable {
    case tcp, udp
  }

  public var transport: Transport
  /// The host's IPv4 address, its first byte highest; 0 for all of its addresses.
  public var hostAddress: UInt32
  public var hostPort: UInt16
  public var guestPort: UInt16

  public init(transport: Transport, hostAddress: UInt32, hostPort: UInt16, guestPort: UInt16) {
    self.transport = transport
    self.hostAddress = hostAddress
    self.hostPort = hostPort
    self.guestPort = guestPort
  }

  /// Reads `tcp:127.0.0.1:8080-:80`, the form of QEMU's `hostfwd`, with no address of the guest's: it has one.
  /// Without an address of the host's, all of them: `tcp::8080-:80`.
  public init?(_ text: String) {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false)
    guard ends.count == 2, ends[1].hasPrefix(":"), let guest = UInt16(ends[1].dropFirst()), guest > 0
    else { return nil }
    let parts = ends[0].split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3, let transport = Transport(rawValue: String(parts[0])),
      let address = parts[1].isEmpty ? 0 : Self.address(parts[1]), let port = UInt16(parts[2]), port > 0
    else { return nil }
    self.init(transport: transport, hostAddress: address, hostPort: port, guestPort: guest)
  }

  private static func address(_ text: Substring) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let bytes = parts.compactMap { UInt8($0) }
    guard parts.count == 4, bytes.count == 4 else { return nil }
    return bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }

  public var description: String {
    let bytes = stride(from: 24, through: 0, by: -8).map { "\(hostAddress >> UInt32($0) & 0xff)" }
    return "\(transport.rawValue):\(bytes.joined(separator: ".")):\(hostPort)-:\(guestPort)"
  }
}
