// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Toolstack

/// `lockstep list`: the domains that run on this machine, of this user.
struct ListDomains: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the domains that run, one lockstep run each.")

  @Flag(name: .long, help: "One JSON object a line on standard output instead of text.")
  var json = false

  func run() throws {
    // One that just ends, or has died without removing its socket, is left out.
    let running = ControlDirectory.names.compactMap { name -> DomainStatus? in
      guard var status = try? ControlClient(name).ask(.status).status else { return nil }
      status.name = name
      return status
    }
    if json {
      for status in running { try printJSON(status) }
      return
    }
    let rows = running.map { status in
      [
        status.name, "\(status.id)", "\(status.memory)", "\(status.vcpus)", status.state, "\(status.seconds)",
        "\(status.process)",
      ]
    }
    print(table(["name", "id", "MiB", "vcpus", "state", "seconds", "process"], rows))
  }
}
