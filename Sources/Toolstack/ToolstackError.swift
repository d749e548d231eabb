// SPDX-License-Identifier: Apache-2.0

/// Why a domain cannot be started, in one line: what is wrong, where, and what to do about it.
public struct ToolstackError: Error, Sendable, Hashable, CustomStringConvertible {
  public var description: String

  public init(_ description: String) {
    self.description = description
  }
}
