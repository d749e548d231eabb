// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Logic
import Specs

/// `lockstep export`: specifications for other tools.
struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write specifications for other model checkers.",
    discussion:
      "An exploration that is too large for one computer runs on TLC's distributed mode: a module and its "
      + "configuration for each machine and scope.")

  @Argument(help: "Machines, by name; all if none is named.")
  var machines: [String] = []

  @Option(name: .long, help: ArgumentHelp("Write TLA+ modules for TLC into a folder.", valueName: "folder"))
  var tla: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How many values a sort has, a power of two for words; repeatable.", valueName: "sort=n"))
  var scope: [String] = []

  @Option(name: .long, help: "Export a mutant of the machine instead, by its name.")
  var mutant: String?

  func run() throws {
    for subject in try chosenSubjects(machines) {
      let specification = try subject.specification(mutant: mutant)
      for scope in try subject.scopes(scope) {
        let module: TLAModule
        do { module = try TLAModule(specification, scope: scope) } catch {
          throw CouldNotRun(error.description)
        }
        try save(module.text, to: "\(module.name).tla", in: tla)
        try save(module.configuration, to: "\(module.name).cfg", in: tla)
        print("\(tla)/\(module.name).tla")
      }
    }
  }
}
