// SPDX-License-Identifier: Apache-2.0

import Devices

/// One network interface: an element of `vif = [ … ]` (xl-network-configuration(5)). Behind it is the host's interface
/// that `vifname` names, a tap; without it, user-mode networking, for which there is QEMU's `hostfwd`, which may stand there
/// several times.
///
///     "mac=00:16:3e:12:34:56, hostfwd=tcp:127.0.0.1:8080-:80"
///     "vifname=tap0"
public struct NetworkConfiguration: Sendable, Hashable {
  /// Six bytes; nil if the toolstack is to choose.
  public var mac: [UInt8]?
  public var bridge: String?
  /// The tap interface of the host's behind it; nil for user-mode networking.
  public var tap: String?
  /// Ports of the host at which the guest can be reached.
  public var forwards: [PortForward] = []
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
      case "vifname": tap = value
      case "hostfwd":
        guard let forward = PortForward(value) else {
          throw SpecificationProblem(
            message: "'\(value)' is no port to forward; write one such as tcp:127.0.0.1:8080-:80")
        }
        forwards.append(forward)
      default: fields[key] = value
      }
    }
    guard tap == nil || forwards.isEmpty else {
      throw SpecificationProblem(message: "hostfwd is for user-mode networking; remove it, or vifname")
    }
  }

  /// The fields that have no effect.
  var ignored: [String] { ((bridge == nil ? [] : ["bridge"]) + fields.keys).sorted() }

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
