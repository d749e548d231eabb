// SPDX-License-Identifier: Apache-2.0

/// A place in a configuration file; both numbers count from 1, columns in bytes.
public struct SourcePosition: Sendable, Hashable {
  public var line: Int
  public var column: Int

  public init(line: Int, column: Int) {
    self.line = line
    self.column = column
  }
}

/// Something wrong in a configuration file: where, what, and what to do about it.
///
/// Thrown when the file cannot be used; collected as a warning when it can, with one of its lines ignored.
public struct ConfigurationProblem: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file's name as the user gave it.
  public var file: String
  /// Nil if the problem is that something is not there.
  public var position: SourcePosition?
  public var message: String

  public init(file: String, position: SourcePosition?, message: String) {
    self.file = file
    self.position = position
    self.message = message
  }

  /// `FILE:LINE:COLUMN: message`, the form that editors follow.
  public var description: String {
    guard let position else { return "\(file): \(message)" }
    return "\(file):\(position.line):\(position.column): \(message)"
  }
}
