// SPDX-License-Identifier: Apache-2.0

/// How a domain ended.
public enum DomainEnd: Sendable, Hashable, CustomStringConvertible {
  /// The guest switched itself off (`SHUTDOWN_poweroff`).
  case poweroff
  /// The guest asks to be started again (`SHUTDOWN_reboot`).
  case reboot
  /// The guest gave up, or did what no guest may do.
  case crashed(CrashReport)
  /// The toolstack ended it.
  case killed

  public var description: String {
    switch self {
    case .poweroff: "powered off"
    case .reboot: "asks for a reboot"
    case .crashed(let report): "crashed: \(report.reason)"
    case .killed: "killed"
    }
  }
}

/// Why a domain crashed, and what its processor looked like.
public struct CrashReport: Sendable, Hashable {
  /// One line that names the cause.
  public var reason: String
  /// The registers of the processor that crashed, some lines of text; empty if none was involved.
  public var registers: String

  public init(reason: String, registers: String = "") {
    self.reason = reason
    self.registers = registers
  }
}
