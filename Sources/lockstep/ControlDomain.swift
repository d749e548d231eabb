// SPDX-License-Identifier: Apache-2.0
//
// Verbs that ask something of a running domain.

import ArgumentParser
import Toolstack

/// Which domain a verb is about.
struct DomainArgument: ParsableArguments {
  @Argument(help: ArgumentHelp("A running domain's name: see lockstep list.", valueName: "domain"))
  var name: String

  /// Asks the domain.
  /// - Throws: `CouldNotRun` with its word why not.
  @discardableResult
  func ask(_ request: ControlRequest) throws -> ControlReply {
    do {
      return try ControlClient(name).ask(request)
    } catch {
      throw CouldNotRun(error.description)
    }
  }
}

/// `lockstep shutdown`: the guest is asked, and does it if it listens.
struct ShutDown: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shutdown", abstract: "Ask a domain's guest to power off.",
    discussion: "The guest reads it in its store, control/shutdown; one that does not listen goes on.")
  @OptionGroup var domain: DomainArgument

  func run() throws { try domain.ask(.shutdown("poweroff")) }
}

/// `lockstep reboot`, likewise.
struct Reboot: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Ask a domain's guest to reboot.")
  @OptionGroup var domain: DomainArgument

  func run() throws { try domain.ask(.shutdown("reboot")) }
}

/// `lockstep destroy`.
struct Destroy: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "End a domain at once.")
  @OptionGroup var domain: DomainArgument

  func run() throws { try domain.ask(.destroy) }
}

/// `lockstep pause`.
struct Pause: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Stop a domain's processors; its clock goes on.")
  @OptionGroup var domain: DomainArgument

  func run() throws { try domain.ask(.pause) }
}

/// `lockstep unpause`.
struct Unpause: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Let a domain's processors go on.")
  @OptionGroup var domain: DomainArgument

  func run() throws { try domain.ask(.unpause) }
}

/// `lockstep mem-set`.
struct SetMemory: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mem-set", abstract: "Ask a domain's guest to give memory back, or to take it again.",
    discussion:
      "The guest reads it in its store, memory/target; one that does not listen keeps what it has. What it has now is "
      + "in lockstep list. What it gives back is free on the host.")
  @OptionGroup var domain: DomainArgument
  @Argument(help: "MiB, at most what its configuration says.")
  var memory: Int

  func run() throws { try domain.ask(.memory(memory)) }
}

/// `lockstep sysrq`.
struct SystemRequest: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sysrq", abstract: "Press a SysRq key of a domain's Linux.")
  @OptionGroup var domain: DomainArgument

  @Argument(help: "The key: one character, such as s (sync).")
  var key: String

  func run() throws { try domain.ask(.systemRequest(key)) }
}
