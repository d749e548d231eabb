// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The command line: one verb a file.
@main
struct LockstepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lockstep",
    abstract: "A hypervisor held to its specification.",
    subcommands: [Run.self])
}
