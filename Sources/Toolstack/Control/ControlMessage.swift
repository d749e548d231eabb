// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What is asked of a running domain: one line of JSON on its socket.
public enum ControlRequest: Codable, Sendable, Hashable {
  case status
  /// Asks the guest, through the store: "poweroff", "reboot", "halt".
  case shutdown(String)
  /// Ends the domain at once.
  case destroy
  case pause
  case unpause
  /// Asks the guest, through the store, to have so many MiB and give back the rest.
  case memory(Int)
  /// The guest kernel's SysRq key.
  case systemRequest(String)
  /// The node and all below it.
  case storeList(String)
  case storeRead(String)
  case storeWrite(path: String, value: String)
  case storeRemove(String)
  /// A reply for each change, until the connection ends.
  case storeWatch(String)
  /// After the reply, the connection is the guest's console.
  case console

  /// Bytes of a request.
  static let limit = 64 << 10
}

/// The answer: one line of JSON; several for a watch.
public struct ControlReply: Codable, Sendable, Hashable {
  /// Why not, in a line.
  public var error: String?
  public var status: DomainStatus?
  public var nodes: [StoreNode]?

  public init(error: String? = nil, status: DomainStatus? = nil, nodes: [StoreNode]? = nil) {
    self.error = error
    self.status = status
    self.nodes = nodes
  }
}

/// A running domain, as `lockstep list` shows it.
public struct DomainStatus: Codable, Sendable, Hashable {
  public var name: String
  public var id: UInt16
  /// What it has now, in MiB.
  public var memory: Int
  public var vcpus: Int
  /// "running" or "paused".
  public var state: String
  /// Since its present life began.
  public var seconds: Int
  /// The process that it runs in.
  public var process: Int32
}

/// A node of the store.
public struct StoreNode: Codable, Sendable, Hashable {
  public var path: String
  /// Nil if it is no text, or is not there any more.
  public var value: String?
}

/// One line of JSON.
enum ControlLine {
  static func encode(_ message: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Enums and structs of strings and numbers can always be written.
    guard let data = try? encoder.encode(message) else { return [] }
    return Array(data) + [UInt8(ascii: "\n")]
  }

  static func decode<Message: Decodable>(_ type: Message.Type, _ line: [UInt8]) -> Message? {
    try? JSONDecoder().decode(type, from: Data(line))
  }
}
