// SPDX-License-Identifier: Apache-2.0

/// A value of a configuration file, and where it stands.
struct ConfigurationValue: Sendable, Hashable {
  enum Content: Sendable, Hashable {
    case string(String)
    case integer(Int)
    case list([ConfigurationValue])

    /// What to call this in a message.
    var kind: String {
      switch self {
      case .string: "a string"
      case .integer: "a number"
      case .list: "a list"
      }
    }
  }

  var content: Content
  var position: SourcePosition
}

/// One `key = value` line, in the order of the file. `+=` is already resolved.
struct ConfigurationSetting: Sendable, Hashable {
  var key: String
  var value: ConfigurationValue
  /// Where the key stands.
  var position: SourcePosition
}
